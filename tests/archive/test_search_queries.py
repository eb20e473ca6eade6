"""Texts and pictures as queries, with the package's own towers, over an archive of drawn films."""

import inspect
import json
import shutil
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.archive import Archive, Filters, Query
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main as command
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.shards import PairShardReader, decode_image

TEXT = "There is a small pleural effusion."


@pytest.fixture(scope="module")
def archive(phantom_archive: Path) -> Archive:
    return Archive.open(phantom_archive)


@pytest.fixture(scope="module")
def pairs(phantom_pairs):
    return {pair.id: pair for split in ("train", "val", "test") for pair in PairShardReader(phantom_pairs, split)}


def copied(phantom_archive: Path, folder: Path) -> Path:
    return Path(shutil.copytree(phantom_archive, folder / "copy", ignore=shutil.ignore_patterns("index")))


def png_claiming(side: int) -> bytes:
    """Make a few bytes that claim to be a picture of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    content = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + content


def test_a_search_has_the_arguments_of_a_query():
    assert list(inspect.signature(Archive.search).parameters) == ["self", *inspect.signature(Query).parameters]


def test_a_text_is_hashed_as_the_text_of_an_item(archive, pairs):
    for name in [name for name, pair in pairs.items() if pair.text][:4]:
        found = archive.search(text=pairs[name].text, against="text", radius=0, rerank=0)
        assert name in {hit.item.id for hit in found.hits}
        by_item = archive.search(id=name, modality="text", against="case", k=24)
        without = Filters(without_groups=(pairs[name].group,))
        by_text = archive.search(text=pairs[name].text, match="codes", against="case", k=24, filters=without)
        assert [(hit.item.id, hit.distance) for hit in by_text.hits] == [
            (hit.item.id, hit.distance) for hit in by_item.hits
        ]
        assert by_text.query_modality == "text"


def test_a_picture_is_hashed_as_the_image_of_an_item(archive, pairs, tmp_path):
    name = next(name for name, pair in pairs.items() if pair.image and pair.text)
    file = tmp_path / "film.png"
    file.write_bytes(pairs[name].image)
    for image in (file, str(file), decode_image(pairs[name].image)):
        found = archive.search(image=image, against="image", k=1)
        assert (found.hits[0].item.id, found.hits[0].distance) == (name, 0)
        assert found.hits[0].similarity == pytest.approx(1.0, abs=1e-5)
        assert found.query_modality == "image"
    assert archive.search(image=file).query == "film.png"


@pytest.mark.parametrize("against", ["image", "text"])
def test_only_items_with_the_code_that_is_asked_for_are_found(archive, pairs, against):
    found = archive.search(text=TEXT, against=against, k=100)
    having = {name for name, pair in pairs.items() if getattr(pair, against) is not None}
    assert {hit.item.id for hit in found.hits} == having
    assert found.candidates == len(having) < len(pairs)
    everything = archive.search(text=TEXT, k=100)
    assert {hit.item.id for hit in everything.hits} == set(pairs)


def test_against_images_and_texts_a_code_knows_nothing_of_the_other_modality(archive, pairs):
    """A case's code moves with its text; the code of its image is that of an item with the same image alone."""
    table = ItemTable.open(archive.location)
    rows = table.select(["id", "image_code", "text_code", "case_code"]).to_pylist()
    for row in rows:
        pair = pairs[row["id"]]
        if pair.text is None:
            assert row["case_code"] == row["image_code"]
        if pair.image is None:
            assert row["case_code"] == row["text_code"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), (" \n\t", "is empty"), ("\ud800", "half a character"), ("a" * 100_001, "100001 characters")],
)
def test_a_text_that_cannot_be_searched_for_is_refused(archive, text, message):
    with pytest.raises(DataError, match=message):
        archive.search(text=text)


def test_a_file_that_is_no_picture_is_named(archive, tmp_path):
    damaged = png_claiming(64)[:-20]
    contents = {"words.png": b"no picture", "cut.png": damaged, "bomb.png": png_claiming(60_000), "empty.jpg": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in (*contents, "missing.png", "."):
        with pytest.raises(DataError, match=str(tmp_path / name)):
            archive.search(image=tmp_path / name)


def test_threads_find_what_one_finds_and_load_the_model_once(phantom_archive, pairs, monkeypatch):
    loaded = []

    def load_and_note(archive):
        loaded.append(archive)
        return load(archive)

    load = Archive._load
    monkeypatch.setattr(Archive, "_load", load_and_note)
    archive = Archive.open(phantom_archive)
    texts = [pair.text for pair in pairs.values() if pair.text][:4]
    images = [decode_image(pair.image) for pair in pairs.values() if pair.image][:2]
    queries = [{"text": text} for text in texts] + [{"image": image, "against": "image"} for image in images]

    def found(query):
        return archive.search(**query).hits

    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(found, queries * 2))
    assert len(loaded) == 1
    assert at_once == [found(query) for query in queries] * 2


def test_archives_of_one_encoder_share_it(archive, phantom_archive):
    """Also the lock of its tokenizer, which two threads must not use at once."""
    ours, theirs = archive.load(), Archive.open(phantom_archive).load()
    assert ours is not theirs
    assert ours._encoder is theirs._encoder
    assert ours._texts is theirs._texts


def test_content_that_is_not_in_the_archive_is_read_from_its_collection(
    phantom_pairs, phantom_features, archive, pairs, tmp_path
):
    from .phantom_archive import build_archive

    moved = Path(shutil.copytree(phantom_pairs, tmp_path / "pairs"))
    checkpoint, of = phantom_pairs.parent / "hasher.ckpt", {"features": phantom_features}
    without = Archive.open(build_archive(tmp_path / "archive", moved, checkpoint, "--without-relaxed", **of))
    for name, pair in pairs.items():
        assert archive.item(name).text == without.item(name).text == pair.text
        assert archive.picture(name) == without.picture(name)
        assert (archive.picture(name) is None) == (pair.image is None)
    name = next(name for name, pair in pairs.items() if pair.image)
    assert decode_image(archive.picture(name)).size == decode_image(pairs[name].image).size
    shutil.rmtree(moved)
    for name in pairs:
        assert without.item(name).text is None
        assert without.picture(name) is None
    assert len(without.search(text=TEXT, k=100).hits) == len(pairs)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        ({"encoder_spec": {"class_path": "os.system", "init_args": {}}}, ConfigError, "encoder 'os.system' is none of"),
        ({"encoder": {"name": "another"}}, CheckpointError, "another"),
        ({"weights_sha256": "0" * 64}, CheckpointError, "weights_sha256 000"),
    ],
)
def test_a_model_that_is_not_that_of_the_items_is_refused(phantom_archive, tmp_path, entry, error, message):
    folder = copied(phantom_archive, tmp_path)
    content = json.loads((folder / "archive.json").read_text())
    (folder / "archive.json").write_text(json.dumps(content | entry))
    opened = Archive.open(folder)
    name = next(iter(ItemTable.open(folder).select(["id"])["id"].to_pylist()))
    assert opened.search(id=name).hits  # which needs no encoder
    with pytest.raises(error, match=message):
        opened.search(text=TEXT)


def test_what_a_text_says_is_absent_is_not_shared(archive):
    affirmed, negated = (archive.search(text=text).hits for text in (TEXT, "There is no pleural effusion."))
    assert any("Pleural Effusion" in hit.shared_labels for hit in affirmed)
    assert any("Pleural Effusion" in hit.item.labels for hit in negated)
    assert not any("Pleural Effusion" in hit.shared_labels for hit in negated)


def test_times_of_the_parts_are_reported(archive):
    timing = archive.search(text=TEXT).timing
    parts = np.array([timing.encode, timing.search, timing.rerank, timing.fetch])
    assert (parts > 0).all()
    assert timing.total == pytest.approx(parts.sum())


def test_a_picture_of_sixteen_bits_is_not_clipped(archive, tmp_path):
    """Pillow alone would turn all grays above 255 white."""
    grays = np.linspace(0, 255, 64 * 64).reshape(64, 64)
    Image.fromarray(grays.astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray(grays.astype(np.uint8).astype(np.uint16) * 257).save(tmp_path / "16.png")
    eight, sixteen = (archive.search(image=tmp_path / f"{bits}.png", k=24) for bits in (8, 16))
    assert eight.hits == sixteen.hits


def long_text(words: int) -> str:
    return " ".join(["heart"] * words)


def test_a_text_that_the_encoder_cuts_is_counted(archive, phantom_archive, capsys):
    """The package's text tower reads 256 tokens, two of them special; "heart" is one of its words."""
    [short, fits, cut] = (archive.search(text=long_text(words)) for words in (3, 254, 400))
    assert (short.query_tokens, short.query_tokens_read) == (5, 5)
    assert (fits.query_tokens, fits.query_tokens_read) == (256, 256)
    assert (cut.query_tokens, cut.query_tokens_read) == (402, 256)
    assert [hit.item.id for hit in cut.hits] == [hit.item.id for hit in fits.hits]  # what follows has no part in it
    by_item = archive.search(id=cut.hits[0].item.id)
    assert (by_item.query_tokens, by_item.query_tokens_read) == (None, None)

    warning = "warning: the text has 402 tokens; the encoder read the first 256\n"
    command(["search", str(phantom_archive), "--text", long_text(400), "--format", "json"])
    out, err = capsys.readouterr()
    assert warning in err
    assert (json.loads(out)["query_tokens"], json.loads(out)["query_tokens_read"]) == (402, 256)
    command(["search", str(phantom_archive), "--text", long_text(254), "--format", "json"])
    assert "tokens" not in capsys.readouterr().err


def test_a_page_of_a_cut_text_says_so(phantom_archive, tmp_path, capsys):
    page = tmp_path / "page.html"
    command(["search", str(phantom_archive), "--text", long_text(400), "--format", "html", "--out", str(page)])
    assert "the text has 402 tokens; the encoder read the first 256" in page.read_text()
    command(["search", str(phantom_archive), "--text", long_text(3), "--format", "html", "--out", str(page)])
    assert "tokens" not in page.read_text()

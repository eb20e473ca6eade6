"""``mcmfh-archive``: build, add, upsert, delete and info, on a small collection."""

import io
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.model import load_archive_hasher
from mcmfh_lightning.archive.schema import code_array
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.snapshot import is_at_hand
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.hashers.items import item_codes
from mcmfh_lightning.hashers.stored import load_hasher

from .collection import LABELS, make_pair, write_checkpoint
from .commands import refused, rows

COUNT = 70


def test_items_are_those_of_the_collection(collection, build):
    archive = build("--pairs", collection / "pairs", "--store-content")
    found = rows(archive)
    assert set(found) == {f"pair {number:03d}" for number in range(COUNT)}
    for number in range(COUNT):
        pair, row = make_pair(number), found[f"pair {number:03d}"]
        assert (row["group"], row["group_name"], row["date"], row["licence"], row["source"]) == (
            pair.group,
            pair.group_name,
            pair.date,
            pair.licence,
            pair.source,
        )
        assert tuple(row["labels"]) == pair.labels
        assert row["split"] == ("train" if number < COUNT - COUNT // 5 else "test")
        assert (row["has_image"], row["has_text"]) == (pair.image is not None, pair.text is not None)
        assert row["text"] == pair.text
        assert (row["thumbnail"] is None) == (pair.image is None)
        if row["thumbnail"] is not None:
            picture = Image.open(io.BytesIO(row["thumbnail"]))
            assert (picture.format, picture.size) == ("JPEG", (256, 192))
            wanted = Image.open(io.BytesIO(pair.image)).convert("RGB").resize((256, 192))
            assert np.abs(np.asarray(picture, float) - np.asarray(wanted, float)).mean() < 20


def test_codes_are_those_of_the_protocols(collection, build):
    found = rows(build())
    hasher = load_hasher(collection / "hasher.ckpt").hasher
    source = Source(str(collection / "features"), None)
    kinds = set()
    for row in range(COUNT):
        (batch,) = source.batches(np.array([row]), None, "cpu")
        image, text = (
            batch[name] if there else None for name, there in zip(("image", "text"), batch["present"][0], strict=True)
        )
        item = found[source.ids[row]]
        alone = {}
        with torch.inference_mode():
            alone["image"] = None if image is None else hasher.encode(image, None).image
            alone["text"] = None if text is None else hasher.encode(None, text).text
            alone["case"] = next(code for code in alone.values() if code is not None)
            if image is not None and text is not None:
                alone["case"] = hasher.evaluate(batch)["case"]
        kinds.add((image is None, text is None))
        for side, relaxed in alone.items():
            if relaxed is None:
                assert item[f"{side}_code"] is item[f"{side}_relaxed"] is None
                continue
            assert item[f"{side}_code"] == np.packbits(relaxed[0].numpy() >= 0).tobytes()
            kept = np.frombuffer(item[f"{side}_relaxed"], "<f2")
            assert np.allclose(kept, relaxed[0], atol=1e-3)
    assert len(kinds) == 3


def test_a_code_does_not_depend_on_its_batch(collection):
    """Weights with which many relaxed codes are so near to 0 that rounding could decide."""
    hasher = load_hasher(collection / "hasher.ckpt").hasher
    with torch.no_grad():
        for head in (hasher.image_head, hasher.text_head):
            for parameter in head.parameters():
                parameter.mul_(1e-3)
    source = Source(str(collection / "features"), None)
    (batch,) = source.batches(np.arange(len(source.ids) - COUNT // 5), None, "cpu")
    whole = item_codes(hasher, batch)
    assert any((codes.abs() < 1e-5).any() for codes in whole.values())
    for row in range(0, len(batch["index"]), 9):
        part = item_codes(hasher, {name: column[row : row + 3] for name, column in batch.items()})
        for side, codes in part.items():
            assert torch.equal(codes >= 0, whole[side][row : row + 3] >= 0)


def test_content_stays_where_it_is_unless_asked_for(collection, build, capsys):
    archive = build("--pairs", collection / "pairs")
    found = rows(archive)
    assert all(row["text"] is None and row["thumbnail"] is None for row in found.values())
    for file in archive.rglob("*"):
        assert not file.is_file() or b"O'Hara" not in file.read_bytes()
    opened = Archive.open(archive)
    assert opened.item("pair 001").text == make_pair(1).text
    assert opened.item("pair 000").text is None
    assert opened.picture("pair 006") is None
    assert Image.open(io.BytesIO(opened.picture("pair 068"))).size == (256, 192)
    assert is_at_hand(str(collection / "pairs"))
    assert not is_at_hand(str(collection / "gone"))
    assert not is_at_hand("https://example.org/pairs")
    said = refused(
        capsys,
        "build",
        archive.with_name("other"),
        "--checkpoint",
        collection / "hasher.ckpt",
        "--features",
        collection / "features",
        "--store-content",
    )
    assert "--store-content needs --pairs DIR" in said
    assert not archive.with_name("other").exists()


def test_the_pairs_of_the_project_file_are_named_where_they_are_needed(collection, tmp_path, monkeypatch, capsys):
    """Typed features leave out the pairs of the file: of relabeled ones they are still those."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(collection)
    table = 'archive = "archive"\nfeatures = "data/features"\npairs = "data/pairs"\n'
    (tmp_path / "mcmfh.toml").write_text(
        f'[mcmfh-archive.build]\n{table}checkpoint = "data/hasher.ckpt"\nstore-content = true\n'
        f"[mcmfh-archive.add]\n{table}[mcmfh-archive.upsert]\n{table}"
    )
    main(["build"])
    for command in (["build", "archive2"], ["add"], ["upsert"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--features", "data/more/features"])
        assert ended.value.code == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert "pairs" in said
        assert "--pairs data/pairs" in said, command
        assert ("--store-content needs" in said) == (command[0] == "build")
    main(["build", "archive2", "--features", "data/features", "--pairs", "data/pairs"])
    assert rows(tmp_path / "archive2") == rows(tmp_path / "archive")


def test_building_and_adding_again_changes_nothing(collection, build, capsys):
    archive = build("--splits", "test")
    assert len(rows(archive)) == COUNT // 5
    before = rows(build())
    version = ItemTable.open(archive).version
    capsys.readouterr()
    build()
    assert f"{archive}: 0 new items, {COUNT} were there; {COUNT} items, version {version}\n" == capsys.readouterr().out
    main(["add", str(archive), "--features", str(collection / "features"), "--splits", "train"])
    assert rows(archive) == before
    assert ItemTable.open(archive).version == version


def test_adding_other_items_and_their_labels(collection, build):
    archive = build()
    before = rows(archive)
    more = ["--features", str(collection / "more" / "features"), "--pairs", str(collection / "more" / "pairs")]
    main(["add", str(archive), *more, "--checkpoint", str(collection / "hasher.ckpt")])
    found = rows(archive)
    assert len(found) == 90
    assert {name: found[name] for name in before} == before
    assert found["pair 060"]["folder"] is None
    assert ArchiveInfo.load(archive).label_vocabulary == (*LABELS, "nodule")
    main(["upsert", str(archive), *more])
    replaced = rows(archive)
    assert replaced["pair 060"]["folder"] == str(collection / "more" / "pairs")
    assert replaced["pair 059"] == before["pair 059"]
    main(["add", str(archive), *more, "--replace"])
    assert rows(archive) == replaced
    main(["verify", str(archive), "--features", str(collection / "features")])


def test_deleting(collection, build, tmp_path, capsys):
    archive = build("--pairs", collection / "pairs", "--store-content")
    (tmp_path / "ids.txt").write_text("pair 005\nno such\n")
    capsys.readouterr()
    main(["delete", str(archive), "--ids", "pair 003", "--ids", "pair 004", "--ids-file", str(tmp_path / "ids.txt")])
    assert "3 items deleted, 1 was not there; 67 items" in " ".join(capsys.readouterr().out.split())
    assert "no item of group 'P-035': write" in refused(
        capsys, "delete", archive, "--groups", "P-035", "--groups", "P-034"
    )
    assert len(rows(archive)) == 67
    main(["delete", str(archive), "--groups", "P-000", "--groups", "34"])  # the second by its number
    gone = {"pair 000", "pair 001", "pair 003", "pair 004", "pair 005", "pair 068", "pair 069"}
    assert set(rows(archive)) == {f"pair {number:03d}" for number in range(COUNT)} - gone
    traces = [file for file in archive.rglob("*") if file.is_file() and b"Finding 4 of" in file.read_bytes()]
    assert traces, "earlier versions have it"
    before = rows(archive)
    Archive.open(archive)
    assert {path.name for path in (archive / "index").iterdir()} - {".lock"}
    main(["delete", str(archive), "--erase"])
    assert rows(archive) == before
    assert {path.name for path in (archive / "index").iterdir()} <= {".lock"}
    for file in archive.rglob("*"):
        assert not file.is_file() or b"Finding 4 of" not in file.read_bytes()
    assert "nothing to delete" in refused(capsys, "delete", archive)


def test_erasing_removes_codes_from_the_users_cache_too(build, tmp_path, monkeypatch):
    """They are there if the archive cannot be written to, or is on an object store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    archive = build()
    monkeypatch.setattr(os, "access", lambda *_: False)
    Archive.open(archive)
    assert list((tmp_path / "cache").rglob("case_code.npy"))
    assert not (archive / "index").exists()
    main(["delete", str(archive), "--ids", "pair 003", "--erase"])
    assert {file.name for file in (tmp_path / "cache").rglob("*") if file.is_file()} <= {".lock"}


def test_deleting_ids_of_all_kinds(build, tmp_path, capsys):
    archive = build(archive="of [/brackets]")
    (tmp_path / "ids.txt").write_text("\ufeffpair 003\r\npair 004\r\n", encoding="utf-8")
    capsys.readouterr()
    main(["delete", str(archive), "--ids-file", str(tmp_path / "ids.txt")])
    assert capsys.readouterr().out.startswith(f"{archive}: 2 items deleted; 68 items")
    said = refused(capsys, "delete", archive, "--ids", "pair 005", "0012")
    assert "repeat --ids for several values: --ids 'pair 005' --ids 0012" in said
    main(["delete", str(archive), "--ids", "pair 005", "--ids", "0012"])
    assert "1 item deleted, 1 was not there" in capsys.readouterr().out


def test_info(collection, build, capsys):
    archive = build("--pairs", collection / "pairs")
    capsys.readouterr()
    main(["info", str(archive), "--json"])
    content = json.loads(capsys.readouterr().out)
    pairs = [make_pair(number) for number in range(COUNT)]
    assert content["items"] == COUNT
    assert content["groups"] == COUNT // 2
    assert content["with_image"] == sum(pair.image is not None for pair in pairs)
    assert content["with_text"] == sum(pair.text is not None for pair in pairs)
    assert content["splits"] == {"train": COUNT - COUNT // 5, "test": COUNT // 5}
    assert content["labels"] == {label: sum(label in pair.labels for pair in pairs) for label in content["labels"]}
    assert content["dates"] == [min(p.date for p in pairs if p.date), max(p.date for p in pairs if p.date)]
    assert (content["num_bits"], content["hasher"], content["encoder"]) == (16, "MCMFH", {"name": "planted"})
    main(["info", str(archive)])
    printed = capsys.readouterr().out
    assert "70 items of 35 groups" in printed
    assert max(len(line) for line in printed.splitlines() if str(archive) not in line) <= 100


def test_every_subcommand_explains_itself(capsys):
    main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("build", "add", "upsert", "delete", "info", "verify", "search", "serve"))


def test_codes_of_bits_that_fill_no_byte(collection, tmp_path):
    write_checkpoint(tmp_path / "11.ckpt", num_bits=11)
    archive = tmp_path / "archive"
    main(["build", str(archive), "--checkpoint", str(tmp_path / "11.ckpt"), "--features", str(collection / "features")])
    codes = code_array(ItemTable.open(archive).select(["case_code"])["case_code"])
    assert codes.shape == (COUNT, 2)
    assert not (codes[:, 1] & 0b11111).any()
    main(["verify", str(archive), "--features", str(collection / "features")])
    hasher = load_archive_hasher(Location(archive), ArchiveInfo.load(archive))
    assert isinstance(hasher, MCMFH)

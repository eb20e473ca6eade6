"""Folders damaged in one way each: exactly the check that is meant for it finds it."""

import dataclasses
import io
import json
import re
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mcmfh_lightning.cli.data import main
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.shards import FeatureShardWriter, merge_feature_parts
from mcmfh_lightning.shards.feature_blocks import COLUMNS, IDS, column_checksum, row_checksums
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.members import decode_json, decode_npy, encode_json, encode_npy
from mcmfh_lightning.shards.packing import place_checksum
from mcmfh_lightning.shards.pair import decode_description, encode_description
from mcmfh_lightning.shards.verify import report as checks
from mcmfh_lightning.shards.verify.report import verify_table
from mcmfh_lightning.shards.verify.run import verify
from mcmfh_lightning.tables import as_text

SPLITS = ("train", "val", "test")


def look(folder: Path) -> dict[checks.Check, tuple[str, int]]:
    """Result and count of every check that did not pass."""
    report = verify(ShardFolder(folder), Console(quiet=True))
    results = {check: (report.result(check), row.count) for check, row in report.rows.items()}
    return {check: result for check, result in results.items() if result[0] not in ("ok", "nothing to look at")}


def examples(folder: Path, check: checks.Check) -> list[str]:
    return verify(ShardFolder(folder), Console(quiet=True)).rows[check].examples


@pytest.fixture
def make_pairs(tmp_path, pair_writer, make_pair) -> Callable[..., Path]:
    """Six pairs a split, in two shards each; pictures, texts and groups are all different across splits.

    Keywords change pairs by number: ``p7={"group": 3}``. Pairs 0 to 5 are train, 6 to 11 val, 12 to 17 test.
    """

    def make(**changes: Mapping[str, object]) -> Path:
        folder = tmp_path / "pairs"
        with pair_writer(folder) as writer:
            for number in range(18):
                change = changes.get(f"p{number}", {})
                name = {"group_name": f"study {change['group']}"} if "group" in change else {}
                pair = dataclasses.replace(make_pair(number), **{**name, **change})
                writer.write(SPLITS[number // 6], pair)
        return folder

    return make


@pytest.fixture
def make_table(tmp_path, feature_info) -> Callable[..., Path]:
    """Features of six items a split, one block each. ``change`` may alter the columns of train, val and test."""

    def make(change: Callable[[dict[str, dict[str, object]]], None] = lambda tables: None) -> Path:
        folder, rng = tmp_path / "features", np.random.default_rng(0)
        tables = {
            split: {
                "ids": [f"{split}-{i}" for i in range(6)],
                "image": rng.normal(size=(6, 3)),
                "text": rng.normal(size=(6, 2)),
                "labels": np.packbits(rng.random((6, 11)) < 0.3, axis=1),
                "groups": 6 * number + np.arange(6),
                "text_hashes": 100 * (number + 1) + np.arange(6),
                "present": np.ones((6, 2), dtype=bool),
            }
            for number, split in enumerate(SPLITS)
        }
        change(tables)
        writer = FeatureShardWriter(folder, rank=0)
        for split, table in tables.items():
            writer.write(split, **table)
        writer.close()
        merge_feature_parts(folder, feature_info, 1, expected_ids={s: table["ids"] for s, table in tables.items()})
        return folder

    return make


def read_tar(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def rewrite(folder: Path, name: str, members: Mapping[str, bytes], **entry: object) -> None:
    """Write a shard again, with dataset.json to match: what a wrong writer would have made."""
    with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in members.items():
            header = tarfile.TarInfo(member)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    relist(folder, name, **entry)


def relist(folder: Path, name: str, **entry: object) -> None:
    """Give a shard's entry in dataset.json the size and checksum that the file has now."""
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    for split in content["splits"].values():
        for shard in split["shards"]:
            if shard["name"] == name:
                shard |= {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)} | entry
        split["pairs"] = sum(shard["pairs"] for shard in split["shards"])
    path.write_text(json.dumps(content))


def rewrite_pair(folder: Path, number: int, name: str, **changes: bytes | None) -> None:
    """Replace members of the first record of a shard; its description keeps the right checksums."""
    members = read_tar(folder / name)
    key = next(iter(members)).partition(".")[0]
    place = place_checksum(name, 0, key)
    extensions = {member.partition(".")[2]: None for member in members if member.startswith(f"{key}.")}
    pair, checksums = decode_description(members[f"{key}.json"], key, extensions, place)
    record = {f"{key}.{extension}": content for extension, content in changes.items()}
    checksums |= {extension: column_checksum(content, 0) for extension, content in changes.items()}
    rewrite(folder, name, members | record | {f"{key}.json": encode_description(pair, checksums, place)})


def rewrite_block(folder: Path, change: Callable[[dict[str, object]], None], split: str = "test") -> None:
    """Alter the arrays of a block; its checksums, size and SHA-256 are made to match."""
    name = f"{split}-000-00000.tar"
    members = read_tar(folder / name)
    key = next(iter(members)).partition(".")[0]
    arrays = {
        member.partition(".")[2]: (decode_json if member.endswith("json") else decode_npy)(content)
        for member, content in members.items()
    }
    change(arrays)
    place, rows = place_checksum(name, 0, key), len(arrays[IDS])
    arrays["rowcrc.npy"] = row_checksums(arrays, np.arange(rows), np.full(rows, place, dtype=np.uint32))
    columns = [column_checksum(encode_json(arrays[c]) if c.endswith("json") else arrays[c], place) for c in COLUMNS]
    arrays["colcrc.npy"] = np.array(columns, dtype="<u4")
    encoded = {f"{key}.{n}": encode_json(a) if n.endswith("json") else encode_npy(a) for n, a in arrays.items()}
    rewrite(folder, name, encoded)


# --- clean folders -------------------------------------------------------------------------------------------------


def test_clean_folders_pass_every_check(make_pairs, make_table):
    for folder in (make_pairs(), make_table()):
        report = verify(ShardFolder(folder), Console(quiet=True))
        assert {report.result(check) for check in report.rows} == {"ok"}
        assert not report.failed
        assert all(row.looked_at for row in report.rows.values())


def test_everything_is_looked_at(make_pairs, make_table):
    rows = verify(ShardFolder(make_pairs()), Console(quiet=True)).rows
    for check in (checks.PICTURES, checks.TEXTS, checks.DESCRIPTIONS, checks.CHECKSUMS, checks.LABELS, checks.IDS):
        assert rows[check].looked_at == 18
    assert rows[checks.SHA256].looked_at == 6
    assert rows[checks.GROUPS].looked_at == 9
    rows = verify(ShardFolder(make_table()), Console(quiet=True)).rows
    assert rows[checks.FINITE].looked_at == 2 * 18
    assert rows[checks.VARYING].looked_at == 3 + 2


def test_single_modality_items_and_skipped_items_are_not_findings(make_pairs, make_table):
    folder = make_pairs(p1={"text": None}, p2={"image": None, "image_format": None})
    (folder / "skipped.csv").write_text("reason,item\n")
    assert look(folder) == {}

    def strip(tables):
        tables["train"]["present"][:3] = [True, False]
        tables["test"]["present"][:3] = [False, True]

    assert look(make_table(strip)) == {}


# --- files ---------------------------------------------------------------------------------------------------------


def test_dataset_json(make_pairs):
    folder = make_pairs()
    (folder / "dataset.json").write_text("{")
    assert look(folder) == {checks.DATASET: ("failed", 1)}


def test_a_lost_shard(make_pairs):
    folder = make_pairs()
    (folder / "val-000-00001.tar").unlink()
    assert look(folder) == {checks.PRESENT: ("failed", 1)}
    assert "val-000-00001.tar" in examples(folder, checks.PRESENT)[0]


def test_a_shard_with_more_behind_its_end(make_pairs):
    folder = make_pairs()
    with (folder / "val-000-00001.tar").open("ab") as stream:
        stream.write(bytes(512))
    assert look(folder) == {checks.PRESENT: ("failed", 1), checks.SHA256: ("failed", 1)}


def test_a_flipped_byte_that_no_record_holds(make_pairs):
    folder = make_pairs()
    path = folder / "train-000-00000.tar"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the tar's own end
    path.write_bytes(content)
    assert look(folder) == {checks.SHA256: ("failed", 1)}


@pytest.mark.parametrize("name", ["evil.pkl", "evil.pth", "../evil.txt", "/evil.txt", "pipe:touch evil.txt", "a/b.txt"])
def test_a_member_that_is_none_of_ours(make_pairs, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = make_pairs()
    shard = "test-000-00001.tar"
    rewrite(folder, shard, read_tar(folder / shard) | {name: b"cos\nsystem\n(S'touch evil'\ntR."})
    assert look(folder) == {checks.MEMBERS: ("failed", 1)}
    assert name.rpartition("/")[2][:4] in examples(folder, checks.MEMBERS)[0]
    assert not list(tmp_path.rglob("evil*"))


def test_a_record_with_an_unknown_set_of_members(make_pairs):
    folder, shard = make_pairs(), "test-000-00001.tar"
    members = read_tar(folder / shard)
    del members[next(name for name in members if name.endswith("json"))]
    rewrite(folder, shard, members)
    assert look(folder) == {checks.MEMBERS: ("failed", 1)}


def test_fewer_pairs_than_listed(make_pairs, make_table):
    folder, shard = make_pairs(), "test-000-00001.tar"
    relist(folder, shard, pairs=3)
    assert look(folder) == {checks.COUNTS: ("failed", 1)}
    assert examples(folder, checks.COUNTS) == [f"{shard}: 2 pairs, dataset.json says 3"]
    folder = make_table()
    relist(folder, "test-000-00000.tar", pairs=7)
    assert look(folder) == {checks.COUNTS: ("failed", 1)}


def test_leftovers(make_pairs):
    folder = make_pairs()
    for name in ("train-000-00009.tar.part", "train-000-00009.tar", "notes.txt"):
        (folder / name).write_bytes(b"x")
    (folder / "more").mkdir()
    assert look(folder) == {checks.LEFTOVERS: ("warning", 4)}


# --- records -------------------------------------------------------------------------------------------------------


def test_a_record_that_differs_from_its_checksum(make_pairs):
    folder, shard = make_pairs(), "val-000-00000.tar"
    members = read_tar(folder / shard)
    name = next(name for name in members if name.endswith("txt"))
    rewrite(folder, shard, members | {name: b"Another finding."})
    assert look(folder) == {checks.CHECKSUMS: ("failed", 1)}
    assert examples(folder, checks.CHECKSUMS) == [f"{shard} {name.partition('.')[0]}: .txt"]


@pytest.mark.parametrize("cut", [30, 45])
def test_a_picture_that_does_not_decode(make_pairs, make_pair, cut):
    folder = make_pairs()
    rewrite_pair(folder, 0, "val-000-00000.tar", png=make_pair(6).image[:cut])
    assert look(folder) == {checks.PICTURES: ("failed", 1)}
    assert re.match(r"val-000-00000.tar pair-6: the picture cannot be decoded", examples(folder, checks.PICTURES)[0])


@pytest.mark.parametrize("text", [b"\xff\xfe", b" \n\t", b"", b"long " * 20_001])
def test_a_text_that_cannot_be_used(make_pairs, text):
    folder = make_pairs()
    rewrite_pair(folder, 0, "val-000-00000.tar", txt=text)
    assert look(folder) == {checks.TEXTS: ("failed", 1)}


@pytest.mark.parametrize("description", [b"{}", b"[", b"\xff", b'{"id": 1}'])
def test_a_description_that_is_none(make_pairs, description):
    folder, shard = make_pairs(), "val-000-00000.tar"
    rewrite(folder, shard, read_tar(folder / shard) | {"pair-6.json": description})
    assert look(folder) == {checks.DESCRIPTIONS: ("failed", 1)}


def test_records_that_changed_places(make_pairs):
    folder, shard = make_pairs(), "val-000-00001.tar"
    members = list(read_tar(folder / shard).items())
    rewrite(folder, shard, dict(members[3:] + members[:3]))
    assert look(folder) == {checks.DESCRIPTIONS: ("failed", 2)}


def test_a_label_out_of_the_vocabulary(make_pairs):
    folder = make_pairs()
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    content["label_vocabulary"].remove("effusion")
    path.write_text(json.dumps(content))
    assert look(folder) == {checks.LABELS: ("failed", 6)}
    assert examples(folder, checks.LABELS)[0] == "train-000-00000.tar pair-2: effusion"


# --- across splits -------------------------------------------------------------------------------------------------


def test_an_id_that_occurs_twice(make_table):
    folder = make_table()
    rewrite_block(folder, lambda arrays: arrays[IDS].__setitem__(2, "train-4"))
    assert look(folder) == {checks.IDS: ("failed", 1)}
    assert examples(folder, checks.IDS) == ["train-000-00000.tar train-4 and test-000-00000.tar train-4"]


def test_a_group_in_two_splits(make_pairs, make_table):
    folder = make_pairs(p13={"group": 1})
    assert look(folder) == {checks.GROUPS: ("failed", 1)}
    assert examples(folder, checks.GROUPS) == [
        "group study 1: train-000-00000.tar pair-2 and test-000-00000.tar pair-13"
    ]

    def change(tables):
        tables["val"]["groups"][:2] = tables["test"]["groups"][4]

    assert look(make_table(change)) == {checks.GROUPS: ("failed", 1)}


def test_a_group_of_two_names_and_a_name_of_two_groups(make_pairs, make_table):
    places = "train-000-00000.tar pair-0 and test-000-00000.tar pair-13"
    folder = make_pairs(p13={"group": 77, "group_name": "study 0"})
    assert look(folder) == {checks.GROUP_NAMES: ("failed", 1)}
    assert examples(folder, checks.GROUP_NAMES) == [f"group 'study 0' has the numbers 0 and 77: {places}"]

    def change(tables):
        tables["val"]["group_names"] = ["6", "7", "8", "9", "P-10", "11"]
        tables["test"]["group_names"] = ["12", "13", "14", "P-15", "16", "17"]
        tables["test"]["groups"][2:4] = 14

    folder = make_table(change)
    assert look(folder) == {checks.GROUP_NAMES: ("failed", 1)}
    [found] = examples(folder, checks.GROUP_NAMES)
    assert found == "groups '14' and 'P-15' have one number: test-000-00000.tar test-2 and test-000-00000.tar test-3"


def test_a_picture_in_two_splits(make_pairs, make_pair, make_table):
    folder = make_pairs(p13={"image": make_pair(1).image})
    assert look(folder) == {checks.SAME_PICTURES: ("failed", 1)}
    assert examples(folder, checks.SAME_PICTURES) == ["train-000-00000.tar pair-1 and test-000-00000.tar pair-13"]

    def change(tables):
        tables["test"]["image"][3] = tables["train"]["image"][5]

    assert look(make_table(change)) == {checks.SAME_PICTURES: ("failed", 1)}


def test_a_picture_twice_in_one_split_is_not_a_leak(make_pairs, make_pair):
    assert look(make_pairs(p3={"image": make_pair(1).image}, p4={"text": make_pair(1).text})) == {}


def test_a_text_in_two_splits_up_to_white_space(make_pairs, make_table):
    folder = make_pairs(p13={"text": "Finding 1:  naïve text. "}, p14={"text": "Finding 1: naïve text."})
    assert look(folder) == {checks.SAME_TEXTS: ("warning", 2)}
    found = examples(folder, checks.SAME_TEXTS)
    assert found == ["test: 2 of 6 (33.3%); test-000-00000.tar pair-13 and train-000-00000.tar pair-1"]

    def change(tables):
        tables["test"]["text_hashes"][:3] = tables["val"]["text_hashes"][0]

    assert look(make_table(change)) == {checks.SAME_TEXTS: ("warning", 4)}  # three of test and the one of val


# --- features ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "modality"), [(np.nan, "image"), (np.inf, "text")])
def test_an_embedding_that_is_not_finite(make_table, value, modality):
    folder = make_table()
    rewrite_block(folder, lambda arrays: arrays[f"{modality}.npy"].__setitem__((4, 1), value))
    assert look(folder) == {checks.FINITE: ("failed", 1)}
    assert examples(folder, checks.FINITE) == [f"test-000-00000.tar 000000 test-4: {modality} embedding"]


def test_nan_written_straight_into_the_tar(make_table):
    """Then its checksums differ too."""
    folder = make_table()
    path = folder / "test-000-00000.tar"
    content, image = path.read_bytes(), decode_npy(read_tar(path)["000000.image.npy"]).tobytes()
    assert content.count(image) == 1
    path.write_bytes(content.replace(image, np.float16(np.nan).tobytes() + image[2:]))
    assert look(folder) == {checks.SHA256: ("failed", 1), checks.CHECKSUMS: ("failed", 1), checks.FINITE: ("failed", 1)}


@pytest.mark.parametrize("value", [0, 0.5])
def test_an_embedding_that_says_nothing(make_table, value):
    folder = make_table(lambda tables: tables["val"]["text"].__setitem__(1, value))
    assert look(folder) == {checks.SAYING: ("failed", 1)}
    assert examples(folder, checks.SAYING) == ["val-000-00000.tar 000000 val-1: text embedding"]


def test_a_dimension_that_never_varies(make_table):
    def change(tables):
        for table in tables.values():
            table["image"][:, 1] = 0.25

    folder = make_table(change)
    assert look(folder) == {checks.VARYING: ("warning", 1)}
    assert examples(folder, checks.VARYING) == ["image: 1 of 3 dimensions: 1"]


@pytest.mark.parametrize("modality", ["image", "text"])
def test_one_embedding_for_all_items(make_table, modality):
    """As of texts that begin alike for longer than the encoder reads: every code of the modality would be equal."""

    def change(tables, rows=slice(None)):
        for table in tables.values():
            table[modality][rows] = np.arange(1, 1 + table[modality].shape[1])

    folder = make_table(change)
    found = look(folder)
    assert found.pop(checks.DIFFERENT) == ("failed", 1)
    assert set(found) == ({checks.SAME_PICTURES} if modality == "image" else set())
    assert examples(folder, checks.DIFFERENT)[0].startswith(f"{modality}: the same")


def test_one_embedding_is_right_where_there_is_one_film_and_one_text(make_table):
    """A folder to add: one study whose films share a report, or several captions of one film."""

    def change(tables):
        for name in ("val", "test"):
            for column in tables[name]:
                tables[name][column] = tables[name][column][:0]
        train = tables["train"]
        train["image"][:], train["text"][:] = (1, 2, 3), (1, 2)
        train["groups"][:], train["text_hashes"][:] = 7, 9

    assert look(make_table(change)) == {checks.VARYING: ("warning", 5)}


def test_something_where_nothing_should_be(make_table):
    folder = make_table()
    rewrite_block(folder, lambda arrays: arrays["present.npy"].__setitem__((2, 0), 0))
    assert look(folder) == {checks.ABSENT: ("failed", 1)}


def test_an_item_that_lacks_both(make_table):
    def change(arrays):
        for name in ("present.npy", "image.npy", "text.npy", "texts.npy"):
            arrays[name][2] = 0

    folder = make_table()
    rewrite_block(folder, change)
    assert look(folder) == {checks.ABSENT: ("failed", 1)}
    assert "neither" in examples(folder, checks.ABSENT)[0]


def test_label_bits_beyond_the_vocabulary(make_table):
    folder = make_table()
    rewrite_block(folder, lambda arrays: arrays["labels.npy"].__setitem__((0, 1), 0x10))
    assert look(folder) == {checks.LABELS: ("failed", 1)}


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.update({"image.npy": arrays["image.npy"].astype("<f4")}),
        lambda arrays: arrays.update({"text.npy": arrays["text.npy"][:, :1]}),
        lambda arrays: arrays.update({IDS: [*arrays[IDS][:-1], 7]}),
        lambda arrays: arrays.update({"extra.npy": np.zeros(3)}),
    ],
)
def test_a_block_that_is_not_what_dataset_json_describes(make_table, change):
    folder = make_table()
    rewrite_block(folder, change)
    assert look(folder) == {checks.BLOCKS: ("failed", 1)}


def test_a_pickled_array_is_refused_unread(make_table, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "evil",)

    stream = io.BytesIO()
    np.save(stream, np.array([Evil()], dtype=object), allow_pickle=True)
    folder, shard = make_table(), "val-000-00000.tar"
    rewrite(folder, shard, read_tar(folder / shard) | {"000000.image.npy": stream.getvalue()})
    assert look(folder) == {checks.BLOCKS: ("failed", 1)}
    assert "unpickled" in examples(folder, checks.BLOCKS)[0]
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_or_row_that_differs_from_its_checksum(make_table, name):
    folder, shard = make_table(), "val-000-00000.tar"
    members = read_tar(folder / shard)
    content = bytearray(members[f"000000.{name}"])
    content[-3] ^= 2
    rewrite(folder, shard, members | {f"000000.{name}": bytes(content)})
    assert look(folder)[checks.CHECKSUMS] == ("failed", 1)


# --- the command ---------------------------------------------------------------------------------------------------


def run(folder: Path | str) -> int:
    try:
        main(["verify", str(folder)])
    except SystemExit as stop:
        return stop.code
    return 0


def test_exit_code_and_table(make_pairs, make_pair, capsys):
    folder = make_pairs(p13={"group": 1}, p14={"text": make_pair(1).text})
    assert run(folder) == 1
    screen = capsys.readouterr().out
    row = next(line for line in screen.splitlines() if checks.GROUPS.name in line)
    assert "failed" in row
    assert "group study 1: train-000-00000.tar pair-2" in " ".join(screen.split())
    assert checks.GROUPS.fix.split(":")[0] in " ".join(screen.replace("│", "").split())
    assert "warning" in next(line for line in screen.splitlines() if checks.SAME_TEXTS.name in line)


def test_warnings_alone_are_not_a_failure(make_pairs, make_pair, capsys):
    assert run(make_pairs(p14={"text": make_pair(1).text})) == 0
    assert "warning" in capsys.readouterr().out


def test_a_clean_folder_by_url(make_pairs, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run(f"file://{make_pairs()}") == 0
    assert "failed" not in capsys.readouterr().out


def test_a_folder_that_does_not_exist(tmp_path, capsys):
    assert run(tmp_path / "nothing") == 2
    assert "give the one that a converter" in capsys.readouterr().err


def test_all_is_reported_at_once(make_pairs, make_pair):
    """One failed shard ends nothing."""
    folder = make_pairs(p13={"group": 1, "image": make_pair(1).image})
    (folder / "train-000-00001.tar").write_bytes(b"no tar" * 100)
    (folder / "val-000-00000.tar").unlink()
    assert set(look(folder)) == {
        checks.PRESENT,
        checks.SHA256,
        checks.MEMBERS,
        checks.GROUPS,
        checks.SAME_PICTURES,
    }


def test_the_verdict_comes_first_and_the_fix_under_the_table(make_pairs):
    folder = make_pairs(p13={"group": 1})
    (folder / "odd.txt").touch()
    lines = as_text(verify_table(verify(ShardFolder(folder), Console(quiet=True)), "here")).splitlines()
    assert re.fullmatch(r"here: 1 check failed, 1 warning, \d+ checks passed(, \d+ had nothing to look at)?", lines[0])
    assert max(map(len, lines)) <= 100
    at = lines.index(f"failed: {checks.GROUPS.name}")
    assert "1" in lines[at + 1]
    assert " ".join(lines[at + 2 : at + 4]).startswith(f"fix: {checks.GROUPS.fix}")
    assert "odd.txt" in lines[lines.index(f"warning: {checks.LEFTOVERS.name}") + 1]


def test_names_in_a_damaged_folder_are_not_markup(make_pairs):
    folder, shard = make_pairs(), "val-000-00000.tar"
    rewrite(folder, shard, read_tar(folder / shard) | {"[bold]x[/nothing].txt": b"x"})
    console = Console(file=io.StringIO(), width=200)
    console.print(verify_table(verify(ShardFolder(folder), Console(quiet=True)), "[/x]"))
    assert "[bold]x[/nothing].txt" in console.file.getvalue()


@pytest.mark.parametrize("kind", ["pairs", "features"])
def test_random_damage_never_ends_it(make_pairs, make_table, kind):
    folder = make_pairs() if kind == "pairs" else make_table()
    rng = np.random.default_rng(0)
    paths = sorted(folder.glob("*.tar"))
    for seed in range(20):
        path = paths[seed % len(paths)]
        whole = path.read_bytes()
        hurt = np.frombuffer(whole, dtype=np.uint8).copy()
        hurt[rng.integers(len(hurt), size=3)] = rng.integers(256, size=3)
        path.write_bytes(hurt.tobytes()[: rng.integers(1, len(hurt)) if seed % 4 == 0 else None])
        if path.read_bytes() != whole:
            before = (folder / "dataset.json").read_bytes()
            if seed % 2:  # so that what comes after size and SHA-256 has to notice
                relist(folder, path.name)
            assert look(folder) or seed % 2
            (folder / "dataset.json").write_bytes(before)
        path.write_bytes(whole)


def test_what_the_converter_writes_passes(tmp_path, capsys):
    phantom, out = tmp_path / "phantom", tmp_path / "pairs"
    main(["phantom", "--out", str(phantom), "--studies", "10"])
    paths = ["--reports", str(phantom / "reports.tgz"), "--images", str(phantom / "images")]
    main(["openi", *paths, "--out", str(out), "--min-label-count", "2"])
    assert run(out) == 0
    assert look(out).keys() <= {checks.SAME_TEXTS}

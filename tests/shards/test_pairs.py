import csv
import json
import multiprocessing
import os
import pickle
import signal
from dataclasses import replace

import numpy as np
import pytest
import webdataset

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.shards import PairShardReader, pack_labels, text_hash
from mcmfh_lightning.shards import members as members_module
from mcmfh_lightning.shards import pair_writer as pair_writer_module
from mcmfh_lightning.shards.packing import place_checksum
from mcmfh_lightning.shards.pair import pair_from_members, pair_to_members
from mcmfh_lightning.shards.tar import ShardWriter, record_key

VOCABULARY = ("normal", "opacity", "effusion")
SIZES = {"train": 10, "val": 3, "test": 4}


class InterruptionError(Exception):
    pass


def interrupt():
    raise InterruptionError


@pytest.fixture
def convert(make_pair, pair_writer):
    """A converter: writes what is not there yet; stops before the pair of a given number, counted over all splits."""

    def run(folder, stop_before=None, stop=interrupt):
        count = 0
        with pair_writer(folder) as writer:
            writer.skip("no image", "pair-99")
            for split, size in SIZES.items():
                done = writer.resume_from(split)
                for number in range(size):
                    if count == stop_before:
                        stop()
                    count += 1
                    if number >= done:
                        writer.write(split, make_pair(number, split))
            return writer.close()

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written_is_read(convert, make_pair, tmp_path):
    info = convert(tmp_path)
    assert {split: entry.pairs for split, entry in info.splits.items()} == SIZES
    assert [shard.pairs for shard in info.splits["train"].shards] == [4, 4, 2]
    assert info.skipped == {"no image": 1}
    assert info.skipped_examples == {"no image": ["pair-99"]}
    for split, size in SIZES.items():
        reader = PairShardReader(tmp_path, split)
        assert len(reader) == size
        assert reader.ids == [f"{split}-{number}" for number in range(size)]
        assert list(reader) == [make_pair(number, split) for number in range(size)]
        assert reader.info == info


def test_a_pair_is_found_by_its_shard_and_described_without_its_content(convert, make_pair, tmp_path):
    convert(tmp_path)
    for shard in ("train-000-00000.tar", "train-000-00002.tar"):  # not those of the pairs below: never looked into
        path = tmp_path / shard
        path.write_bytes(b"\1" * path.stat().st_size)
    reader = PairShardReader(tmp_path, "train")
    assert [reader.find("train-000-00001.tar", f"train-{number}") for number in (4, 7)] == [4, 7]
    assert reader.find("train-000-00001.tar", "train-8") is None
    assert reader.find("train-000-00009.tar", "train-4") is None
    assert [reader.shard_of(position)[-5:-4] for position in range(10)] == list("0000111122")
    described, pair = reader.describe(5), make_pair(5, "train")
    assert (described.id, described.labels, described.group) == (pair.id, pair.labels, pair.group)
    assert described.group_name == pair.group_name == "study 2"
    assert (described.date, described.source, described.licence) == (pair.date, pair.source, pair.licence)


def test_items_of_one_modality(pair_writer, make_pair, tmp_path):
    lacks = [None, "image", "text", None, "text", "image"]
    pairs = [make_pair(number, lacks=lack) for number, lack in enumerate(lacks)]
    with pair_writer(tmp_path) as writer:
        for pair in pairs:
            writer.write("train", pair)
    reader = PairShardReader(tmp_path, "train")
    assert list(reader) == pairs
    np.testing.assert_array_equal(reader.present, [[lack != "image", lack != "text"] for lack in lacks])


def test_columns_are_read_without_pictures_and_texts(convert, make_pair, tmp_path, monkeypatch):
    convert(tmp_path)
    reader = PairShardReader(tmp_path, "train")
    read = []
    pread = os.pread

    def spy(descriptor, size, offset):
        read.append(size)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", spy)
    pairs = [make_pair(number, "train") for number in range(10)]
    np.testing.assert_array_equal(reader.groups, [pair.group for pair in pairs])
    assert reader.groups.dtype == np.int64
    assert reader.group_names == [pair.group_name for pair in pairs]
    np.testing.assert_array_equal(reader.labels, pack_labels([pair.labels for pair in pairs], VOCABULARY))
    assert reader.present.all()
    assert reader.present.shape == (10, 2)
    # Three headers and one description a pair, and the end of each of three files.
    assert len(read) == 10 * 4 + 3
    assert reader.ids == [f"train-{number}" for number in range(10)]
    assert len(read) == 10 * 4 + 3


def test_columns_of_a_split_that_is_not_there(pair_writer, make_pair, tmp_path):
    with pair_writer(tmp_path) as writer:
        writer.write("train", make_pair(0))
    reader = PairShardReader(tmp_path, "val")
    assert reader.ids == []
    assert (reader.groups.shape, reader.labels.shape, reader.present.shape) == ((0,), (0, 1), (0, 2))


@pytest.mark.parametrize("name", ["study 7/image.1", "Röntgen", "../../etc/passwd", "a" * 200, "pipe:rm -rf .", "."])
def test_the_ids_of_a_collection_are_kept(pair_writer, make_pair, tmp_path, name):
    with pair_writer(tmp_path) as writer:
        for number, pair_id in enumerate([name, "plain"]):
            writer.write("train", replace(make_pair(number), id=pair_id))
    reader = PairShardReader(tmp_path, "train")
    assert reader.ids == [name, "plain"]
    assert reader[0].id == name
    assert reader.where(0).endswith(f"pair {record_key(name)}")


def test_webdataset_reads_the_shards(convert, make_pair, tmp_path):
    convert(tmp_path)
    urls = sorted(str(path) for path in tmp_path.glob("train-*.tar"))
    records = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [record["__key__"] for record in records] == [f"train-{number}" for number in range(10)]
    pair = make_pair(7, "train")
    assert records[7]["png"] == pair.image
    assert records[7]["txt"].decode() == pair.text
    description = json.loads(records[7]["json"])
    assert description.pop("crc32").keys() == {"png", "txt", "json"}
    assert description == {
        "id": pair.id,
        "labels": list(pair.labels),
        "group": pair.group,
        "group_name": "study 3",
        "date": pair.date,
        "source": pair.source,
        "licence": pair.licence,
    }


def test_checksums_and_sizes_are_those_of_the_files(convert, tmp_path):
    for entry in convert(tmp_path).splits.values():
        for shard in entry.shards:
            assert shard.sha256 == sha256_of(tmp_path / shard.name)
            assert shard.bytes == (tmp_path / shard.name).stat().st_size


def test_only_shards_and_dataset_json_remain(convert, tmp_path):
    info = convert(tmp_path)
    shards = {shard.name for entry in info.splits.values() for shard in entry.shards}
    assert set(contents(tmp_path)) == shards | {"dataset.json", "skipped.csv"}


@pytest.mark.parametrize("stop_before", [0, 1, 4, 6, 10, 12, 13, 16])
def test_an_interrupted_run_resumes_and_ends_the_same(convert, tmp_path, stop_before):
    convert(tmp_path / "whole")
    with pytest.raises(InterruptionError):
        convert(tmp_path / "cut", stop_before)
    assert "dataset.json" not in contents(tmp_path / "cut")
    assert not list((tmp_path / "cut").glob("*.part"))
    convert(tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_whole_shards_are_not_written_again(convert, tmp_path, monkeypatch):
    with pytest.raises(InterruptionError):
        convert(tmp_path, 9)
    written = []
    write = ShardWriter.write

    def spy(self, key, members, **settings):
        written.append(key)
        write(self, key, members, **settings)

    monkeypatch.setattr(ShardWriter, "write", spy)
    convert(tmp_path)
    assert written[:2] == ["train-8", "train-9"]


def test_interrupted_between_a_shard_and_its_entry(convert, tmp_path, monkeypatch):
    convert(tmp_path / "whole")
    calls = []

    def fail_at_the_third(path, content):
        calls.append(path)
        if len(calls) == 3:
            raise InterruptionError
        write_json(path, content)

    write_json = pair_writer_module.write_json
    monkeypatch.setattr(pair_writer_module, "write_json", fail_at_the_third)
    with pytest.raises(InterruptionError):
        convert(tmp_path / "cut")
    monkeypatch.undo()
    assert (tmp_path / "cut" / "train-000-00001.tar").exists()
    convert(tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def convert_and_die(convert, folder, kill_before):
    with pytest.raises(InterruptionError):
        convert(folder, kill_before, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_killed_run_resumes_and_ends_the_same(convert, tmp_path):
    convert(tmp_path / "whole")
    process = multiprocessing.get_context("fork").Process(target=convert_and_die, args=(convert, tmp_path / "cut", 6))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert "train-000-00001.tar.part" in contents(tmp_path / "cut")
    convert(tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_finished_folder_is_refused(convert, tmp_path):
    convert(tmp_path)
    with pytest.raises(DataError, match="finished data set"):
        convert(tmp_path)


@pytest.mark.parametrize(
    "change", [{"settings": {"seed": 1}}, {"pairs_per_shard": 5}, {"label_vocabulary": ("normal", "opacity")}]
)
def test_an_unfinished_folder_of_other_settings_is_refused(convert, pair_writer, tmp_path, change):
    with pytest.raises(InterruptionError):
        convert(tmp_path, 5)
    with pytest.raises(DataError, match=f"other settings \\({next(iter(change))}: .* then, .* now"):
        pair_writer(tmp_path, **change)


def test_a_folder_with_shards_of_something_else_is_refused(pair_writer, tmp_path):
    (tmp_path / "train-000-00000.tar").touch()
    with pytest.raises(DataError, match="was not written by this command"):
        pair_writer(tmp_path)


def test_a_changed_shard_is_not_built_upon(convert, tmp_path):
    with pytest.raises(InterruptionError):
        convert(tmp_path, 5)
    path = tmp_path / "train-000-00000.tar"
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"train-000-00000\.tar was changed"):
        convert(tmp_path)


def test_a_collection_that_grew_is_refused(convert, pair_writer, make_pair, tmp_path):
    with pytest.raises(InterruptionError):
        convert(tmp_path, 12)
    writer = pair_writer(tmp_path)
    assert writer.resume_from("train") == 10
    with pytest.raises(DataError, match="the collection has changed"):
        writer.write("train", make_pair(10, "train"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("fracture",)}, "fracture"),
        ({"image": b"GIF89a"}, "not a png file"),
        ({"image_format": "gif"}, "convert the picture"),
        ({"group": 2**63}, "64 bits"),
        ({"group": True}, "64 bits"),
        ({"id": ""}, "1 to 200 printable characters; rename the item"),
        ({"id": "a" * 201}, "rename the item"),
        ({"id": "a\nb"}, "rename the item"),
        ({"id": "a\ud800"}, "rename the item"),
        ({"group_name": "a" * 201}, "1 to 200 printable characters; rename the group"),
        ({"group_name": "a\nb"}, "rename the group"),
        ({"date": 2012}, "date is neither"),
        ({"licence": None}, "source or licence"),
        ({"labels": ("normal", 1)}, "not in the label vocabulary"),
        ({"text": "a\ud800"}, "half a character"),
        ({"text": "a" * 100_001}, "100001 characters, more than 100000: shorten it"),
        ({"image": b"\x89PNG\r\n\x1a\n" + b"?" * 40}, "cannot be decoded"),
        ({"image": None, "image_format": None, "text": None}, r"\.jpg or \.png, \.txt, or both"),
    ],
)
def test_pairs_that_cannot_be_stored(pair_writer, make_pair, tmp_path, change, message):
    writer = pair_writer(tmp_path)
    with pytest.raises(DataError, match=f"(?s)^pair .*{message}"):
        writer.write("train", replace(make_pair(0), **change))
    writer.write("train", make_pair(0))


def test_an_id_is_written_once(pair_writer, make_pair, tmp_path):
    writer = pair_writer(tmp_path)
    writer.write("train", make_pair(0))
    with pytest.raises(DataError, match="pair-0 is written twice"):
        writer.write("val", make_pair(0))


def test_splits_come_one_after_the_other(pair_writer, make_pair, tmp_path):
    writer = pair_writer(tmp_path)
    writer.write("train", make_pair(0))
    writer.write("val", make_pair(1))
    with pytest.raises(ValueError, match="pairs of train after those of val"):
        writer.write("train", make_pair(2))
    with pytest.raises(ValueError, match="'train', 'val', 'test'"):
        writer.write("dev", make_pair(2))


def test_nothing_to_write(pair_writer, tmp_path):
    writer = pair_writer(tmp_path)
    writer.skip("no image", "a")
    with pytest.raises(DataError, match="1 skipped: no image"):
        writer.close()


def test_every_skipped_item_is_listed_and_some_are_examples(pair_writer, make_pair, tmp_path):
    with pair_writer(tmp_path) as writer:
        writer.write("train", make_pair(0))
        for number in range(30):
            writer.skip("no text", f"a{number}")
        writer.skip("no image, or two", 'a "quoted"\nname \udcff')
    info = PairShardReader(tmp_path, "train").info
    assert info.skipped == {"no text": 30, "no image, or two": 1}
    assert info.skipped_examples["no text"] == [f"a{number}" for number in range(20)]
    with (tmp_path / "skipped.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["reason", "item"]
    assert rows[1:31] == [["no text", f"a{number}"] for number in range(30)]
    assert rows[31:] == [["no image, or two", 'a "quoted"\nname \\udcff']]


def test_no_list_of_nothing(pair_writer, make_pair, tmp_path):
    with pair_writer(tmp_path) as writer:
        writer.write("train", make_pair(0))
    assert "skipped.csv" not in contents(tmp_path)


def test_a_reader_survives_pickling(convert, make_pair, tmp_path):
    convert(tmp_path)
    reader = PairShardReader(tmp_path, "train")
    assert reader[5].id == "train-5"
    assert reader.ids[3] == "train-3"
    copy = pickle.loads(pickle.dumps(reader))
    assert copy[9] == make_pair(9, "train")
    assert copy.ids == reader.ids


def test_a_reader_reads_only_what_is_there(convert, tmp_path):
    convert(tmp_path)
    reader = PairShardReader(tmp_path, "train")
    for position in (10, -1):
        with pytest.raises(IndexError):
            reader[position]


def test_damage_is_named(convert, make_pair, tmp_path):
    convert(tmp_path)
    path = tmp_path / "train-000-00001.tar"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"date"', b'"dame"'))
    with pytest.raises(DataError, match=r"train-000-00001\.tar, pair train-4: .*convert again"):
        PairShardReader(tmp_path, "train")[4]
    path.write_bytes(data[:-512])
    with pytest.raises(DataError, match="copy is incomplete"):
        PairShardReader(tmp_path, "train")


@pytest.mark.parametrize(
    "members",
    [{"txt": b""}, {"png": b"", "jpg": b"", "json": b"{}"}, {"npy": b"", "txt": b"", "json": b"{}"}, {"json": b"{}"}],
)
def test_records_that_are_not_pairs(convert, tmp_path, members):
    info = convert(tmp_path)
    name = "val-000-00000.tar"
    writer = ShardWriter(tmp_path / name)
    for key in "abc":
        writer.write(key, members)
    splits = dict(info.splits) | {"val": replace(info.splits["val"], shards=(writer.close(),))}
    replace(info, splits=splits).write(tmp_path)
    with pytest.raises(DataError, match=f"{name}, pair a: a pair is"):
        len(PairShardReader(tmp_path, "val").ids)


def flip(path, needle, offset=0):
    data = bytearray(path.read_bytes())
    data[data.index(needle) + offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("needle", "offset", "member"),
    [(b"IDAT", 8, "png"), (b"Finding 4", 8, "txt"), (b'"group": 2', 9, "json"), (b'"CC0-1.0"', 4, "json")],
)
def test_a_flipped_bit_is_found(convert, tmp_path, needle, offset, member):
    convert(tmp_path)
    flip(tmp_path / "train-000-00001.tar", needle, offset)
    with pytest.raises(DataError, match=rf"train-000-00001\.tar, pair train-4: its \.{member} is damaged"):
        PairShardReader(tmp_path, "train")[4]


def test_a_flipped_bit_is_found_in_a_column(convert, tmp_path):
    convert(tmp_path)
    flip(tmp_path / "train-000-00001.tar", b'"group": 2', 9)
    with pytest.raises(DataError, match=r"train-000-00001\.tar, pair train-4: its \.json is damaged"):
        len(PairShardReader(tmp_path, "train").groups)


def test_a_flipped_name_is_found(convert, tmp_path):
    """The header of a tar member has a checksum, but a weak one: two changes may cancel out."""
    convert(tmp_path)
    path = tmp_path / "test-000-00000.tar"
    path.write_bytes(path.read_bytes().replace(b"test-0.", b"tset-0."))
    with pytest.raises(DataError, match=r"test-000-00000\.tar, pair tset-0: "):
        len(PairShardReader(tmp_path, "test").ids)


def test_swapped_pairs_are_found(convert, tmp_path):
    info = convert(tmp_path)
    path = tmp_path / "val-000-00000.tar"
    data = path.read_bytes()
    size = data.index(b"val-1.json")
    path.write_bytes(data[size : 2 * size] + data[:size] + data[2 * size :])
    assert path.stat().st_size == info.splits["val"].shards[0].bytes
    with pytest.raises(DataError, match="moved from another place"):
        PairShardReader(tmp_path, "val")[0]


def test_a_member_that_was_taken_away_is_missed(convert, tmp_path):
    """Without its text a pair would pass for an item of one modality."""
    info = convert(tmp_path)
    path = tmp_path / "val-000-00000.tar"
    data = path.read_bytes()
    begin, end = data.index(b"val-1.txt"), data.index(b"val-2.json")
    path.write_bytes(data[:begin] + data[end:] + bytes(end - begin))
    with pytest.raises(DataError, match=r"pair val-1: the description lists \.json, \.png, \.txt, the record has"):
        PairShardReader(tmp_path, "val")[1]
    assert path.stat().st_size == info.splits["val"].shards[0].bytes


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"labels": "normal"}, "labels are not a list"),
        ({"labels": [1]}, "labels are not strings"),
        ({"group": 1.0}, "group 1.0 is not an integer"),
        ({"group": 2**63}, "not an integer of 64 bits"),
        ({"group_name": None}, "rename the group"),
        ({"crc32": 7}, "checksums are not given"),
        ({"id": "other"}, "moved from another place"),
        ({"color": "blue"}, "must have the entries"),
        ({"source": float("nan")}, "source or licence"),
    ],
)
def test_descriptions_of_another_program(pair_writer, make_pair, entry, message):
    place = place_checksum("train-000-00000.tar", 0, "pair-0")
    members = pair_to_members(make_pair(0), place)
    assert pair_from_members("pair-0", members, place) == make_pair(0)
    members["json"] = json.dumps(json.loads(members["json"]) | entry).encode()
    with pytest.raises(DataError, match=message):
        pair_from_members("pair-0", members, place)


def test_a_text_that_another_program_made_too_long(pair_writer, make_pair, tmp_path, monkeypatch):
    monkeypatch.setattr(members_module, "MAX_TEXT_CHARACTERS", 200_000)
    with pair_writer(tmp_path) as writer:
        writer.write("train", replace(make_pair(0), text="a" * 100_001))
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"train-000-00000\.tar, pair pair-0: the text has 100001 characters"):
        PairShardReader(tmp_path, "train")[0]


def test_labels_of_another_vocabulary_are_refused(convert, tmp_path):
    info = convert(tmp_path)
    replace(info, label_vocabulary=("normal", "opacity", "fracture")).write(tmp_path)
    with pytest.raises(DataError, match=r"val-000-00000\.tar, pair val-2: label 'effusion'"):
        len(PairShardReader(tmp_path, "val").labels)


def test_number_of_pairs_must_agree(convert, tmp_path):
    info = convert(tmp_path)
    shard = replace(info.splits["val"].shards[0], pairs=2)
    splits = dict(info.splits) | {"val": replace(info.splits["val"], pairs=2, shards=(shard,))}
    replace(info, splits=splits).write(tmp_path)
    with pytest.raises(DataError, match=r"holds 3 pairs, dataset\.json says 2"):
        PairShardReader(tmp_path, "val")[0]


@pytest.fixture
def texts(pair_writer, make_pair, tmp_path):
    with pair_writer(tmp_path) as writer:
        for number in range(9):
            writer.write("train", make_pair(number, lacks={2: "image", 6: "text"}.get(number)))
    return tmp_path


def test_hashes_of_all_texts(texts, make_pair):
    expected = [0 if number == 6 else text_hash(make_pair(number).text) for number in range(9)]
    np.testing.assert_array_equal(PairShardReader(texts, "train").text_hashes, expected)
    empty = PairShardReader(texts, "val").text_hashes
    assert (empty.dtype, len(empty)) == (np.int64, 0)


def test_a_damaged_text_is_named(texts, make_pair):
    shard = texts / "train-000-00001.tar"
    content = shard.read_bytes()
    text = make_pair(7).text.encode()
    assert content.count(text) == 1
    shard.write_bytes(content.replace(text, text.replace(b"Finding", b"finding")))
    reader = PairShardReader(texts, "train")
    with pytest.raises(DataError, match=r"train-000-00001\.tar, pair pair-7: its \.txt is damaged \(CRC-32\)"):
        _ = reader.text_hashes


def test_a_damaged_description_of_a_pair_without_text_is_named(texts):
    """Its text may be missing because the description that announced it was lost."""
    shard = texts / "train-000-00001.tar"
    content = shard.read_bytes()
    at = content.index(b"pair-6.json")
    group = content.index(b'"group"', at)
    shard.write_bytes(content[:group] + b'"gr0up"' + content[group + 7 :])
    with pytest.raises(DataError, match=r"train-000-00001\.tar, pair pair-6: "):
        _ = PairShardReader(texts, "train").text_hashes

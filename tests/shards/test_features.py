import io
import json
import pickle
import zlib
from dataclasses import replace

import numpy as np
import pytest

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import (
    DatasetInfo,
    FeatureShardReader,
    FeatureShardWriter,
    merge_feature_parts,
    unpack_bits,
)
from mcmfh_lightning.shards import feature_writer as feature_writer_module
from mcmfh_lightning.shards.feature_blocks import COLUMNS, ROW_ARRAYS, column_checksum, encode_block, row_checksums
from mcmfh_lightning.shards.packing import place_checksum
from mcmfh_lightning.shards.tar import ShardWriter

SHARD = "train-000-00000.tar"
SIZES = {"train": 2500, "val": 10}


def npy(array, *, allow_pickle=False):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


# A header of 10^12 rows, and 24 bytes.
ABSURD = npy(np.zeros((4, 3), np.float16)).replace(b"(4, 3), }" + b" " * 12, b"(1000000000000, 3), }")


@pytest.mark.parametrize("ranks", [1, 3])
def test_what_is_written_is_read(write_features, feature_rows, tmp_path, ranks):
    write_features(tmp_path, SIZES, ranks)
    assert not list(tmp_path.glob("part-*"))
    for split, size in SIZES.items():
        reader = FeatureShardReader(tmp_path, split)
        expected = feature_rows(split, 0, size)
        assert len(reader) == size
        assert reader.ids == expected["ids"]
        np.testing.assert_array_equal(reader.labels, expected["labels"])
        np.testing.assert_array_equal(reader.groups, expected["groups"])
        assert reader.group_names == expected["group_names"]
        np.testing.assert_array_equal(reader.text_hashes, expected["text_hashes"])
        rows = np.random.default_rng(0).permutation(size)[: size // 2]
        batch = reader.gather(rows)
        assert batch["image"].dtype == batch["text"].dtype == np.float32
        np.testing.assert_array_equal(batch["image"], expected["image"][rows])
        np.testing.assert_array_equal(batch["text"], expected["text"][rows])
        np.testing.assert_array_equal(unpack_bits(batch["labels"], 11).argmax(axis=1), rows % 11)
        np.testing.assert_array_equal(batch["group"], expected["groups"][rows])
        np.testing.assert_array_equal(batch["text_hash"], -rows)
        np.testing.assert_array_equal(batch["index"], rows)


def test_what_is_absent_is_stored_as_zeros(feature_rows, feature_info, tmp_path):
    rows = feature_rows("train", 0, 5)
    rows["text_hashes"] = rows["text_hashes"] - 7
    rows["image"][1] = np.nan
    rows["present"] = np.array([[1, 1], [0, 1], [1, 0], [1, 1], [1, 0]], dtype=bool)
    writer = FeatureShardWriter(tmp_path, rank=0, block_pairs=2)
    writer.write("train", **rows)
    writer.close()
    merge_feature_parts(tmp_path, feature_info, 1, expected_ids={"train": rows["ids"]})
    reader = FeatureShardReader(tmp_path, "train")
    np.testing.assert_array_equal(reader.present, rows["present"])
    np.testing.assert_array_equal(reader.text_hashes, [-7, -8, 0, -10, 0])
    batch = reader.gather(np.array([4, 2, 1, 0]))
    assert batch["present"].dtype == np.bool_
    np.testing.assert_array_equal(batch["present"], [[1, 0], [1, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(batch["image"], [[4, -4, 0], [2, -2, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(batch["text"], [[0, 0], [0, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(batch["text_hash"], [0, 0, -8, -7])


def test_pairs_are_whole_unless_said_otherwise(write_features, tmp_path):
    assert FeatureShardReader(write_features(tmp_path, SIZES), "train").present.all()


def test_checksums_are_those_of_zlib(feature_rows):
    """The format as docs/reference/formats.md describes it, without our functions."""
    rows = feature_rows("train", 0, 4)
    place = zlib.crc32(b"train-000-00000.tar/3/000007")
    members = encode_block({**rows, "present": np.ones((4, 2), bool)}, place)
    content = [
        rows["image"][2].astype("<f2"),
        rows["text"][2].astype("<f2"),
        rows["labels"][2],
        rows["groups"][2].astype("<i8"),
        rows["text_hashes"][2].astype("<i8"),
        np.array([1, 1], dtype="u1"),
        np.array(2, dtype="<i8"),
    ]
    row = zlib.crc32(b"".join(part.tobytes() for part in content), place)
    assert np.load(io.BytesIO(members["rowcrc.npy"]))[2] == row
    groups = zlib.crc32(rows["groups"].astype("<i8").tobytes(), place)
    names = [zlib.crc32(members[f"{name}.json"], place) for name in ("ids", "groups")]
    assert np.load(io.BytesIO(members["colcrc.npy"]))[[1, 4, 5]].tolist() == [groups, *names]
    assert json.loads(members["groups.json"]) == ["study 0", "study 0", "study 1", "study 1"]


def test_checksums_of_rows_of_several_blocks(feature_rows):
    rows = feature_rows("train", 0, 6)
    arrays = {f"{name}.npy": rows[name] for name in ("image", "text", "labels", "groups")}
    arrays |= {"texts.npy": rows["text_hashes"], "present.npy": np.ones((6, 2), bool)}
    numbers, places = np.array([0, 1, 2, 0, 1, 2]), np.array([5, 5, 5, 9, 9, 9], dtype=np.uint32)
    together = row_checksums(arrays, numbers, places)
    for half in (slice(0, 3), slice(3, 6)):
        part = {name: array[half] for name, array in arrays.items()}
        np.testing.assert_array_equal(row_checksums(part, numbers[half], places[half]), together[half])
    assert len(set(together.tolist())) == 6


def test_a_split_that_is_not_there_is_empty(write_features, tmp_path):
    reader = FeatureShardReader(write_features(tmp_path, SIZES), "test")
    assert len(reader) == 0
    assert reader.ids == []
    batch = reader.gather(np.empty(0, dtype=np.int64))
    assert {name: array.shape for name, array in batch.items()} == {
        "image": (0, 3),
        "text": (0, 2),
        "labels": (0, 2),
        "group": (0,),
        "text_hash": (0,),
        "present": (0, 2),
        "index": (0,),
    }


def test_blocks_and_shards_have_their_sizes(write_features, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_writer_module, "BLOCKS_PER_SHARD", 2)
    write_features(tmp_path, {"train": 100, "val": 5}, block_pairs=16)
    info = DatasetInfo.load(tmp_path)
    assert [shard.pairs for shard in info.splits["train"].shards] == [32, 32, 32, 4]
    assert [shard.name for shard in info.splits["train"].shards][3] == "train-000-00003.tar"
    assert FeatureShardReader(tmp_path, "train").ids == [f"train-{i}" for i in range(100)]


def test_equal_features_make_equal_folders(write_features, tmp_path):
    for name in "ab":
        write_features(tmp_path / name, SIZES)
    assert DatasetInfo.load(tmp_path / "a") == DatasetInfo.load(tmp_path / "b")


def test_one_numpy_reads_the_members_too(write_features, feature_rows, tmp_path):
    import tarfile

    write_features(tmp_path, SIZES)
    with tarfile.open(tmp_path / "train-000-00000.tar") as tar:
        image = np.load(io.BytesIO(tar.extractfile("000001.image.npy").read()), allow_pickle=False)
        ids = json.load(tar.extractfile("000001.ids.json"))
    assert image.dtype == np.float16
    np.testing.assert_array_equal(image, feature_rows("train", 1024, 2048)["image"])
    assert ids == [f"train-{i}" for i in range(1024, 2048)]


def test_a_reader_survives_pickling_when_it_was_used(write_features, tmp_path):
    reader = FeatureShardReader(write_features(tmp_path, SIZES), "train")
    reader.gather(np.array([3]))
    copy = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(copy.gather(np.array([2047]))["image"], [[47, -47, 2]])


@pytest.mark.parametrize("rows", [[-1], [2500], [0, 2500]])
def test_rows_that_are_not_there(write_features, tmp_path, rows):
    with pytest.raises(IndexError, match="of 2500"):
        FeatureShardReader(write_features(tmp_path, SIZES), "train").gather(np.array(rows))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 65505.0, -1e6])
@pytest.mark.parametrize("name", ["image", "text"])
def test_numbers_beyond_half_precision_are_not_written(feature_rows, tmp_path, value, name):
    rows = feature_rows("train", 0, 5)
    rows[name][3, 1] = value
    writer = FeatureShardWriter(tmp_path, rank=0)
    writer.write("train", **rows)
    with pytest.raises(DataError, match=f"pair train-3: its {name} embedding is not finite or exceeds 65504"):
        writer.close()


def test_the_largest_half_is_written(feature_rows, feature_info, tmp_path):
    rows = feature_rows("train", 0, 2)
    rows["image"][1, 0] = 65504
    writer = FeatureShardWriter(tmp_path, rank=0)
    writer.write("train", **rows)
    writer.close()
    merge_feature_parts(tmp_path, feature_info, 1, expected_ids={"train": rows["ids"]})
    assert FeatureShardReader(tmp_path, "train").gather(np.array([1]))["image"][0, 0] == 65504


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((4, 3))}, "image has shape"),
        ({"text": np.zeros(5)}, "text has shape"),
        ({"groups": np.zeros((5, 1))}, "groups has shape"),
        ({"group_names": ["a"] * 4}, "group_names has shape \\(4,\\); 5 ids need 1 dimensions, 5 rows"),
        ({"labels": np.zeros((5, 11), dtype=bool)}, "pack_labels"),
        ({"present": np.ones((5, 1), dtype=bool)}, "two bools a pair"),
        ({"present": np.ones((5, 2))}, "two bools a pair"),
        ({"present": np.ones(5, dtype=bool)}, "present has shape"),
        ({"present": np.arange(5)[:, None] < [2, 4]}, "neither image nor text"),
    ],
)
def test_shapes_must_agree(feature_rows, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        FeatureShardWriter(tmp_path, rank=0).write("train", **(feature_rows("train", 0, 5) | change))


def test_splits_come_one_after_the_other(feature_rows, tmp_path):
    writer = FeatureShardWriter(tmp_path, rank=0)
    writer.write("train", **feature_rows("train", 0, 2))
    writer.write("val", **feature_rows("val", 0, 2))
    with pytest.raises(ValueError, match="pairs of train after those of val"):
        writer.write("train", **feature_rows("train", 2, 4))


def test_finished_and_unfinished_folders_are_refused(write_features, feature_rows, tmp_path):
    with pytest.raises(DataError, match="finished data set"):
        FeatureShardWriter(write_features(tmp_path / "a", SIZES), rank=0)
    writer = FeatureShardWriter(tmp_path / "b", rank=0, block_pairs=2)
    writer.write("train", **feature_rows("train", 0, 5))
    with pytest.raises(DataError, match="left over from an encoding that did not finish"):
        FeatureShardWriter(tmp_path / "b", rank=0)
    FeatureShardWriter(tmp_path / "b", rank=1)


@pytest.fixture
def parts(feature_rows, tmp_path):
    """Parts of two ranks: rows 0 to 4 and 5 to 9."""
    for rank in range(2):
        writer = FeatureShardWriter(tmp_path, rank=rank)
        writer.write("train", **feature_rows("train", 5 * rank, 5 * rank + 5))
        writer.close()
    return tmp_path


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (range(11), "1 pairs are missing \\(train-10"),
        (range(9), "1 pairs are not of this collection \\(train-9"),
    ],
)
def test_every_expected_pair_is_there(parts, feature_info, expected, message):
    with pytest.raises(DataError, match=message):
        merge_feature_parts(parts, feature_info, 2, expected_ids={"train": [f"train-{i}" for i in expected]})
    assert not (parts / "dataset.json").exists()


def test_no_pair_is_there_twice(parts, feature_info, feature_rows):
    writer = FeatureShardWriter(parts, rank=2)
    writer.write("train", **feature_rows("train", 4, 5))
    writer.close()
    with pytest.raises(DataError, match="1 pairs are there more than once \\(train-4"):
        merge_feature_parts(parts, feature_info, 3, expected_ids={"train": [f"train-{i}" for i in range(10)]})


def test_missing_and_stray_parts(parts, feature_info):
    expected = {"train": [f"train-{i}" for i in range(10)]}
    with pytest.raises(DataError, match=r"part-002\.json is missing"):
        merge_feature_parts(parts, feature_info, 3, expected_ids=expected)
    with pytest.raises(DataError, match=r"train-001-00000\.tar is left over"):
        merge_feature_parts(parts, feature_info, 1, expected_ids=expected)


@pytest.fixture
def fake(feature_info, feature_rows, tmp_path):
    """A folder whose single block has some members replaced (by bytes) or left out (by None).

    ``reseal`` makes the checksums of the changed arrays, so that what is wrong with them is not found by these.
    """

    def make(*, reseal=False, **changes):
        place = place_checksum(SHARD, 0, "000000")
        members = encode_block({**feature_rows("train", 0, 4), "present": np.ones((4, 2), bool)}, place)
        members |= {name.replace("_", "."): content for name, content in changes.items()}
        if reseal:
            arrays = {name: np.load(io.BytesIO(members[name])) for name in ROW_ARRAYS}
            columns = [column_checksum(arrays[name] if name in arrays else members[name], place) for name in COLUMNS]
            members["colcrc.npy"] = npy(np.array(columns, dtype=np.uint32))
            members["rowcrc.npy"] = npy(row_checksums(arrays, np.arange(4), np.full(4, place, dtype=np.uint32)))
        writer = ShardWriter(tmp_path / SHARD)
        writer.write("000000", {name: content for name, content in members.items() if content is not None}, pairs=4)
        shard = writer.close()
        split = replace(feature_info.split("train"), pairs=4, shards=(shard,))
        replace(feature_info, splits={"train": split}).write(tmp_path)
        return tmp_path

    return make


def test_the_fake_itself_is_good(fake):
    assert len(FeatureShardReader(fake(), "train")) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_npy": None}, r"missing or unknown members \(image\.npy"),
        ({"groups_json": None}, r"colcrc\.npy: shape \(6,\), \(5,\) expected"),
        ({"extra_npy": b""}, r"missing or unknown members \(extra\.npy"),
        ({"image_npy": npy(np.zeros((4, 3), np.float32))}, r"000000: image\.npy: type float32, float16 expected"),
        ({"image_npy": npy(np.zeros((4, 3), ">f2"))}, "type >f2"),
        ({"image_npy": npy(np.zeros((4, 3), np.float16, order="F"))}, "not in C order"),
        ({"image_npy": npy(np.zeros((4, 5), np.float16))}, r"shape \(4, 5\), \(4, 3\) expected"),
        ({"text_npy": npy(np.zeros((3, 2), np.float16))}, r"text\.npy: shape \(3, 2\), \(4, 2\) expected"),
        ({"labels_npy": npy(np.zeros((4, 1), np.uint8))}, r"labels\.npy: shape \(4, 1\), \(4, 2\) expected"),
        ({"groups_npy": npy(np.zeros((4, 1), np.int64))}, r"groups\.npy: shape \(4, 1\), \(4,\) expected"),
        ({"texts_npy": npy(np.zeros(4, np.int64))[:-8]}, "does not fill the 152 bytes of the member"),
        ({"image_npy": ABSURD}, r"000000: image\.npy: .*\(1000000000000, 3\) does not fill the 152 bytes"),
        ({"colcrc_npy": npy(np.zeros(4, np.uint32))}, r"colcrc\.npy: shape \(4,\), \(6,\) expected"),
        ({"rowcrc_npy": npy(np.zeros(4, np.int32))}, r"rowcrc\.npy: type int32, uint32 expected"),
        ({"present_npy": npy(np.ones((4, 1), np.uint8))}, r"present\.npy: shape \(4, 1\), \(4, 2\) expected"),
        ({"texts_npy": b"not an array"}, r"texts\.npy: "),
        ({"groups_npy": npy(np.array([1, "a", None, 3], dtype=object), allow_pickle=True)}, "type object"),
        ({"image_npy": npy(np.float16(1))}, r"shape \(\)"),
    ],
)
def test_malformed_blocks_are_refused_at_once(fake, change, message):
    with pytest.raises(DataError, match=rf"train-000-00000\.tar.*{message}.*encode again"):
        FeatureShardReader(fake(**change), "train")


@pytest.mark.parametrize("name", ["image_npy", "text_npy", "labels_npy", "groups_npy", "texts_npy", "present_npy"])
def test_a_row_differs_from_its_checksum(fake, feature_rows, name):
    rows = {**feature_rows("train", 0, 4), "present": np.ones((4, 2), bool)}
    members = encode_block(rows, place_checksum(SHARD, 0, "000000"))
    array = np.load(io.BytesIO(members[name.replace("_", ".")]))
    array.view(np.uint8)[2] ^= 1
    reader = FeatureShardReader(fake(**{name: npy(array)}), "train")
    with pytest.raises(DataError, match=rf"{SHARD}, (pair train-2: its features differ|block 000000: .* differs)"):
        reader.gather(np.array([1, 2]))


@pytest.mark.parametrize("names", [["a", "b", "c"], ["a", "b", "c", 4], {"a": 1}])
def test_ids_and_groups_must_be_named_in_every_row(fake, names):
    changes = {member: json.dumps(names).encode() for member in ("ids_json", "groups_json")}
    reader = FeatureShardReader(fake(reseal=True, **changes), "train")
    with pytest.raises(DataError, match=r"ids\.json does not have a name for each of its 4 pairs"):
        len(reader.ids)
    with pytest.raises(DataError, match=r"groups\.json does not have a name for each of its 4 pairs"):
        len(reader.group_names)


def test_damaged_names_of_groups_are_found(fake):
    names = json.dumps(["study 0", "study 0", "study 9", "study 1"]).encode()
    with pytest.raises(DataError, match=r"groups\.json differs from its checksum"):
        len(FeatureShardReader(fake(groups_json=names), "train").group_names)


def test_bits_beyond_the_vocabulary_would_be_false_labels(fake):
    reader = FeatureShardReader(fake(reseal=True, labels_npy=npy(np.full((4, 2), 0b00010000, np.uint8))), "train")
    with pytest.raises(DataError, match="beyond the vocabulary"):
        len(reader.labels)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_numbers_are_named_when_read(fake, value):
    text = np.zeros((4, 2), np.float16)
    text[2, 1] = value
    reader = FeatureShardReader(fake(reseal=True, text_npy=npy(text)), "train")
    reader.gather(np.array([0, 1, 3]))
    with pytest.raises(DataError, match=r"train-000-00000\.tar, pair train-2: its text embedding is not finite"):
        reader.gather(np.array([3, 2]))


def test_number_of_pairs_must_agree(fake):
    folder = fake()
    info = DatasetInfo.load(folder)
    shard = replace(info.splits["train"].shards[0], pairs=5)
    replace(info, splits={"train": replace(info.splits["train"], pairs=5, shards=(shard,))}).write(folder)
    with pytest.raises(DataError, match=r"holds 4 pairs, dataset\.json says 5"):
        FeatureShardReader(folder, "train")


def test_pairs_are_not_features(pair_writer, make_pair, tmp_path):
    with pair_writer(tmp_path) as writer:
        writer.write("train", make_pair(0))
    with pytest.raises(DataError, match="mcmfh-pairs, not features"):
        FeatureShardReader(tmp_path, "train")


def test_several_splits_follow_each_other(write_features, tmp_path):
    folder = write_features(tmp_path, {"train": 5, "val": 3})
    reader = FeatureShardReader(folder, ("train", "test", "val"))
    alone = {split: FeatureShardReader(folder, split) for split in ("train", "val")}
    assert reader.ids == alone["train"].ids + alone["val"].ids
    assert [reader.split_of(position) for position in (0, 4, 5, 7)] == ["train", "train", "val", "val"]
    rows = reader.gather(np.array([6, 2]))["image"]
    np.testing.assert_array_equal(rows[0], alone["val"].gather(np.array([1]))["image"][0])
    np.testing.assert_array_equal(rows[1], alone["train"].gather(np.array([2]))["image"][0])

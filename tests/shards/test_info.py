import json
from dataclasses import replace

import pytest

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import DatasetInfo, ShardInfo, SplitInfo

SHARD = ShardInfo("train-000-00000.tar", 3, 10240, "0" * 64)


@pytest.fixture
def info():
    return DatasetInfo(
        format="mcmfh-pairs",
        name="tiny",
        source="https://example.org",
        licence="CC0-1.0",
        settings={"seed": 1},
        label_vocabulary=("normal", "Ödem"),
        normal_label="normal",
        splits={"train": SplitInfo.of([SHARD])},
        skipped={"no image": 2},
        skipped_examples={"no image": ["a", "b"]},
    )


def test_what_is_written_is_read(info, tmp_path):
    info.write(tmp_path)
    assert DatasetInfo.load(tmp_path) == info
    assert info.num_labels == 2
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.json"]


def test_file_names_the_program_and_format_version(info, tmp_path):
    info.write(tmp_path)
    content = json.loads((tmp_path / "dataset.json").read_text())
    assert content["created_by"].startswith("mcmfh-lightning ")
    assert content["format_version"] == 3
    assert "encoder" not in content


@pytest.mark.parametrize(
    "name",
    ["../train-000-00000.tar", "/train-000-00000.tar", "pipe:cat train.tar", "s3://a/train-000-00000.tar", "train.tar"],
)
def test_only_plain_shard_names(name):
    with pytest.raises(DataError, match="plain names"):
        replace(SHARD, name=name)


@pytest.mark.parametrize("change", [{"pairs": 0}, {"bytes": 0}, {"sha256": "abc"}])
def test_impossible_shards(change):
    with pytest.raises(DataError, match="train-000-00000"):
        replace(SHARD, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "csv"}, "mcmfh-pairs, mcmfh-features"),
        ({"label_vocabulary": ("normal", "normal")}, "names a label twice"),
        ({"normal_label": "healthy"}, "'healthy' is not in the label vocabulary"),
        ({"splits": {"dev": SplitInfo(0, ())}}, "train, val, test"),
        ({"splits": {"val": SplitInfo.of([SHARD])}}, "listed in split val"),
        ({"splits": {"train": SplitInfo.of([SHARD, SHARD])}}, "lists a shard twice"),
        ({"splits": {"train": SplitInfo(4, (SHARD,))}}, "says 4 pairs, its shards hold 3"),
        ({"format": "mcmfh-features"}, "identity of their encoder"),
        ({"format": "mcmfh-features", "encoder": {}, "image_dim": 0, "text_dim": 2}, "image_dim and text_dim"),
    ],
)
def test_contradictions_are_refused(info, change, message):
    with pytest.raises(DataError, match=message):
        replace(info, **change)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("{", "not JSON"),
        ("[" * 200_000, "not JSON"),
        ('{"format_version": 1}', "format_version 1, this release reads 2 and 3"),
        ("[]", "format_version None"),
        ('{"format_version": 2}', "missing or unknown"),
    ],
)
def test_unreadable_files_are_data_errors(tmp_path, content, message):
    if content is not None:
        (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=message):
        DatasetInfo.load(tmp_path)


def test_unknown_entries_are_refused(info, tmp_path):
    info.write(tmp_path)
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"color": "blue"}))
    with pytest.raises(DataError, match="color"):
        DatasetInfo.load(tmp_path)


def test_a_split_that_is_not_there_is_empty_but_must_have_a_known_name(info):
    assert info.split("val") == SplitInfo(0, ())
    with pytest.raises(ValueError, match="train, val, test"):
        info.split("dev")


def test_shard_must_be_present_in_full(tmp_path):
    with pytest.raises(DataError, match=r"train-000-00000\.tar is missing"):
        SHARD.check_present(tmp_path)
    (tmp_path / SHARD.name).write_bytes(b"x")
    with pytest.raises(DataError, match=r"has 1 bytes, dataset\.json says 10240"):
        SHARD.check_present(tmp_path)

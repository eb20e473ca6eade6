"""Several collections in one folder: every item is there as it was, under a name of its own, with its labels."""

import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.cli.data import main
from mcmfh_lightning.datamodules.overlap import check_overlap, trained_on
from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.shards import (
    SPLITS,
    DatasetInfo,
    FeatureShardReader,
    Pair,
    PairShardReader,
    PairShardWriter,
    unpack_bits,
)
from mcmfh_lightning.shards.joined import groups_of_collections

ONE = ("normal", "Cardiomegaly", "Effusion")
TWO = ("Nodule", "Effusion", "normal", "Edema")


@pytest.fixture(scope="module")
def features(make_features, tmp_path_factory):
    """Features of two collections with other labels, whose items and groups have the same names."""
    folders = []
    for name, vocabulary in (("one", ONE), ("two", TWO)):
        folder = make_features(tmp_path_factory.mktemp(name) / name, vocabulary=vocabulary, train=40, evaluated=12)
        dataclasses.replace(DatasetInfo.load(folder), name=name, licence=f"licence of {name}").write(folder)
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def joined(features, tmp_path_factory):
    out = tmp_path_factory.mktemp("joined") / "both"
    main(["join", *map(str, features), "--out", str(out)])
    return out


def labels_of(reader):
    hot = unpack_bits(reader.labels, reader.info.num_labels)
    names = np.array(reader.info.label_vocabulary)
    return {name: set(names[row == 1]) for name, row in zip(reader.ids, hot, strict=True)}


def test_every_feature_is_there_with_its_labels_and_its_split(features, joined):
    whole = DatasetInfo.load(joined)
    assert (whole.name, whole.normal_label, whole.licence) == ("one+two", "normal", "licence of one; licence of two")
    assert whole.label_vocabulary == (*ONE, "Nodule", "Edema")
    for split in SPLITS:
        reader = FeatureShardReader(joined, split)
        rows = reader.gather(np.arange(len(reader)))
        place = {name: row for row, name in enumerate(reader.ids)}
        known = labels_of(reader)
        for folder in features:
            own = FeatureShardReader(folder, split)
            due = own.gather(np.arange(len(own)))
            at = [place.pop(f"{folder.name}/{name}") for name in own.ids]
            for column in ("image", "text", "present", "text_hash"):
                assert (rows[column][at] == due[column]).all()
            assert [known[f"{folder.name}/{name}"] for name in own.ids] == list(labels_of(own).values())
            assert [reader.group_names[row] for row in at] == [f"{folder.name}/{name}" for name in own.group_names]
        assert not place


def test_groups_of_different_collections_stay_apart(features, joined):
    one, two = (FeatureShardReader(folder, "train").groups for folder in features)
    assert set(one) & set(two)
    assert len(set(FeatureShardReader(joined, "train").groups)) == len(set(one)) + len(set(two))


def test_the_folder_is_sound_and_says_what_it_was_made_of(joined, capsys):
    main(["verify", str(joined)])
    assert "failed" not in capsys.readouterr().out
    parts = DatasetInfo.load(joined).settings["pairs"]["joined"]
    assert [(part["name"], part["items"]["train"], part["labels"]) for part in parts] == [
        ("one", 40, 3),
        ("two", 40, 4),
    ]


def test_what_was_trained_on_is_refused_in_each_collection(features, joined):
    """Also where the collection was split again since: here its own training split is asked for."""
    stored = trained_on(groups_of_collections(FeatureShardReader(joined, "train")))
    for folder in features:
        check_overlap(stored, groups_of_collections(FeatureShardReader(folder, "test")), "test", folder, warn=False)
        seen = FeatureShardReader(folder, "train")
        with pytest.raises(CheckpointError, match=rf"20 of 20 groups in the split 'test' of {folder}"):
            check_overlap(stored, groups_of_collections(seen), "test", folder, warn=False)
    alone = trained_on(groups_of_collections(FeatureShardReader(features[1], "train")))
    check_overlap(alone, groups_of_collections(FeatureShardReader(joined, "test")), "test", joined, warn=False)
    with pytest.raises(CheckpointError, match="20 of 20 groups"):
        check_overlap(alone, groups_of_collections(FeatureShardReader(joined, "train")), "test", joined, warn=False)


def write_pairs(folder, name, vocabulary, normal="normal"):
    stream = io.BytesIO()
    Image.new("L", (8, 8), 90).save(stream, "PNG")
    described = {"name": name, "source": "here", "licence": "CC0", "settings": {}, "normal_label": normal}
    with PairShardWriter(folder, **described, label_vocabulary=vocabulary) as writer:
        for split, numbers in (("train", range(6)), ("test", range(6, 8))):
            for n in numbers:
                labels = (vocabulary[n % len(vocabulary)],)
                writer.write(
                    split, Pair(f"film {n}", stream.getvalue(), "png", f"Text {n}", labels, n, None, name, "CC0")
                )
    return folder


def test_every_pair_is_there(tmp_path, capsys):
    folders = [write_pairs(tmp_path / name, name, labels) for name, labels in (("one", ONE), ("two", TWO))]
    main(["join", *map(str, folders), "--out", str(tmp_path / "both"), "--name", "films"])
    assert "2 labels are in more than one collection: normal, Effusion" in capsys.readouterr().out
    assert DatasetInfo.load(tmp_path / "both").name == "films"
    for split in ("train", "test"):
        reader = PairShardReader(tmp_path / "both", split)
        found = {pair.id: pair for pair in (reader[row] for row in range(len(reader)))}
        for folder in folders:
            own = PairShardReader(folder, split)
            for pair in (own[row] for row in range(len(own))):
                other = found.pop(f"{folder.name}/{pair.id}")
                assert other.group_name == f"{folder.name}/{pair.group_name}"
                same = {"id": pair.id, "group": pair.group, "group_name": pair.group_name}
                assert dataclasses.replace(other, **same) == pair
        assert not found


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"name": "one"}, "both called 'one'"),
        ({"name": "a/b"}, "has no /"),
        ({"vocabulary": ("Edema", "normal"), "normal": "normal"}, None),
        (
            {"vocabulary": ("Edema", "No Finding"), "normal": "No Finding"},
            "'normal' in .*'No Finding' in .*--label-map",
        ),
        ({"vocabulary": ("Edema", "Nodule"), "normal": None}, "no label of .* is a label of another folder"),
    ],
)
def test_collections_that_do_not_fit_are_refused(second, message, tmp_path, capsys):
    one = write_pairs(tmp_path / "one", "one", ONE)
    given = {"name": "two", "vocabulary": TWO, "normal": "normal"} | second
    two = write_pairs(tmp_path / "two", given["name"], given["vocabulary"], given["normal"])
    command = ["join", str(one), str(two), "--out", str(tmp_path / "both")]
    if message is None:
        main(command)
        return
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert re.search(message, line)
    assert not (tmp_path / "both").exists()


def test_features_of_other_encoders_and_pairs_with_features_are_refused(features, make_features, tmp_path, capsys):
    other = make_features(tmp_path / "other", vocabulary=TWO, train=8, evaluated=4, encoder="another")
    pairs = write_pairs(tmp_path / "pairs", "pairs", ONE)
    for folder, message in ((other, "were encoded by different encoders"), (pairs, "join pairs, or features of each")):
        with pytest.raises(SystemExit):
            main(["join", str(features[0]), str(folder), "--out", str(tmp_path / "both")])
        assert message in capsys.readouterr().err

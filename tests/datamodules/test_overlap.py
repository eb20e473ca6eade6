"""A test on groups that were trained on is refused, whatever happened to the collection in between."""

import dataclasses

import numpy as np
import pytest

from mcmfh_lightning.cli.train import main
from mcmfh_lightning.hashers.stored import read_checkpoint
from mcmfh_lightning.shards import DatasetInfo, FeatureShardReader, FeatureShardWriter
from mcmfh_lightning.shards.feature_writer import merge_feature_parts

QUIET = (
    *("--config", "experiments/mcmfh.yaml", "--model.d-model", "32", "--data.global-batch-size", "128"),
    *("--trainer.enable-progress-bar", "false", "--trainer.enable-model-summary", "false"),
)


@pytest.fixture(scope="module")
def checkpoint(features, tmp_path_factory):
    """A checkpoint of one epoch on the planted features."""
    folder = tmp_path_factory.mktemp("run")
    main(["fit", *QUIET, "--data.root", str(features), "--run-dir", str(folder), "--trainer.max-epochs", "1"])
    return folder / "fit/checkpoints/last.ckpt"


@pytest.fixture
def split_again(features, tmp_path):
    """Writes the planted features again: some rows of training change places with as many of another split."""

    def write(split, moved, name="planted"):
        rows = {}
        for part in ("train", "val", "test"):
            reader = FeatureShardReader(features, (part,))
            found = reader.gather(np.arange(len(reader)))
            rows[part] = {name: found[name] for name in ("image", "text", "labels")}
            rows[part] |= {"groups": found["group"], "text_hashes": found["text_hash"]}
            rows[part] |= {"ids": np.array(reader.ids, dtype=object)}
        for column in rows["train"]:
            here, there = rows["train"][column].copy(), rows[split][column].copy()
            here[:moved], there[:moved] = rows[split][column][:moved], rows["train"][column][:moved]
            rows["train"][column], rows[split][column] = here, there
        folder = tmp_path / "again"
        writer = FeatureShardWriter(folder, rank=0)
        for part, columns in rows.items():
            writer.write(part, **columns)
        writer.close()
        info = dataclasses.replace(DatasetInfo.load(features), name=name, splits={})
        merge_feature_parts(folder, info, 1, expected_ids={part: list(one["ids"]) for part, one in rows.items()})
        return folder

    return write


def evaluate(command, folder, checkpoint, run_dir):
    main([command, *QUIET, "--data.root", str(folder), "--run-dir", str(run_dir), "--ckpt-path", str(checkpoint)])


@pytest.mark.parametrize(("command", "split"), [("test", "test"), ("validate", "val")])
def test_groups_that_were_trained_on_are_refused(command, split, split_again, checkpoint, tmp_path, capsys):
    folder = split_again(split, moved=6)  # two pairs a group
    with pytest.raises(SystemExit) as stop:
        evaluate(command, folder, checkpoint, tmp_path / "run")
    assert stop.value.code == 2
    assert f"3 of 80 groups in the split '{split}' of {folder} were trained on" in capsys.readouterr().err


def test_other_splits_do_not_matter(split_again, checkpoint, tmp_path):
    evaluate("test", split_again("val", moved=6), checkpoint, tmp_path / "run")


@pytest.mark.filterwarnings("ignore:the text codes have collapsed")  # one epoch does not train them well
def test_groups_of_another_collection_with_the_same_names_are_counted(split_again, checkpoint, tmp_path):
    folder = split_again("test", moved=2, name="elsewhere")
    with pytest.warns(UserWarning, match="1 of 80 groups in the split 'test' of .* was trained on, if groups of 'else"):
        evaluate("test", folder, checkpoint, tmp_path / "run")


def test_codes_of_them_are_written_with_a_warning(split_again, checkpoint, tmp_path):
    folder = split_again("test", moved=6)
    with pytest.warns(
        UserWarning, match="3 of 80 groups in the split 'test' of .* were trained on: a ranking of these"
    ):
        evaluate("predict", folder, checkpoint, tmp_path / "run")


def test_a_checkpoint_holds_no_number_of_a_group(features, checkpoint):
    """The number of a group may be the number of a patient."""
    noted = read_checkpoint(checkpoint)["FeatureDataModule"]["trained_on"]
    groups = np.unique(FeatureShardReader(features, ("train",)).groups)
    assert noted["name"] == "planted"
    assert len(noted["groups"]) == len(groups) == 256
    assert not np.isin(groups, noted["groups"].numpy()).any()

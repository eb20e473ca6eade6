"""What a run says it measured: the chosen epoch, weights and data by name; results are never replaced in silence."""

import contextlib
import csv
import hashlib
import io
import json
import re
import shutil

import pytest
import torch

from mcmfh_lightning.archive.identity import Identity
from mcmfh_lightning.cli import main

FLAGS = (
    *("--config", "experiments/demo.yaml", "--model.d_model", "32", "--data.global_batch_size", "128"),
    *("--trainer.max_epochs", "3", "--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
)


def mcmfh(subcommand, root, run_dir, *more):
    """Runs a command; returns its standard output."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main([subcommand, *FLAGS, "--data.root", str(root), "--run_dir", str(run_dir), *map(str, more)])
    return out.getvalue()


@pytest.fixture(scope="module")
def fitted(features, tmp_path_factory):
    """The folder of a fit, and what it printed."""
    folder = tmp_path_factory.mktemp("fitted")
    return folder, mcmfh("fit", features, folder)


@pytest.fixture
def copied(fitted, tmp_path):
    """A copy of the run, to test in."""
    return shutil.copytree(fitted[0], tmp_path / "run")


@pytest.fixture
def refused(capsys):
    """The one line of a command that must fail."""

    def refused(*arguments):
        with pytest.raises(SystemExit) as stop:
            mcmfh(*arguments)
        assert stop.value.code == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("mcmfh: error: ")
        return line

    return refused


def report(run_dir):
    return json.loads((run_dir / "test" / "metrics.json").read_text())


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_fit_ends_with_the_chosen_epoch_and_the_constant_ranking(fitted):
    folder, printed = fitted
    with (folder / "fit" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/mAP"]]
    best = max(rows, key=lambda row: float(row["val/mAP"]))
    path = folder / "fit" / "checkpoints" / "best.ckpt"
    chosen, constant = printed.strip().splitlines()[-2:]
    assert chosen == f"chosen: epoch {best['epoch']}, val/mAP {float(best['val/mAP']):.3f}, {path}"
    assert torch.load(path, weights_only=True)["epoch"] == int(best["epoch"])
    assert len({row["val/constant"] for row in rows}) == 1
    better = float(best["val/constant"]) > float(best["val/mAP"])
    assert f"has {float(best['val/constant']):.3f} on the same queries" in constant
    assert constant.endswith("better than this model" if better else "this model is better")


def test_a_test_takes_the_best_weights_and_names_them_and_the_data(features, copied):
    best = copied / "fit" / "checkpoints" / "best.ckpt"
    assert f"the best weights of the run: {best}" in mcmfh("test", features, copied)
    found = report(copied)
    assert found["checkpoint"] == {
        "path": str(best),
        "sha256": hashlib.sha256(best.read_bytes()).hexdigest(),
        "epoch": torch.load(best, weights_only=True)["epoch"],
    }
    assert found["weights_sha256"] == Identity.of(best).weights_sha256  # which an archive of them has as well
    dataset = json.loads((features / "dataset.json").read_text())
    shards = [shard for split in ("train", "val", "test") for shard in dataset["splits"][split]["shards"]]
    content = "\n".join(f"{shard['name']} {shard['sha256']}" for shard in shards)
    assert found["data"] == {
        "name": "planted",
        "path": str(features),
        "fingerprint": hashlib.sha256(content.encode()).hexdigest()[:16],
        "pairs": {"train": 512, "val": 160, "test": 160},
    }
    # Again: said, and the same.
    again = mcmfh("test", features, copied)
    assert f"{copied / 'test'}: the results of the same weights on the same data are replaced" in again
    assert report(copied) == found


def test_results_of_other_data_other_weights_or_another_release_are_kept(
    features, copied, make_features, tmp_path, refused
):
    best = copied / "fit" / "checkpoints" / "best.ckpt"
    mcmfh("test", features, copied)
    before = files_of(copied / "test")
    other = make_features(tmp_path / "other", train=300)
    line = refused("test", other, copied)
    for words in (f"{features}, fingerprint", f"{other}, fingerprint", "--run_dir", f"--ckpt_path {best}", "delete"):
        assert words in line
    weights = torch.load(best, weights_only=True)
    weights["state_dict"] = {name: value + 1 for name, value in weights["state_dict"].items()}
    torch.save(weights, tmp_path / "other.ckpt")
    assert f"this test is of {tmp_path / 'other.ckpt'}" in refused(
        "test", features, copied, "--ckpt_path", tmp_path / "other.ckpt"
    )
    assert files_of(copied / "test") == before  # configuration and figures as well

    (tmp_path / "elsewhere" / "test").mkdir(parents=True)
    for content in ('{"package": "mcmfh-lightning 0.1.0"}', "not JSON"):
        (tmp_path / "elsewhere" / "test" / "metrics.json").write_text(content)
        line = refused("test", other, tmp_path / "elsewhere", "--ckpt_path", best)
        assert "holds the results of another test, which does not name its weights and data" in line
    shutil.rmtree(tmp_path / "elsewhere" / "test")
    mcmfh("test", other, tmp_path / "elsewhere", "--ckpt_path", best)
    assert report(tmp_path / "elsewhere")["data"]["pairs"]["train"] == 300


@pytest.mark.parametrize("subcommand", ["test", "validate", "predict"])
def test_untrained_weights_are_not_measured(features, tmp_path, refused, subcommand):
    line = refused(subcommand, features, tmp_path)
    assert f"{tmp_path / 'fit' / 'checkpoints' / 'best.ckpt'} does not exist" in line
    assert "--run_dir of a fit" in line
    assert not list(tmp_path.rglob("*.json"))


def test_a_run_that_chose_nothing_points_to_its_last_epoch(features, tmp_path, refused):
    printed = mcmfh("fit", features, tmp_path, "--trainer.limit_val_batches", 0, "--trainer.max_epochs", 1)
    last = tmp_path / "fit" / "checkpoints" / "last.ckpt"
    assert printed.strip().splitlines()[-1] == (
        f"no epoch was chosen: val/mAP was not measured, or undefined in every epoch; the last one is in {last}"
    )
    assert "--ckpt_path last takes those of the last epoch" in refused("test", features, tmp_path)


def test_validate_takes_the_best_weights(features, copied):
    printed = mcmfh("validate", features, copied)
    assert "the best weights of the run" in printed
    with (copied / "fit" / "metrics.csv").open() as file:
        values = [float(row["val/mAP"]) for row in csv.DictReader(file) if row["val/mAP"]]
    (shown,) = re.findall(r"val/mAP\s+│\s+([\d.]+)", printed)
    assert float(shown) == pytest.approx(max(values), rel=1e-6)


def test_part_of_the_data_is_called_a_part(features, copied):
    assert "limit_test_batches=1: the numbers are of a part" in mcmfh(
        "test", features, copied, "--trainer.limit_test_batches", 1
    )
    assert any("limit_test_batches=1" in note for note in report(copied)["notes"])

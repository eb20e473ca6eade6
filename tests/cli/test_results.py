"""What a run says it measured: the chosen epoch, weights and data by name; results are never replaced in silence."""

import contextlib
import csv
import hashlib
import io
import json
import shlex

import pytest
import torch

from mcmfh_lightning.archive.model import identity_of
from mcmfh_lightning.cli.train import main
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.trainer.run_files import check_results


@pytest.fixture(scope="module")
def mcmfh(quick_config):
    """Runs a command; returns its standard output."""
    flags = ["--config", "experiments/mcmfh.yaml", "--config", str(quick_config), "--trainer.max_epochs", "3"]
    flags += ["--model.d_model", "32", "--data.global_batch_size", "32"]

    def run(subcommand, root, run_dir, *more):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            main([subcommand, *flags, "--data.root", str(root), "--run_dir", str(run_dir), *map(str, more)])
        return out.getvalue()

    return run


@pytest.fixture(scope="module")
def small(make_features, tmp_path_factory):
    """A folder of planted features: 128, 40 and 40 pairs."""
    return make_features(tmp_path_factory.mktemp("small") / "features", train=128, evaluated=40)


@pytest.fixture(scope="module")
def fitted(mcmfh, small, tmp_path_factory):
    """The folder of a fit, and what it printed."""
    folder = tmp_path_factory.mktemp("fitted")
    return folder, mcmfh("fit", small, folder)


@pytest.fixture(scope="module")
def tested(mcmfh, small, fitted):
    """The same folder after a test, and what that printed."""
    return fitted[0], mcmfh("test", small, fitted[0])


@pytest.fixture
def refused(mcmfh, capsys):
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
    lines = printed.strip().splitlines()
    chosen, *others = lines[next(i for i, line in enumerate(lines) if line.startswith("chosen: ")) :]
    queries = int(float(best["val/queries"]))
    value = f"val/mAP {float(best['val/mAP']):.3f} on {queries} validation quer"
    assert chosen.startswith(f"chosen: epoch {best['epoch']} of 0 to {rows[-1]['epoch']}, by {value}")
    assert torch.load(path, weights_only=True)["epoch"] == int(best["epoch"])
    assert len({row["val/constant"] for row in rows}) == 1
    better = "that is better than this model" if float(best["val/constant"]) > float(best["val/mAP"]) else "this model"
    (constant,) = (line for line in others if line.startswith("one order of the items"))
    assert f"has {float(best['val/constant']):.3f}: {better}" in constant
    assert any("say little" in line for line in others) == (queries < 20)
    assert f"weights: {path}" in " ".join(others)


def test_the_next_command_of_a_fit_is_the_same_test_and_says_that_it_replaces_the_results(fitted, tested, capsys):
    (folder, printed), before = fitted, report(tested[0])
    program, *words = shlex.split(printed.partition("\nnext: ")[2].replace("\\\n", ""))
    assert (program, words) == ("mcmfh", ["test", "--config", str(folder / "fit" / "config.yaml")])
    (folder / "test" / "ranking.csv").unlink()
    main(words)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100 + len(str(folder))
    assert f"{folder / 'test'}: replaces the earlier results of the same weights on the same data" in shown
    assert (folder / "test" / "ranking.csv").is_file()
    assert report(folder) == before


def test_a_test_takes_the_best_weights_and_names_them_and_the_data(small, tested):
    folder, printed = tested
    best = folder / "fit" / "checkpoints" / "best.ckpt"
    assert f"the best weights of the run: {best}" in printed
    found = report(folder)
    assert found["checkpoint"] == {
        "path": str(best),
        "sha256": hashlib.sha256(best.read_bytes()).hexdigest(),
        "epoch": torch.load(best, weights_only=True)["epoch"],
    }
    assert found["weights_sha256"] == identity_of(best).weights_sha256  # which an archive of them has as well
    dataset = json.loads((small / "dataset.json").read_text())
    shards = [shard for split in ("train", "val", "test") for shard in dataset["splits"][split]["shards"]]
    content = "\n".join(f"{shard['name']} {shard['sha256']}" for shard in shards)
    assert found["data"] == {
        "name": "planted",
        "path": str(small),
        "fingerprint": hashlib.sha256(content.encode()).hexdigest()[:16],
        "licence": "CC0",
        "pairs": {"train": 128, "val": 40, "test": 40},
    }


def test_results_of_other_data_other_weights_or_another_release_are_kept(
    small, tested, make_features, tmp_path, refused
):
    folder = tested[0]
    best = folder / "fit" / "checkpoints" / "best.ckpt"
    before = files_of(folder / "test")
    other = make_features(tmp_path / "other", train=100, evaluated=40)
    line = refused("test", other, folder)
    for words in (f"{small}, fingerprint", f"{other}, fingerprint", "--run-dir", f"--ckpt-path {best}", "delete"):
        assert words in line
    weights = torch.load(best, weights_only=True)
    weights["state_dict"] = {name: value + 1 for name, value in weights["state_dict"].items()}
    torch.save(weights, tmp_path / "other.ckpt")
    line = refused("test", small, folder, "--ckpt_path", tmp_path / "other.ckpt")
    assert f"these are of {tmp_path / 'other.ckpt'}" in line
    assert files_of(folder / "test") == before  # configuration and figures as well

    (tmp_path / "run" / "test").mkdir(parents=True)
    said = "holds the results of another run, which does not name its weights and data"
    path = tmp_path / "run" / "test" / "metrics.json"
    path.write_text('{"package": "mcmfh-lightning 0.1.0"}')
    assert said in refused("test", other, tmp_path / "run", "--ckpt_path", best)
    path.write_text("not JSON")
    with pytest.raises(DataError, match=said):
        check_results(path, str(best), {"fingerprint": "of the other"})


@pytest.mark.slow
def test_another_collection_is_tested_in_a_folder_of_its_own(mcmfh, tested, make_features, tmp_path):
    best = tested[0] / "fit" / "checkpoints" / "best.ckpt"
    mcmfh("test", make_features(tmp_path / "other", train=100, evaluated=40), tmp_path / "run", "--ckpt_path", best)
    found = report(tmp_path / "run")
    assert found["data"]["pairs"]["train"] == 100
    assert found["weights_sha256"] == report(tested[0])["weights_sha256"]


@pytest.mark.parametrize("subcommand", ["test", "validate", "predict"])
def test_untrained_weights_are_not_measured(small, tmp_path, refused, subcommand):
    line = refused(subcommand, small, tmp_path)
    assert f"{tmp_path / 'fit' / 'checkpoints' / 'best.ckpt'} does not exist" in line
    assert "--run-dir of a fit" in line
    assert not list(tmp_path.rglob("*.json"))


def test_a_run_that_chose_nothing_points_to_its_last_epoch(mcmfh, small, tmp_path, refused):
    printed = mcmfh("fit", small, tmp_path, "--trainer.limit_val_batches", 0, "--trainer.max_epochs", 1)
    last = tmp_path / "fit" / "checkpoints" / "last.ckpt"
    assert " ".join(printed.split()).endswith(
        f"no epoch was chosen: val/mAP was not measured, or undefined in every epoch; the last one is in {last}"
    )
    assert "--ckpt-path last takes those of the last epoch" in refused("test", small, tmp_path)


def test_validate_takes_the_best_weights_says_that_it_replaces_numbers_and_advertises_nothing(
    mcmfh, small, fitted, capsys
):
    folder = fitted[0]
    printed = mcmfh("validate", small, folder)
    assert "the best weights of the run" in printed
    assert "val/mAP" in printed
    replaces = f"{folder / 'validate' / 'metrics.csv'}: replaces the numbers of an earlier validate"
    assert replaces not in printed
    of_fit, of_validate = (_values(folder / stage / "metrics.csv") for stage in ("fit", "validate"))
    assert of_validate == [pytest.approx(max(of_fit), rel=1e-6)]
    printed = mcmfh("validate", small, folder, "--trainer.logger", "false")
    assert replaces in printed
    assert "litlogger" not in (printed + capsys.readouterr().err).lower()


def _values(path):
    with path.open() as file:
        return [float(row["val/mAP"]) for row in csv.DictReader(file) if row["val/mAP"]]

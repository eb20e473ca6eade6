"""What the pages of the methods call published or tuned is what the configs say, and what trials chose."""

import re
from inspect import Parameter, signature
from pathlib import Path

import pytest
import torch
import yaml

from mcmfh_lightning import hashers
from mcmfh_lightning.hashers import list_methods
from mcmfh_lightning.lightning_configs import find_config, find_configs
from mcmfh_lightning.losses import ContrastiveLoss
from mcmfh_lightning.sweeps.declared import read_runs

METHODS = [method.name for method in list_methods() if method.published]
# The constants that facts about the published code give; the other rows of the pages are checked against configs alone.
PUBLISHED = {
    "dchmt": {
        "model.margin_share": 0.75,
        "model.quantization_weight": 0.001,
        "model.optimizer.init_args.weight_decay": 0.2,
        "data.global_batch_size": 100,
    },
    "ddbh": {"model.quantization_weight": 0.1, "data.global_batch_size": 64},
    "dscph": {
        "model.negative_threshold": 0.9,
        "model.negative_offset": 0.7,
        "model.bit_variance_weight": 1,
        "model.triplet_weight": 0,
        "data.global_batch_size": 128,
    },
    "tripah": {
        "model.d_model": 512,
        "model.quantization_weight": 0.8,
        "model.alignment_weight": 5,
        "model.classification_weight": 0.3,
        "model.optimizer.init_args.weight_decay": 0.0001,
        "data.global_batch_size": 96,
    },
    "ucmfh": {
        "model.temperature": 0.5,
        "model.d_model": 512,
        "model.fusion_lr_scale": 0.1,
        "model.optimizer.init_args.betas": [0.5, 0.999],
        "data.global_batch_size": 128,
    },
}
SIZES = {"model.num_bits"}
"""What a user chooses, and no page lists."""


def configured(experiment):
    """Read the settings of model and data in an experiment: values by flag, classes by their last name."""
    flags = find_configs([f"experiments/{experiment}.yaml"])[1:]
    files = {"--data": find_config("data/features.yaml")} | dict(zip(flags[::2], flags[1::2], strict=True))
    found = {}
    for part in ("model", "data"):
        value = yaml.safe_load(Path(files[f"--{part}"]).read_text())
        found |= flattened(value["init_args"], f"{part}.")
        found[part] = value["class_path"]
    return found


def flattened(arguments, prefix):
    found = {}
    for name, value in arguments.items():
        if isinstance(value, dict):
            found[prefix + name] = value["class_path"].rpartition(".")[2]
            found |= flattened(value.get("init_args", {}), f"{prefix}{name}.init_args.")
        else:
            found[prefix + name] = value
    return found


def value_of(settings, flag):
    """As set, or the default of the class that takes it."""
    if flag in settings:
        return settings[flag]
    owner, _, name = flag.rpartition(".")
    takes = getattr(torch.optim, settings["model.optimizer"]) if "optimizer" in owner else None
    takes = takes or getattr(hashers, settings["model"].rpartition(".")[2])
    parameters = {
        **signature(ContrastiveLoss).parameters,
        **signature(takes).parameters,
    }  # some methods pass on what it takes
    default = parameters[name].default
    assert default is not Parameter.empty
    return list(default) if isinstance(default, tuple) else default


@pytest.mark.parametrize("method", METHODS)
def test_the_page_lists_what_the_configs_set(repository, method):
    page = (repository / "docs" / "reference" / "methods" / f"{method}.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| (.+) \| (.+) \|$", page, re.MULTILINE)
    listed = [flag for flag, _, _ in rows]
    assert f"`experiments/{method}_published.yaml` has the [settings](#settings) of the authors" in page
    tuned = "not tuned yet" not in (repository / "lightning_configs" / "model" / f"{method}.yaml").read_text()
    assert (f"`experiments/{method}.yaml` is tuned" in page) == tuned
    for column, experiment in ((1, f"{method}_published"), (2, method)):
        settings = configured(experiment)
        for row in rows:
            assert value_of(settings, row[0]) == plain(row[column]), (experiment, row[0])
        unlisted = {flag for flag in settings if flag.startswith("model.")} - set(listed) - SIZES
        assert unlisted <= {"model.lr_scheduler"}, f"{experiment} sets what its page does not list"


def plain(cell):
    """A cell of the page as Python has it: YAML, where 1e-6 is a number as well."""
    return float(cell) if re.fullmatch(r"[\d.]+e-\d+", cell) else yaml.safe_load(cell)


@pytest.mark.parametrize("method", METHODS)
def test_published_configs_have_the_published_constants(method):
    settings = configured(f"{method}_published")
    assert {flag: value_of(settings, flag) for flag in PUBLISHED[method]} == PUBLISHED[method]


TABLES = Path(__file__).parent.parent / "benchmarks" / "tables"
TUNED = sorted({run.system for run in read_runs(TABLES / "tuning.yaml")})


@pytest.fixture(scope="module")
def every_trial(benchmark_file, repository):
    runs = read_runs(TABLES / "tuning.yaml")
    results = benchmark_file("rendering.store").read(repository / "benchmarks" / "results")
    return list(benchmark_file("rendering.page").make_page(runs, results, None, {})[1].itertuples())


@pytest.mark.parametrize("system", TUNED)
def test_a_tuned_row_has_what_its_best_trial_had(every_trial, system):
    """In all tables, by its config or by a flag of the row."""
    trials = [trial for trial in every_trial if trial.system == system]
    assert len(trials) == 4
    assert all(trial.run for trial in trials)
    (best,) = (trial for trial in trials if trial.chosen)
    chosen = {flag: plain(value) for flag, value in (setting.split(" ") for setting in best.settings.split(", "))}
    runs = [run for table in TABLES.glob("*.yaml") if table.stem != "tuning" for run in read_runs(table)]
    rows = [run.parameters for run in runs if run.system == system]
    assert rows
    for row in rows:
        settings = configured(Path(row["config"]).stem) | row
        assert {flag: value_of(settings, flag) for flag in chosen} == chosen

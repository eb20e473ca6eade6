"""Launch recipes: every file is parsed by what reads it."""

import contextlib
import io
import re
import shlex
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcmfh_lightning.cli.train import main
from mcmfh_lightning.lightning_configs import find_config

RECIPES = {
    "cpu": {"accelerator": "cpu", "devices": 1, "strategy": "auto"},
    "gpu": {"accelerator": "gpu", "devices": 1, "strategy": "auto", "precision": "bf16-mixed"},
    "ddp": {"accelerator": "gpu", "devices": "auto", "strategy": "ddp", "precision": "bf16-mixed"},
    "slurm": {"accelerator": "gpu", "devices": "auto", "strategy": "ddp", "precision": "bf16-mixed"},
}
SBATCH_OPTIONS = {
    "array", "cpus-per-task", "gpus", "gpus-per-node", "job-name", "nodes", "ntasks", "ntasks-per-node", "open-mode",
    "output", "requeue", "signal", "time",
}  # fmt: skip


def resolved(*flags: str) -> dict[str, Any]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as stop:
        main(["fit", *flags, "--print_config"])
    assert stop.value.code == 0
    config: dict[str, Any] = yaml.safe_load(out.getvalue())
    return config


@pytest.fixture(scope="module")
def without_recipe() -> dict[str, Any]:
    return resolved("--config", "experiments/mcmfh.yaml", "--data.root", "features")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_changes_the_machine_and_nothing_else(name: str, without_recipe: dict[str, Any]) -> None:
    flags = ["--config", "experiments/mcmfh.yaml", "--data.root", "features"]
    plain, chosen = deepcopy(without_recipe), resolved(*flags, "--trainer", f"trainer/{name}.yaml")
    assert {key: chosen["trainer"][key] for key in RECIPES[name]} == RECIPES[name]
    for config in (plain, chosen):
        for key in ("accelerator", "devices", "strategy", "precision", "num_nodes"):
            config["trainer"].pop(key)
    assert chosen == plain


def scripts(repository: Path) -> list[Path]:
    return sorted((repository / "examples" / "slurm").glob("*.sbatch"))


def test_sbatch_files_are_shell_with_known_options(repository: Path) -> None:
    assert len(scripts(repository)) >= 2
    for path in scripts(repository):
        subprocess.run(["bash", "-n", path], check=True)
        lines = path.read_text().splitlines()
        options = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
        assert {option.partition("=")[0] for option in options} <= SBATCH_OPTIONS, path.name
        first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
        assert not any(line.startswith("#SBATCH") for line in lines[first_command:]), "sbatch would not read these"


def test_the_job_runs_a_command_that_parses(repository: Path, features: Path, tmp_path: Path) -> None:
    """The script itself, with a ``srun`` that writes down what it is to run."""
    srun = tmp_path / "srun"
    srun.write_text(f'#!/bin/bash\nprintf "%q " "$@" > {tmp_path}/command\n')
    srun.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "4"}
    given = ["--config", "experiments/mcmfh.yaml", "--data.root", str(features), "--run_dir", "runs/a folder"]
    subprocess.run(["bash", repository / "examples/slurm/fit.sbatch", *given], check=True, env=environment)
    program, subcommand, *flags = shlex.split((tmp_path / "command").read_text())
    assert (program, subcommand) == ("mcmfh", "fit")
    config = resolved(*flags)
    assert config["run_dir"] == "runs/a folder"
    assert (config["trainer"]["num_nodes"], config["trainer"]["devices"]) == (2, "4")
    assert config["ckpt_path"] == "last"
    assert config["last_checkpoint"]["every_n_train_steps"] == 500


def test_the_page_names_every_recipe(repository: Path) -> None:
    named = set(
        re.findall(r"`--trainer trainer/(\w+)\.yaml`", (repository / "docs" / "guides" / "cluster.md").read_text())
    )
    assert named == set(RECIPES)
    assert all(Path(find_config(f"trainer/{name}.yaml")).is_file() for name in RECIPES)

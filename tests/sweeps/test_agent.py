"""An agent of Weights & Biases starts the runs that `mcmfh-bench sweep` starts."""

import csv
import os
import sys
from pathlib import Path

import pytest
import torch
import yaml

from mcmfh_lightning.cli.bench import main
from mcmfh_lightning.cli.data import main as mcmfh_data
from mcmfh_lightning.cli.train import main as mcmfh
from mcmfh_lightning.lightning_configs import find_config
from mcmfh_lightning.sweeps.command import read_sweep
from mcmfh_lightning.sweeps.result import load_all

SHIPPED = Path(find_config("sweeps/experts_bits.yaml"))
SWEEP = yaml.safe_load(SHIPPED.read_text())


class Agent:
    """W&B's own agent, one for all runs; only the server, which would name the runs, is missing."""

    def __init__(self, sweep, monkeypatch):
        module = pytest.importorskip("wandb.wandb_agent")
        # The agent writes these into the environment of its own process.
        for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_DIR"):
            monkeypatch.setenv(name, os.environ.get(name, ""))
            monkeypatch.delenv(name)
        monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
        monkeypatch.setenv("WANDB_MODE", "offline")
        self._program = sweep["program"]
        self._agent = module.Agent(None, None, sweep_id="sweep1")
        self._agent._sweep_command = list(sweep["command"])  # as the server would hand it over

    def __call__(self, run_id, values):
        arguments = {name: {"value": value} for name, value in values.items()}
        self._agent._command_run({"run_id": run_id, "program": self._program, "args": arguments})
        return self._agent._run_processes[run_id].wait()


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Put a ``mcmfh`` first on the path that records its arguments; return those of the last call."""
    (tmp_path / "bin").mkdir()
    recorder = tmp_path / "bin" / "mcmfh"
    recorder.write_text(f"#!/bin/sh\nfor word; do printf '%s\\0' \"$word\"; done > {tmp_path}/arguments\n")
    recorder.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return lambda: (tmp_path / "arguments").read_text().split("\0")[:-1]


def test_an_agent_starts_the_runs_of_the_shipped_file(recorded, monkeypatch):
    agent = Agent(SWEEP, monkeypatch)
    runs = read_sweep(SHIPPED).runs()
    assert len(runs) == 16
    for number, run in enumerate(runs[::5]):  # each value of both parameters
        # In another order: the server promises none.
        assert agent(f"run{number}", {name: run.parameters[name] for name in reversed(SWEEP["parameters"])}) == 0
        subcommand, *flags = recorded()
        assert subcommand == "fit"
        places = {f"--run-dir=runs/wandb/sweep1/run{number}", "--trainer.logger=logger/wandb.yaml"}
        assert sorted(flags) == sorted([*places, *run.flags()])
        assert next(flag for flag in flags if flag not in places) == run.flags()[0] == "--config=experiments/mcmfh.yaml"


def without_places(config):
    """Leave out where a run writes, logs and shows its progress, which differ by design."""
    trainer = config["trainer"]
    return {name: value for name, value in config.items() if name != "run_dir"} | {
        "trainer": {name: trainer[name] for name in trainer if name not in ("logger", "enable_progress_bar")}
    }


def test_both_ways_resolve_to_one_configuration(recorded, tmp_path, capfd, monkeypatch):
    """Also with values that Python and JSON write differently."""
    more = {
        "model.num_experts": {"values": [2, 4]},
        "model.num_bits": {"value": 32},
        "model.optimizer.init_args.lr": {"values": [1e-05, 0.001]},
        "model.optimizer.init_args.betas": {"value": [0.9, 0.95]},
        "model.supervision": {"value": "pairs"},
        "trainer.enable_model_summary": {"value": False},
        "trainer.devices": {"value": [0]},
    }
    command = [*SWEEP["command"][:-1], "--trainer.max_epochs=3", "${args}"]
    sweep = SWEEP | {"parameters": SWEEP["parameters"] | more, "command": command}
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep))

    def resolved(arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            mcmfh([*arguments, "--print_config"])
        assert stop.value.code == 0
        return yaml.safe_load(capfd.readouterr().out)

    agent = Agent(sweep, monkeypatch)
    runs = read_sweep(file).runs()
    assert len(runs) == 4
    for number, run in ((0, runs[0]), (3, runs[3])):  # each of the values
        assert agent(f"run{number}", {name: run.parameters[name] for name in sweep["parameters"]}) == 0
        theirs, ours = resolved(recorded()), resolved(["fit", *run.flags()])
        assert theirs["run_dir"] == f"runs/wandb/sweep1/run{number}"
        assert theirs["trainer"]["logger"]["class_path"].endswith("WandbLogger")
        assert without_places(theirs) == without_places(ours)
        model, trainer = ours["model"]["init_args"], ours["trainer"]
        optimizer = model["optimizer"]["init_args"]
        assert (model["num_experts"], model["num_bits"], model["supervision"]) == (2 + 2 * (number // 2), 32, "pairs")
        assert (optimizer["lr"], optimizer["betas"]) == ((1e-05, 0.001)[number % 2], [0.9, 0.95])
        assert (trainer["max_epochs"], trainer["enable_model_summary"], trainer["devices"]) == (3, False, [0])


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """Features of 300 phantom studies."""
    folder = tmp_path_factory.mktemp("phantom")
    drawn, pairs, features = folder / "phantom", folder / "pairs", folder / "features"
    mcmfh_data(["phantom", "--studies", "300", "--out", str(drawn)])
    places = {"--reports": drawn / "reports.tgz", "--images": drawn / "images", "--splits": drawn / "splits.csv"}
    places |= {"--out": pairs, "--name": "phantom"}
    mcmfh_data(["openi", *(str(word) for pair in places.items() for word in pair)])
    flags = ["--data.root", pairs, "--model.output_dir", features, "--run_dir", folder / "encode"]
    mcmfh(["predict", "--config", "experiments/encode_offline.yaml", *map(str, flags)])
    return features


@pytest.mark.slow
def test_a_sweep_on_the_phantom_ends_in_table_and_heat_map_and_an_agent_repeats_it(
    phantom, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    parameters = {
        "data.root": {"value": str(phantom)},
        "trainer.max_epochs": {"value": 4},
        "model.num_experts": {"values": [1, 4]},
        "model.num_bits": {"values": [16, 64]},
    }
    sweep = SWEEP | {"parameters": SWEEP["parameters"] | parameters}
    Path("two.yaml").write_text(yaml.safe_dump(sweep))
    out = Path("runs/sweep/two")
    tasks = ["--tasks", "2", "--jobs", "2"]
    main(["sweep", "two.yaml", "--task", "0", *tasks])
    first = {path.name: path.stat().st_mtime_ns for path in (out / "results").iterdir()}
    assert len(first) == 2
    assert not (out / "table.md").exists()
    main(["sweep", "two.yaml", "--render"])
    assert (out / "table.md").read_text().count("not run") == 2
    main(["sweep", "two.yaml", "--task", "1", *tasks])
    capsys.readouterr()
    main(["sweep", "two.yaml"])  # nothing is left to run
    captured = capsys.readouterr()
    assert "4 done before" in captured.err
    assert "Research use, not diagnosis" in " ".join(captured.out.split())  # wrapped at the width of the terminal
    files = {path.name: path.stat().st_mtime_ns for path in (out / "results").iterdir()}
    assert len(files) == 4
    assert files.items() >= first.items()
    page = (out / "table.md").read_text()
    assert "not run" not in page
    assert "4 of 4 runs" in page
    results = load_all(out / "results")
    assert f"**{max(result.best for result in results):.3f}**".replace("0.", ".") in page
    assert all(f">{result.best:.3f}<".replace("0.", ".") in (out / "figure.svg").read_text() for result in results)
    assert (out / "figure.png").is_file()

    # One point as an agent starts it: the same weights are the best, by the same number to the last bit.
    one = next(result for result in results if result.parameters["model.num_experts"] == 4)
    monkeypatch.setenv("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // 2)))  # as the two jobs had
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert Agent(sweep, monkeypatch)("run1", {name: one.parameters[name] for name in sweep["parameters"]}) == 0
    ours, theirs = out / "work" / one.file_name.removesuffix(".json"), Path("runs/wandb/sweep1/run1")
    (checkpoint,) = theirs.rglob("best.ckpt")
    callbacks = torch.load(checkpoint, weights_only=True)["callbacks"]
    (score,) = [state["best_model_score"] for state in callbacks.values() if state.get("monitor") == "val/mAP"]
    with (ours / "fit" / "metrics.csv").open() as file:
        values = [float(row["val/mAP"]) for row in csv.DictReader(file) if row["val/mAP"]]
    assert max(values) == float(score)
    assert round(max(values), 6) == one.best
    configs = [yaml.safe_load(next(folder.rglob("config.yaml")).read_text()) for folder in (ours, theirs)]
    assert without_places(configs[0]) == without_places(configs[1])

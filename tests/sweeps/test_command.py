"""Sweep files: what is refused, and how tasks of an array share the runs."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from mcmfh_lightning.cli.bench import main
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.lightning_configs import find_config
from mcmfh_lightning.sweeps.command import read_sweep

SHIPPED = Path(find_config("sweeps/experts_bits.yaml"))
SWEEP = yaml.safe_load(SHIPPED.read_text())


@pytest.fixture
def write(tmp_path):
    def write_documents(*documents):
        path = tmp_path / "sweep.yaml"
        path.write_text("---\n".join(yaml.safe_dump(document) for document in documents))
        return path

    return write_documents


def changed(**changes):
    return SWEEP | changes


def with_parameters(**parameters):
    return changed(parameters=SWEEP["parameters"] | {name.replace("__", "."): one for name, one in parameters.items()})


def with_words(*words, before=-1):
    command = list(SWEEP["command"])
    command[before:before] = words
    return changed(command=command)


def fails(capsys, arguments, pattern):
    """Check that the command ends in one line on standard error."""
    with pytest.raises(SystemExit) as stop:
        main(["sweep", *map(str, arguments)])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("mcmfh-bench: error: ")
    assert re.search(pattern, line), line


BAD = {
    "bayes": ([changed(method="bayes")], r"method is 'bayes'; only grid .* server of W&B, so start .* wandb agent"),
    "random": ([changed(method="random")], r"method is 'random'; only grid is run"),
    "two": ([SWEEP, SWEEP], r"holds 2 documents; give each sweep a file"),
    "test": ([changed(metric={"name": "test/x", "goal": "maximize"})], r"begin it with val/: .* test split"),
    "stopped early": ([changed(early_terminate={"type": "hyperband"})], r"unknown key 'early_terminate'"),
    "no list": ([changed(command="mcmfh fit")], r"command is 'mcmfh fit'; give a list"),
    "no args": ([changed(command=SWEEP["command"][:-1])], r"command: ends in .*logger.*; end it in \$\{args\}"),
    "program": ([changed(command=["python", "t.py", "${args}"])], r"command: does not run 'mcmfh fit'"),
    "lost flags": (
        [changed(command=["sh", "-c", "mcmfh fit", "${args}"])],
        r"'mcmfh fit' has to pass on the flags that follow",
    ),
    "hidden": (
        [changed(command=["sh", "-c", 'mcmfh fit "$@" --data.root=a', "sh", "${args}"])],
        r"--data.root is inside another word; write --data.root=value",
    ),
    "two words": ([with_words("--trainer.max_epochs", "3")], r"'--trainer.max_epochs' has no value; write it as"),
    "macro": ([with_words("--trainer.max_epochs=${envvar:EPOCHS}")], r"holds a macro, which only the agent replaces"),
    "twice": ([with_words(*["--trainer.max_epochs=3"] * 2)], r"command: --trainer.max_epochs is given twice"),
    "overridden": ([with_words("--run_dir=a", "--config=b.yaml")], r"--config overrides the flags before it; put it"),
    "overridden too": (
        [changed(command=["sh", "-c", 'mcmfh fit --run_dir=a "$@"', "sh", "${args}"])],
        r"has to pass on the flags that follow: mcmfh fit .\$@.",
    ),
    "both": ([with_words("--model.num_bits=16")], r"model.num_bits is both in command and in parameters"),
    "null": (
        [with_parameters(x={"values": [1, None]})],
        r"parameters: x: the agent of W&B would pass None as .*'None'",
    ),
    "null inside": ([with_parameters(x={"value": [1, None]})], r"would pass \[1, None\] as the text"),
    "config as a parameter": (
        [with_parameters(config={"value": "a"}) | {"command": ["mcmfh", "fit", "${args}"]}],
        r"command: lacks --config=FILE",
    ),
    "no config": ([changed(command=[])], r"config is missing"),
    "data": ([with_parameters(data__root={"values": ["a", "b"]})], r"data.root has several values; sweep one data set"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(write, capsys, name):
    documents, pattern = BAD[name]
    fails(capsys, [write(*documents), "--count"], pattern)


@pytest.mark.parametrize(
    ("flags", "pattern"),
    [
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--task", "0"], "--task and --tasks belong together"),
        (["--task", "4", "--tasks", "4"], "--task must be from 0 to 3 of --tasks 4, got 4; number the array from 0"),
        (["--task", "0", "--tasks", "4", "--render"], "--render makes one page of all runs"),
    ],
)
def test_wrong_arguments(write, tmp_path, monkeypatch, capsys, flags, pattern):
    monkeypatch.chdir(tmp_path)
    fails(capsys, [write(SWEEP), *flags], pattern)
    assert not (tmp_path / "runs").exists()


def test_keys_that_say_nothing_of_the_runs(write, capsys):
    main(["sweep", str(write(changed(project="mcmfh", entity="us", description="why"))), "--count"])
    assert capsys.readouterr().out == "16\n"


def test_missing_data_are_named_before_anything_runs(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fails(capsys, [write(SWEEP)], "runs/openi/features/dataset.json does not exist")


def test_the_array_script_runs_its_share(repository, write, tmp_path):
    """``examples/slurm/sweep.sbatch`` with the variables that SLURM sets; the command records its arguments."""
    recorder = tmp_path / "mcmfh-bench"
    recorder.write_text('#!/bin/sh\necho "$@"\n')
    recorder.chmod(0o755)
    script = repository / "examples" / "slurm" / "sweep.sbatch"
    names = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}
    command = ["bash", script, "sweep.yaml", "--jobs", "2"]
    done = subprocess.run(command, env=os.environ | names, capture_output=True, text=True, check=True)
    assert done.stdout == "sweep sweep.yaml --task 3 --tasks 8 --jobs 2\n"


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_stands_as_not_run(write, features, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    values = {"data__root": {"value": str(features)}, "model__num_experts": {"values": [2, "many"]}}
    values |= {"model__num_bits": {"value": 16}, "trainer__max_epochs": {"value": 1}}
    with pytest.raises(SystemExit) as stop:
        main(["sweep", str(write(with_parameters(**values))), "--jobs", "2", "--out", "out"])
    assert stop.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    log = re.fullmatch(r"mcmfh-bench: error: 1 of 2 runs failed, see their logs: \S+ \((out/work/\S+/log.txt)\)", last)
    assert "num_experts" in Path(log[1]).read_text()
    page = Path("out/table.md").read_text()
    assert re.search(r"\| 2 \| 1 \| \*\*\.\d{3}\*\* \|", page)
    assert "| many | 0 of 1 | not run | - |" in page


def test_options_may_have_hyphens(write):
    plain = read_sweep(SHIPPED)
    parameters = {name.replace("_", "-"): entry for name, entry in SWEEP["parameters"].items()}
    words = [word.replace("--run-dir=", "--run_dir=") for word in SWEEP["command"]]
    other = read_sweep(write(changed(parameters=parameters, command=words)))
    parameters_of = [sorted(sorted(run.parameters.items()) for run in sweep.runs()) for sweep in (plain, other)]
    assert parameters_of[0] == parameters_of[1] != []
    twice = changed(parameters=SWEEP["parameters"] | {"model.num-bits": {"value": 16}, "model.num_bits": {"value": 16}})
    with pytest.raises(DataError, match="is there twice, with hyphens and with underscores"):
        read_sweep(write(twice))

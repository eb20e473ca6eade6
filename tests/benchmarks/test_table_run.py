"""Runs of the real command line on planted features."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import pandas as pd
import pytest
import yaml

from mcmfh_lightning.sweeps.result import dumped

FIVE = {"i2t": "unimodal", "t2i": "unimodal", "i2i": "unimodal", "i2case": "asymmetric", "t2case": "asymmetric"}


def mean_of_five(report):
    """Average the mAP of the model over the five searches of unseen items by abnormal queries, as a test wrote them."""
    rows = pd.read_csv(report)
    rows = rows[(rows.metric == "mAP@all") & (rows.database == "unseen") & (rows.queries == "abnormal")]
    values = rows[rows.system == "model"].set_index(["direction", "protocol"])["value"]
    return values.loc[list(FIVE.items())].mean()


def sweep(name, config, root, metric="test/unimodal", seeds=(0,), **parameters):
    values = {"trainer.max_epochs": {"value": 1}, "trainer.enable_model_summary": {"value": False}}
    values |= {flag.replace("__", "."): {"value": value} for flag, value in parameters.items()}
    return {
        "name": name,
        "program": "mcmfh",
        "method": "grid",
        "metric": {"name": metric, "goal": "maximize"},
        "parameters": {
            "config": {"value": f"experiments/{config}.yaml"},
            "data.root": {"value": str(root)},
            "seed_everything": {"values": list(seeds)},
            **values,
        },
    }


class Bench:
    """A table file and the command on it."""

    def __init__(self, benchmark_file, folder, *sweeps):
        self._main, self._store = benchmark_file("table").main, benchmark_file("rendering.store")
        self.folder, self.results, self.work = folder, folder / "results", folder / "work"
        self.file = folder / "t.yaml"
        self.file.write_text("---\n".join(yaml.safe_dump(one) for one in sweeps))

    def __call__(self, *flags):
        places = {"--results": self.results, "--work": self.work, "--out": self.folder / "out"}
        self._main([str(self.file), *(str(one) for pair in places.items() for one in pair), *flags])
        return (self.folder / "out" / "table.md").read_text()

    def stored(self):
        return self._store.read(self.results)

    def keep(self, results):
        """Store these results alone."""
        (self.results / "t.jsonl.xz").unlink()
        self._store.add(self.results, "t", results)

    def times(self):
        """Return when the logs of runs were written."""
        return {
            path.name: (path / "log.txt").stat().st_mtime_ns for path in self.work.iterdir() if path.name != "results"
        }


def failure(bench, capsys, *flags):
    """Return the last line of an error that ends the command."""
    with pytest.raises(SystemExit) as stop:
        bench(*flags)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.slow
def test_a_trial_is_kept_although_another_run_fails(benchmark_file, features, tmp_path, capsys):
    trial = sweep("LabelClassifier", "label_classifier", features, "val/mAP", model__optimizer__init_args__lr=0.01)
    broken = sweep("broken", "label_classifier", features, model__no_such_flag=3)
    bench = Bench(benchmark_file, tmp_path, trial, broken)
    line = failure(bench, capsys, "--run", "--jobs", "2")
    log = re.fullmatch(r"table.py: error: 1 of 2 runs failed, .*: broken-planted-seed0-\w{8} \((.*log.txt)\)", line)[1]
    assert "no_such_flag" in bench.folder.joinpath(log).read_text()
    (result,) = bench.stored()
    assert (result.system, result.metric, result.epochs, result.num_bits) == ("LabelClassifier", "val/mAP", 1, None)
    assert 0 < result.best < 1
    assert result.fit_seconds > 0
    assert result.test_seconds is result.results is result.queries is None
    assert (result.data.name, result.data.encoder, result.data.num_labels) == ("planted", "planted", 8)
    assert result.data.pairs == {"train": 512, "val": 160, "test": 160}
    page = (tmp_path / "out" / "table.md").read_text()  # rendered although a run failed
    assert f"**{result.best:.3f}**".replace("0.", ".") in page
    assert "| broken | - |  | 0 of 1 |" in page


@pytest.mark.slow
def test_an_interrupt_keeps_what_has_finished(benchmark_file, features, tmp_path):
    runs = [
        sweep(f"LabelClassifier {epochs}", "label_classifier", features, "val/mAP", trainer__max_epochs=epochs)
        for epochs in (1, 100_000)
    ]
    bench = Bench(benchmark_file, tmp_path, *runs)
    words = [bench.file, "--run", "--results", bench.results, "--work", bench.work, "--out", tmp_path / "out"]
    # A process takes over that it is ignored, as where the tests run in the background of a shell.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([sys.executable, benchmark_file("table").__file__, *words], start_new_session=True)
    signal.signal(signal.SIGINT, handler)
    try:
        while not list(bench.work.glob("results/*.json")):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)  # not to its runs, which can lose that of a terminal while they start
        assert process.wait(timeout=60) == 130
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert [one.system for one in bench.stored()] == ["LabelClassifier 1"]


def test_data_that_are_not_there(benchmark_file, tmp_path, capsys):
    bench = Bench(benchmark_file, tmp_path, sweep("TwoTower", "two_tower", tmp_path / "nowhere"))
    assert re.search(r"error: .*nowhere/dataset.json does not exist", failure(bench, capsys, "--run"))
    assert "not run" in bench()  # which needs none


@pytest.mark.slow
def test_two_systems_of_two_seeds_are_run_resumed_and_rendered(benchmark_file, features, tmp_path, capsys):
    settings = {"model__num_bits": 16, "model__d_model": 32}
    bench = Bench(
        benchmark_file,
        tmp_path,
        sweep("MCMFH", "mcmfh", features, seeds=(0, 1), **settings),
        sweep("TwoTower, pairs", "two_tower", features, seeds=(0, 1), model__supervision="pairs", **settings),
    )
    page = bench("--run", "--jobs", "2")
    assert "not run" not in page
    assert re.search(r"\| MCMFH \| - \| 16 \| 2 \| 0 \| \.\d{3} ± \.\d{3} ", page)
    before = bench.times()
    assert len(before) == 4
    for result in bench.stored():
        folder = bench.work / result.file_name.removesuffix(".json")
        metrics = json.loads((folder / "test" / "metrics.json").read_text())
        assert result.num_bits == metrics["num_bits"] == 16
        assert metrics["seed"] == result.parameters["seed_everything"] or "MCMFH" not in result.system
        numbers = metrics["results"]["unimodal"]["train+val"]["abnormal"]["t2i"]
        for system in ("model", "hyperplanes", "constant", "shuffled within"):
            stored = result.results["unimodal"]["train+val"]["abnormal"]["t2i"][system]["NDCG@50"][0]
            assert stored == pytest.approx(numbers[system]["NDCG@50"]["value"], abs=1e-6)
        assert {name for of in result.queries.average_precision.values() for name in of} == set(FIVE)
        for search, protocol in FIVE.items():
            values = [v for v in result.queries.average_precision[protocol][search] if v is not None]
            expected = metrics["results"][protocol]["unseen"]["all"][search]["model"]["mAP@all"]["value"]
            assert sum(values) / len(values) == pytest.approx(expected, abs=1e-6)
        assert not list(folder.rglob("*.ckpt"))

    reports = {
        name: [bench.work / one / "test" / "ranking.csv" for one in before if one.startswith(name)]
        for name in ("mcmfh", "twotower")
    }
    for name, files in reports.items():
        means = pd.Series([mean_of_five(file) for file in files])
        assert len(means) == 2
        shown = " ± ".join(f"{value:.3f}"[1:] for value in (means.mean(), means.std()))
        assert re.search(rf"\| {name}[^|]* \| - \| 16 \| 2 \| 0 \| {shown} \|", page, re.IGNORECASE), (name, shown)

    # One is run again: it alone, with the same numbers; nothing else is touched.
    stored = bench.stored()
    (other,) = (one for one in stored if one.system != "MCMFH" and one.parameters["seed_everything"] == 0)
    (taken,) = (one for one in stored if one.system != "MCMFH" and one.parameters["seed_everything"] == 1)
    bench.keep(one for one in stored if one is not taken)
    assert "| TwoTower, pairs | 16 | 1 of 2 |" in bench()
    assert bench("--run", "--jobs", "2") == page
    after = bench.times()
    assert {name for name in after if after[name] != before[name]} == {taken.file_name.removesuffix(".json")}
    effort = {"fit_seconds": 0, "test_seconds": 0}
    again = {one.file_name: replace(one, **effort) for one in bench.stored()}
    assert again == {one.file_name: replace(one, **effort) for one in stored}

    # A run that was finished when the command was interrupted is not run again; a system can be asked for again.
    bench.keep(one for one in stored if one is not other)
    (bench.work / "results" / other.file_name).write_text(dumped(other))
    assert bench("--run") == page
    assert bench.times() == after
    assert not list((bench.work / "results").iterdir())
    assert bench("--run", "--jobs", "2", "--again", "TwoTower, pairs") == page
    changed = {name for name, time in bench.times().items() if time != after[name]}
    assert changed == {one.file_name.removesuffix(".json") for one in (other, taken)}
    after = bench.times()

    # Rendering needs no data, and the features may be stored elsewhere.
    features_file = bench.file.read_text()
    moved = tmp_path / "moved"
    moved.symlink_to(features)
    bench.file.write_text(features_file.replace(str(features), str(moved)))
    capsys.readouterr()
    assert "not run" not in bench("--run")
    assert "4 done before" in capsys.readouterr().err
    assert bench.times() == after

"""What a sweep's page, CSV and figure show of given results."""

import csv
import re

import numpy as np
import pytest
import yaml

from mcmfh_lightning.cli.bench import main
from mcmfh_lightning.sweeps.command import read_sweep
from mcmfh_lightning.sweeps.page import figure_of, summarize
from mcmfh_lightning.sweeps.result import Data, Result, dumped, load_all

DATA = Data("planted", "towers", "0" * 16, 8, {"train": 4, "val": 2, "test": 2})
EXPERTS, BITS, LR = "model.num_experts", "model.num_bits", "model.optimizer.init_args.lr"


class Sweep:
    """A sweep file, and results made up by a function of a run's parameters; None leaves the run out."""

    def __init__(self, folder, value, goal="maximize", seeds=(0,), **values):
        self.folder = folder
        parameters = {"config": {"value": "experiments/mcmfh.yaml"}, "data.root": {"value": "features"}}
        parameters["seed_everything"] = {"values": list(seeds)}
        parameters |= {name.replace("__", "."): {"values": list(given)} for name, given in values.items()}
        self.file = folder / "s.yaml"
        content = {"name": "the sweep", "program": "mcmfh", "method": "grid", "parameters": parameters}
        self.file.write_text(yaml.safe_dump(content | {"metric": {"name": "val/mAP", "goal": goal}}, sort_keys=False))
        self.sweep = read_sweep(self.file)
        (folder / "out" / "results").mkdir(parents=True)
        for run in self.sweep.runs():
            best = value(run.parameters)
            if best is not None:
                self._write(run, best)

    def _write(self, run, best):
        effort = {"package": "p", "torch": "t", "device": "d", "jobs": 1, "fit_seconds": 60.0, "test_seconds": None}
        values = effort | {"epochs": 3, "best": None if np.isnan(best) else best, "results": None, "queries": None}
        result = Result(run.system, run.metric, run.parameters, DATA, run.declared_bits, **values)
        (self.folder / "out" / "results" / result.file_name).write_text(dumped(result))

    def page(self):
        main(["sweep", str(self.file), "--render", "--out", str(self.folder / "out")])
        return (self.folder / "out" / "table.md").read_text()

    def figure(self):
        return figure_of(summarize(self.sweep, load_all(self.folder / "out" / "results"), {}))


def rows(page):
    """Read the cells of its table."""
    lines = [line for line in page.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def of_two(parameters):
    """Return a known value for each combination; one is missing and one is undefined."""
    table = {(2, 16): 0.25, (2, 64): None, (4, 16): 0.5, (4, 64): 0.75, (8, 16): float("nan"), (8, 64): 0.125}
    return table[parameters[EXPERTS], parameters[BITS]]


def test_two_flags_make_a_heat_map(tmp_path, capsys):
    sweep = Sweep(tmp_path, of_two, model__num_experts=(8, 2, 4), model__num_bits=(16, 64))
    page = sweep.page()
    assert rows(page) == [
        ["2", "16", "1", ".250", "60"],
        ["2", "64", "0 of 1", "not run", "-"],
        ["4", "16", "1", ".500", "60"],
        ["4", "64", "1", "**.750**", "60"],
        ["8", "16", "1", "-", "60"],
        ["8", "64", "1", ".125", "60"],
    ]
    assert "# the sweep" in page
    assert "planted, embeddings of towers: 5 of 6 runs." in page
    assert "`config experiments/mcmfh.yaml`, `seed_everything 0`" in page
    assert "Research use, not diagnosis." in page
    assert "![val/mAP](figure.png)" in page
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines() if str(tmp_path) not in line) <= 100
    assert [line.split() for line in printed.splitlines() if ".750" in line] == [["4", "64", "1", "*.750*", "60"]]
    screen = " ".join(printed.split())
    assert all(text in screen for text in ("the sweep", ".750", "not run", "Research use", "figure.svg"))

    with (tmp_path / "out" / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(one[EXPERTS], one[BITS], one["run"], one["mean"], one["best"]) for one in lines] == [
        ("2", "16", "1", "0.25", "0"),
        ("2", "64", "0", "", "0"),
        ("4", "16", "1", "0.5", "0"),
        ("4", "64", "1", "0.75", "1"),
        ("8", "16", "1", "", "0"),
        ("8", "64", "1", "0.125", "0"),
    ]

    assert (tmp_path / "out" / "figure.png").read_bytes().startswith(b"\x89PNG")
    vector = (tmp_path / "out" / "figure.svg").read_text()
    assert all(f">{text}<" in vector for text in (".250", ".500", ".750", ".125", "not run", "-", EXPERTS, BITS))
    axes, _ = sweep.figure().axes  # the map and its scale
    values = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)
    np.testing.assert_array_equal(values, [[0.25, np.nan], [0.5, 0.75], [np.nan, 0.125]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["2", "4", "8"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["16", "64"]
    placed = {text.get_position(): text.get_text() for text in axes.texts}
    assert placed[1, 1] == ".750"
    assert placed[1, 0] == "not run"
    (frame,) = axes.patches
    assert (round(frame.get_x()), round(frame.get_y())) == (1, 1)

    before = vector
    sweep.page()
    assert (tmp_path / "out" / "figure.svg").read_text() == before  # the same bytes every time


def test_seeds_are_averaged_and_an_incomplete_combination_is_not_chosen(tmp_path):
    values = {(2, 0): 0.2, (2, 1): 0.4, (4, 0): 0.9, (4, 1): None}
    sweep = Sweep(
        tmp_path,
        lambda parameters: values[parameters[EXPERTS], parameters["seed_everything"]],
        seeds=(0, 1),
        model__num_experts=(2, 4),
    )
    page = sweep.page()
    assert rows(page) == [["2", "2", "**.300 ± .141**", "60"], ["4", "1 of 2", ".900", "60"]]
    assert "mean ± standard deviation over seeds 0, 1" in page
    (axes,) = sweep.figure().axes
    np.testing.assert_allclose(axes.lines[0].get_ydata().astype(float), [0.3, 0.9])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "4"]


def test_less_may_be_better(tmp_path):
    sweep = Sweep(tmp_path, lambda parameters: parameters[LR], "minimize", model__optimizer__init_args__lr=(0.1, 0.01))
    assert [row[2] for row in rows(sweep.page())] == ["**.010**", ".100"]


def test_three_flags_make_panels(tmp_path):
    sweep = Sweep(
        tmp_path,
        lambda parameters: parameters[EXPERTS] / parameters[BITS] + parameters[LR],
        model__num_experts=(2, 4, 8),
        model__optimizer__init_args__lr=(0.1, 0.2),
        model__num_bits=(16, 32, 64),
    )
    assert len(rows(sweep.page())) == 18
    *panels, _ = sweep.figure().axes
    assert [panel.get_title() for panel in panels] == [f"{LR} 0.1", f"{LR} 0.2"]
    for panel, lr in zip(panels, (0.1, 0.2), strict=True):
        expected = np.array([[experts / bits + lr for bits in (16, 32, 64)] for experts in (2, 4, 8)])
        np.testing.assert_allclose(panel.images[0].get_array(), expected)


@pytest.mark.parametrize(
    ("value", "values", "reason"),
    [
        (lambda _: None, {"model__num_experts": (2, 4)}, "nothing was run"),
        (lambda _: 0.5, {}, "no flag varies but the seed"),
        (
            lambda _: 0.5,
            dict.fromkeys("abcdef", (1, 2)),
            "16 heat maps would be needed, 12 at most are drawn",
        ),
    ],
)
def test_without_a_figure_the_page_says_why(tmp_path, value, values, reason):
    sweep = Sweep(tmp_path, value, **values)
    stale = tmp_path / "out" / "figure.png"
    stale.write_bytes(b"of an earlier file")
    page = sweep.page()
    assert re.search(rf"No figure: ({reason})", page)
    assert not stale.exists()

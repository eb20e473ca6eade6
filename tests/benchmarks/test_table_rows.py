"""Rows and parts of a page: runs that are missing, trials, published settings, bits, and the table of the README."""

import shutil
from dataclasses import replace

import numpy as np

from mcmfh_lightning.sweeps.result import NULLS
from tests.benchmarks.made_up import (
    ARROWS,
    FIVE,
    SYSTEMS,
    document,
    made_up,
    mean_of_five,
    model,
    seeds_of,
    short,
    spread,
    trial,
)


def test_what_was_not_run_says_so(folder):
    folder.add(made_up("MCMFH", 1, 16), *(made_up("Real", seed, None) for seed in range(3)))
    pages = folder.render()
    rows = {row["system"]: row for row in pages["planted, 16 bits: mAP@all, unseen"][1]}
    assert rows["MCMFH"]["seeds"] == "1 of 3"
    assert rows["MCMFH"]["I→T"] == short(model(made_up("MCMFH", 1, 16), "abnormal", "i2t"))
    assert rows["TwoTower"]["seeds"] == "0 of 3"
    assert {rows["TwoTower"][name] for name in ("mean", *ARROWS, "T→T")} == {"not run"}
    against = {row["system"]: row for row in pages["planted, 16 bits: MCMFH against the others"][1]}
    assert against["TwoTower"]["p"] == "not run"
    assert against["Real"]["MCMFH ahead by"].endswith("]")
    # The data of the other folder are unknown.
    rows = pages["runs/plain, 16 bits: mAP@all, unseen"][1]
    assert {row["T→I"] for row in rows} == {"not run"}
    assert len(rows) == len(SYSTEMS)


def test_nothing_was_run(folder):
    folder.render()
    shutil.rmtree(folder.results)  # nor is there a folder
    pages = folder.render()
    assert {row["seeds"] for row in pages["runs/planted, 16 bits: mAP@all, unseen"][1]} == {"0 of 3"}
    assert not (folder.out / "table.csv").exists()


def test_a_reference_that_was_not_run(folder):
    folder.add(made_up("TwoTower", 1, 16), made_up("Real", 1, None))
    rows = {row["system"]: row for row in folder.render()["planted, 16 bits: MCMFH against the others"][1]}
    assert rows["MCMFH"]["MCMFH ahead by"] == "not run"
    assert rows["TwoTower"]["MCMFH ahead by"] == "-"


def test_trials_are_counted_and_shown(make_folder):
    tuning = document("MCMFH", "16", "val/mAP", "runs/planted").replace("[0, 1, 2]", "[0]")
    tuning += "  model.temperature: {values: [0.2, 0.5, 1.0]}\n"
    folder = make_folder(document("MCMFH", "16"), document("TwoTower", "16"), tuning)
    folder.add(made_up("MCMFH", 0, 16), made_up("TwoTower", 0, 16), made_up("MCMFH", 0, 16, "runs/plain"))
    folder.add(*(replace(trial("MCMFH", model__temperature=t), best=b) for t, b in ((0.2, 0.31), (0.5, 0.33))))
    pages = folder.render()
    assert [row["trials"] for row in pages["planted, 16 bits: mAP@all, unseen"][1][:2]] == ["2", "0"]
    assert pages["plain, 16 bits: mAP@all, unseen"][1][0]["trials"] == "0"
    for data in ("planted", "plain"):  # tuned on one collection, it has these settings on the other too
        assert [row["settings"] for row in pages[f"{data}, 16 bits: mAP@all, unseen"][1][:2]] == ["tuned", "-"]
    rows = pages["planted: tuning trials"][1]
    assert [(row["settings"], row["best val/mAP"]) for row in rows] == [
        ("`model.temperature 0.2`", ".310"),
        ("`model.temperature 0.5`", "**.330**"),
        ("`model.temperature 1.0`", "not run"),
    ]
    assert [line["run"] for line in folder.csv("trials.csv")] == ["True", "True", "False"]


def test_a_row_of_published_settings_is_called_so(make_folder):
    """Known by the name of its config; also before it was run, and whatever trials there are."""
    published = document("UCMFH, all views", "16").replace("x.yaml", "ucmfh_published.yaml")
    folder = make_folder(document("MCMFH", "16"), published)
    folder.add(made_up("MCMFH", 0, 16), trial("UCMFH, all views"))
    rows = folder.render()["planted, 16 bits: mAP@all, unseen"][1]
    assert [row["settings"] for row in rows[:3]] == ["-", "published", ""]
    config = {"config": "experiments/ucmfh_published.yaml"}
    one = made_up("UCMFH, all views", 0, 16)
    folder.add(replace(one, parameters=one.parameters | config))
    rows = folder.render()["planted, 16 bits: mAP@all, unseen"][1]
    assert (rows[1]["settings"], rows[1]["seeds"]) == ("published", "1 of 3")
    lines = folder.csv("table.csv")
    assert {(line["system"], line["settings"]) for line in lines} == {("MCMFH", "-"), ("UCMFH, all views", "published")}


def test_a_table_and_a_curve_for_each_number_of_bits(make_folder):
    folder = make_folder(document("MCMFH", "64, 16"), document("TwoTower", "16, 64"), document("Real"))
    folder.add(*(made_up("MCMFH", seed, bits) for seed in range(3) for bits in (16, 64)))
    folder.add(made_up("TwoTower", 0, 64), made_up("Real", 0, None))
    pages = folder.render()
    for bits, seeds in (("16", "0 of 3"), ("64", "1 of 3")):
        rows = {row["system"]: row for row in pages[f"planted, {bits} bits: mAP@all, unseen"][1]}
        shown = {"MCMFH": (bits, "3"), "TwoTower": (bits, seeds), "Real": ("real-valued", "1 of 3")}
        assert {name: (rows[name]["bits"], rows[name]["seeds"]) for name in shown} == shown
    overview = {row["system"]: row for row in pages["planted: mean of the five searches by code length"][1]}
    means = {bits: [mean_of_five(made_up("MCMFH", seed, bits), "abnormal") for seed in range(3)] for bits in (16, 64)}
    assert overview == {
        "MCMFH": {"system": "MCMFH", "16 bits": spread(means[16]), "64 bits": spread(means[64])},
        "TwoTower": {
            "system": "TwoTower",
            "16 bits": "not run",
            "64 bits": short(mean_of_five(made_up("TwoTower", 0, 64), "abnormal")),
        },
    }
    assert list(pages).index("planted, 16 bits: mAP@all, unseen") < list(pages).index(
        "planted, 64 bits: mAP@all, unseen"
    )
    figures = {path.name: path.read_bytes() for path in folder.out.glob("bits_*")}
    assert figures.keys() == {"bits_planted.svg", "bits_planted.png"}
    for label in ("MCMFH", "TwoTower", "Real", "chance", "shuffled within", "not diagnosis"):
        assert label in figures["bits_planted.svg"].decode()
    page = (folder.out / "table.md").read_bytes()
    assert b"](bits_planted.svg)" in page
    folder.render()
    assert (folder.out / "bits_planted.svg").read_bytes() == figures["bits_planted.svg"]
    assert (folder.out / "table.md").read_bytes() == page


def test_one_number_of_bits_has_no_curve(rendered):
    folder = rendered()
    assert not list(folder.out.glob("bits_*"))
    assert "](bits_" not in (folder.out / "table.md").read_text()


def test_the_table_of_the_readme(make_folder, benchmark_file, capsys):
    """Both collections in a cell, a column a search; systems that the README does not name are left out."""
    names, roots = ["UCMFH, all views", "TwoTower", "MCMFH"], ["runs/openi", "runs/roco"]
    together = ", ".join(roots)
    folder = make_folder(*(document(name, "" if name == "Real" else "16", roots=together) for name in SYSTEMS))
    for root in roots:
        folder.add(*(run for name in SYSTEMS for run in seeds_of(name, root)))
    folder.render()
    page = folder.path / "README.md"
    page.write_text("before\n<!-- comparison: searches -->\n<!-- end -->\nafter\n")
    capsys.readouterr()
    benchmark_file("readme_table").main(["--table", str(folder.out / "table.csv"), "--page", str(page)])
    printed = capsys.readouterr().out.strip()
    assert page.read_text() == f"before\n<!-- comparison: searches -->\n\n{printed}\n\n<!-- end -->\nafter\n"
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in printed.splitlines())
    assert head == ["system", "mean", *ARROWS]
    average = {
        name: np.mean([mean_of_five(run, "all") for root in roots for run in seeds_of(name, root)]) for name in names
    }
    names.sort(key=lambda name: -average[name])
    assert [line[0] for line in lines] == [*names, "*best null*", "*chance*"]
    for name, line in zip(names, lines, strict=False):
        means = [spread([mean_of_five(run, "all") for run in seeds_of(name, root)]) for root in roots]
        assert line[1] == " / ".join(means)
        for (protocol, way), cell in zip(FIVE, line[2:], strict=True):
            values = [[model(run, "all", way, protocol=protocol) for run in seeds_of(name, root)] for root in roots]
            assert cell == " / ".join(short(np.mean(of_seeds)) for of_seeds in values)
    best = {root: folder.best(root) for root in roots}
    for (protocol, way), cell in zip(FIVE, lines[-2][2:], strict=True):
        nulls = [
            max(
                np.mean([model(run, "all", way, protocol=protocol, system=null) for run in seeds_of(best[root], root)])
                for null in NULLS[:-1]
            )
            for root in roots
        ]
        assert cell == " / ".join(map(short, nulls))
    assert set(lines[-1][1:]) == {".125 / .125"}

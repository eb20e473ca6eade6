"""Headlines of papers against their rules, written down item by item."""

import inspect
import shlex
from typing import get_args

import numpy as np
import pytest

from mcmfh_lightning.cli.bench import main, rank
from mcmfh_lightning.evaluation.published import HEADLINES

from .conftest import ITEMS, save

FLAGS = [flag for name in HEADLINES for flag in ("--protocol", name)]
NAMES = {
    "as UCMFH: mAP@50": "ucmfh",
    "as DScPH: mAP@5000": "dscph",
    "as DDBH: mAP@all": "ddbh",
    "as TriPAH: mAP@all": "tripah",
}


def rankings(items):
    """Relevance of the items of each query from first to last, ties by position, own groups among them."""
    query, database = items["query"], items["database"]
    for code, label in zip(query["codes"], query["labels"], strict=True):
        distances = [int((code != other).sum()) for other in database["codes"]]
        yield [bool((label & database["labels"][i]).any()) for i in np.argsort(distances, kind="stable")]


def average_precision(hits):
    """Mean of the precisions at the hits; 0 without one."""
    found = [sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]
    return sum(found) / len(found) if found else 0.0


@pytest.mark.usefixtures("without_figures")
def test_each_headline_is_computed_by_its_papers_rules(report, items):
    results = report(items, *FLAGS)["results"]
    first_50 = np.mean([average_precision(hits[:50]) for hits in rankings(items)])
    whole = np.mean([average_precision(hits) for hits in rankings(items)])
    assert ITEMS > 50
    assert not np.isclose(first_50, whole)
    due = {"ucmfh": first_50, "dscph": whole, "ddbh": whole, "tripah": whole}
    for name, protocol in NAMES.items():
        assert results[name]["value"] == pytest.approx(due[protocol]), name


@pytest.mark.usefixtures("without_figures")
def test_depth_of_dscph_counts_hits_and_not_places(report, items):
    """Which 5,000 hits are, and 5,000 items are not, when the first 5,000 places hold fewer."""
    database = items["database"]
    items["database"] = {key: np.concatenate([array] * 300) for key, array in database.items()}
    items["database"]["ids"] = np.arange(len(items["database"]["ids"])).astype(str)
    items["query"] = {key: array[:4] for key, array in items["query"].items()}
    due, found = [], list(rankings(items))
    for hits in found:
        places = np.flatnonzero(hits)[:5000]
        due.append(np.mean((np.arange(len(places)) + 1) / (places + 1)) if len(places) else 0.0)
    assert max(map(sum, found)) > 5000
    assert report(items, "--protocol", "dscph")["results"]["as DScPH: mAP@5000"]["value"] == pytest.approx(np.mean(due))


@pytest.mark.usefixtures("without_figures")
def test_codes_that_say_nothing_are_at_chance(report, items):
    rng = np.random.default_rng(5)
    for side in items.values():
        side["codes"] = np.sign(rng.normal(size=(len(side["codes"]), 12)))
    results = report(items, *FLAGS)["results"]
    for name in NAMES:
        assert results[name]["value"] == pytest.approx(results[name]["chance"], abs=0.06)
    # Dividing by the hits alone raises chance.
    assert results["as UCMFH: mAP@50"]["chance"] > results["mAP@50"]["chance"] + 0.02


@pytest.mark.usefixtures("without_figures")
def test_they_are_marked_and_only_there_when_asked_for(report, items, capsys):
    assert not [name for name in report(items)["results"] if name.startswith("as ")]
    capsys.readouterr()
    assert list(report(items, "--protocol", "ucmfh")["results"])[-1] == "as UCMFH: mAP@50"
    table = " ".join(capsys.readouterr().out.split())
    assert "published rows break ties by position, leave nothing out" in table
    assert "their papers' splits, and who sees which modality, are not in codes" in table
    assert f"{report(items, '--protocol', 'ucmfh')['results']['as UCMFH: mAP@50']['chance']:.4f}" in table


@pytest.mark.usefixtures("without_figures")
def test_the_command_of_the_page(repository, items, tmp_path, monkeypatch, capsys):
    page = (repository / "docs" / "concepts" / "published.md").read_text()
    (line,) = [line.strip() for line in page.splitlines() if line.startswith("    mcmfh-bench rank")]
    for side, held in items.items():
        save(tmp_path / f"{side}.npz", held)
    monkeypatch.chdir(tmp_path)
    main(shlex.split(line)[1:])
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)


def test_the_command_offers_all():
    (names, _) = get_args(inspect.signature(rank).parameters["protocol"].annotation)
    assert list(get_args(get_args(names)[0])) == list(HEADLINES)

"""`mcmfh-bench rank` against rankings written down item by item, and against torchmetrics where there are no ties."""

import csv
import itertools
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torchmetrics.retrieval import RetrievalMAP

from mcmfh_lightning.cli.bench import main
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.codes import read_items, read_task
from mcmfh_lightning.evaluation.codes_files import write_codes

from .conftest import BITS, ITEMS, LABELS, QUERIES, random_items, save

K = 5


def _tie_free():
    """Queries at both ends of a thermometer: every item is at a distance of its own."""
    rng = np.random.default_rng(0)
    bits = 40
    codes = np.arange(bits)[None] < np.arange(bits)[:, None]
    ends = np.array([np.zeros(bits, bool), np.ones(bits, bool)] * 4)
    hot = rng.random((len(ends) + bits, 4)) < 0.25
    hot[: len(ends), 0] = True
    hot[2] = False  # a query without relevant items
    return {
        "query": {"codes": ends, "labels": hot[: len(ends)]},
        "database": {"codes": codes, "labels": hot[len(ends) :]},
    }


def _torchmetrics(items, **settings):
    query, database = items["query"], items["database"]
    distances = (query["codes"][:, None] != database["codes"][None]).sum(-1)
    relevant = (query["labels"][:, None] & database["labels"][None]).any(-1)
    scores = torch.from_numpy(1.0 + database["codes"].shape[1] - distances)  # 0 would count as not relevant
    indexes = torch.arange(len(distances))[:, None].expand_as(scores)
    return RetrievalMAP(**settings)(scores.flatten(), torch.from_numpy(relevant).flatten(), indexes.flatten()).item()


def test_without_ties_it_is_torchmetrics(report):
    items = _tie_free()
    made = report(items, "--k", "10", "--legacy")
    results = made["results"]
    assert made["query"]["without_relevant"] == 1
    assert results["mAP@all"]["num_queries"] == 7
    assert results["mAP@all"]["value"] == pytest.approx(_torchmetrics(items, empty_target_action="skip"), abs=1e-6)
    ours, theirs = results["legacy mAP@10"]["value"], _torchmetrics(items, empty_target_action="neg", top_k=10)
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert results["legacy first-hits mAP@all"]["value"] == pytest.approx(results["mAP@all"]["value"] * 7 / 8)
    for name in ("mAP@all", "mAP@10"):
        assert results[name]["pessimistic"] == pytest.approx(results[name]["value"])
        assert results[name]["optimistic"] == pytest.approx(results[name]["value"])


def _values_of_order(query, database, order, k):
    """(Q, values) with all ties broken by a position in the order; NaN for queries without relevant items."""
    rows = []
    for code, label, group in zip(query["codes"], query["labels"], query["groups"], strict=True):
        kept = [i for i in order if database["groups"][i] != group]
        distances = [int((database["codes"][i] != code).sum()) for i in kept]
        ranked = [kept[i] for i in np.argsort(distances, kind="stable")]
        gains = [int((database["labels"][i] & label).sum()) for i in ranked]
        hits = [gain > 0 for gain in gains]
        total = sum(hits)
        if total == 0:
            rows.append([np.nan] * 7)
            continue
        precisions = [hit * sum(hits[: t + 1]) / (t + 1) for t, hit in enumerate(hits)]
        discounts = [1 / np.log2(t + 2) for t in range(k)]
        found = [hit for hit, distance in zip(hits, sorted(distances), strict=True) if distance <= 2]
        rows.append(
            [
                sum(precisions) / total,
                sum(precisions[:k]) / min(k, total),
                sum(hits[:k]) / k,
                sum(hits[:k]) / total,
                np.dot(gains[:k], discounts[: len(gains)])
                / np.dot(sorted(gains, reverse=True)[:k], discounts[: len(gains)]),
                sum(gains[:k]) / k,
                sum(found) / max(1, len(found)),
            ]
        )
    return np.array(rows)


def test_every_metric_is_the_mean_over_all_orders(report):
    """Six items of 3 bits, 720 orders; chance is the same with all codes equal."""
    rng = np.random.default_rng(3)
    sides = {}
    for side, count in (("query", 4), ("database", 6)):
        codes, labels = rng.random((count, 3)) < 0.5, rng.random((count, 3)) < 0.5
        sides[side] = {"codes": codes, "labels": labels, "groups": rng.integers(0, 4, count)}
    results = report(sides, "--k", "2")["results"]
    names = ["mAP@all", "mAP@2", "P@2", "R@2", "NDCG@2", "ACG@2", "P@H<=2"]
    assert list(results) == ["mAP@all", "mAP@2", "P@2", "R@2", "NDCG@2", "ACG@2", "P@H<=2"]
    orders = list(itertools.permutations(range(6)))
    constant = {side: items | {"codes": np.zeros_like(items["codes"])} for side, items in sides.items()}
    for key, with_codes in (("value", sides), ("chance", constant)):
        per_order = np.array([_values_of_order(with_codes["query"], with_codes["database"], o, 2) for o in orders])
        expected = np.nanmean(per_order.mean(0), axis=0)
        np.testing.assert_allclose([results[name][key] for name in names], expected, rtol=1e-12)
        if key == "value":
            lowest, highest = (np.nanmean(end, axis=0)[:2] for end in (per_order.min(0), per_order.max(0)))
            np.testing.assert_allclose([results[name]["pessimistic"] for name in names[:2]], lowest)
            np.testing.assert_allclose([results[name]["optimistic"] for name in names[:2]], highest)
            assert highest[0] - lowest[0] > 0.05


def _packed(items):
    return items | {"codes": np.packbits(items["codes"] > 0, axis=1), "labels": np.packbits(items["labels"], axis=1)}


FORMS = {
    "float64 signs": ([], lambda items: items),
    "float16 signs, float labels": (
        [],
        lambda items: items | {"codes": (0.3 * items["codes"]).astype("f2"), "labels": items["labels"].astype("f4")},
    ),
    "big-endian": ([], lambda items: items | {"codes": items["codes"].astype(">f4")}),
    "integer signs": ([], lambda items: items | {"codes": items["codes"].astype("i1")}),
    "floating-point bits": ([], lambda items: items | {"codes": (items["codes"] > 0).astype("f4")}),
    "bool": ([], lambda items: items | {"codes": items["codes"] > 0}),
    "uint8 bits and labels": (
        [],
        lambda items: items | {"codes": (items["codes"] > 0).astype("u1"), "labels": items["labels"].astype("u1")},
    ),
    "int64 bits, known width": (
        ["--num-bits", str(BITS), "--num_labels", str(LABELS)],
        lambda items: items | {"codes": (items["codes"] > 0).astype("i8"), "labels": items["labels"].astype("i8")},
    ),
    "packed": (["--num-bits", str(BITS), "--num-labels", str(LABELS)], _packed),
    "string groups": ([], lambda items: items | {"groups": np.array([f"g{x:02}" for x in items["groups"]])}),
    "Fortran order": ([], lambda items: items | {"codes": np.asfortranarray(items["codes"])}),
}


NPZ_ALONE = ("big-endian", "Fortran order")


@pytest.mark.usefixtures("without_figures")
def test_the_form_changes_no_digit(report, items):
    expected = report(items, "--k", str(K))["results"]
    for form, (flags, change) in FORMS.items():
        changed = {side: change(one) for side, one in items.items()}
        for suffix in (".npz", ".parquet"):
            if suffix == ".npz" or form not in NPZ_ALONE:
                assert report(changed, "--k", str(K), *flags, suffix=suffix)["results"] == expected, form + suffix


@pytest.mark.usefixtures("without_figures")
def test_each_file_says_how_it_was_read(report, items, capsys):
    """Signs on one side, 0 and 1 on the other: +1 is 1; signs of 0 are +1."""
    codes = items["query"]["codes"]
    expected = report(items)["results"]
    items["database"]["codes"] = (items["database"]["codes"] > 0).astype("f8")
    for kind, reading in (("f4", "floating-point signs"), ("i1", "integer signs")):
        items["query"]["codes"] = np.where(codes > 0, np.arange(BITS) % 2, -1).astype(kind)
        made = report(items)
        assert made["results"] == expected
        assert (made["query"]["codes_read_as"], made["database"]["codes_read_as"]) == (
            reading,
            "floating-point bits 0 and 1",
        )
        zeros = int((codes[:, ::2] > 0).sum())
        assert (made["query"]["zero_signs"], made["database"]["zero_signs"]) == (zeros, 0)
        printed = capsys.readouterr()
        assert f"codes were read as: {reading} (queries), floating-point bits 0 and 1 (database)" in printed.out
        assert f"q.npz: codes: {zeros} of {codes.size} signs are exactly 0" in printed.err.replace("query.npz", "q.npz")


@pytest.mark.usefixtures("without_figures")
def test_one_label(report, items, tmp_path):
    """A single label is said to be one; an item without it is relevant to nobody."""
    two = {side: one | {"labels": one["labels"][:, :1] & [True, False]} for side, one in items.items()}
    single = {side: one | {"labels": one["labels"][:, :1].astype("u1")} for side, one in items.items()}
    assert report(single, "--num-labels", "1")["results"] == report(two)["results"]
    classes = np.arange(QUERIES)[:, None] % 7
    for kind, pattern in (("i8", "hold other values than 0 and 1"), ("u1", "bits set beyond label 1")):
        path = save(tmp_path / "classes.npz", items["query"] | {"labels": classes.astype(kind)})
        with pytest.raises(DataError, match=pattern):
            read_items(path, None, 1)


CONSTANT_BITS = {
    "a bit of the queries": (
        {"query": [3]},
        ["query.npz: codes: 1 of 12 bits (counted from 0: 3) are the same in all queries but not in the database"],
    ),
    "bits of the database": (
        {"database": [0, 11]},
        ["database.npz: codes: 2 of 12 bits (counted from 0: 0, 11) are the same in the whole database but not in all"],
    ),
    "a bit of both": (
        {"query": [1], "database": [1]},
        ["query.npz: codes: 1 of 12 bits (counted from 0: 1) are the same in all queries and in the whole database"],
    ),
    "codes of the queries": ({"query": range(12)}, ["query.npz: codes: all 30 queries have the same code"]),
    "codes of the database": (
        {"database": range(12), "query": [2]},
        ["database.npz: codes: all 80 items have the same code"],
    ),
    "all codes": (
        {"database": range(12), "query": range(12)},
        ["all 30 queries have the same code", "all 80 items have the same code"],
    ),
}


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("name", CONSTANT_BITS)
def test_bits_that_never_change_are_reported(report, items, capsys, name):
    constant, expected = CONSTANT_BITS[name]
    for side, bits in constant.items():
        items[side]["codes"][:, list(bits)] = -1.0
    made = report(items)
    assert len(made["warnings"]) == len(expected)
    printed = capsys.readouterr().err
    for warning, wanted in zip(made["warnings"], expected, strict=True):
        assert wanted in warning
        assert warning in printed
    if "codes of the database" in name:
        assert made["results"]["mAP@all"]["value"] == pytest.approx(made["results"]["mAP@all"]["chance"])


@pytest.mark.usefixtures("without_figures")
def test_one_file_packed_the_other_not(report, items):
    expected = report(items)["results"]
    flags = ("--num-bits", str(BITS), "--num-labels", str(LABELS))
    assert report(items | {"database": _packed(items["database"])}, *flags)["results"] == expected


@pytest.mark.usefixtures("without_figures")
def test_the_order_of_the_database_changes_no_digit(report, items, tmp_path):
    expected = report(items, "--k", str(K))
    files = {name: (tmp_path / "out" / name).read_bytes() for name in ("results.csv", "labels.csv")}
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(ITEMS)
        moved = items | {"database": {key: array[order] for key, array in items["database"].items()}}
        assert report(moved, "--k", str(K))["results"] == expected["results"]
        assert files == {name: (tmp_path / "out" / name).read_bytes() for name in files}


@pytest.mark.usefixtures("without_figures")
def test_own_ids_are_left_out(report, items, capsys, tmp_path):
    """A collection ranked for itself: without a word every query finds itself first."""
    one = items["database"]
    both = {"query": one, "database": one}
    by_group = {
        side: {key: array for key, array in items.items() if key != "groups"} | {"groups": items["ids"]}
        for side, items in both.items()
    }
    expected = report(by_group)["results"]
    written = f"{tmp_path / 'out'}: results.json, tables and figures written\n"
    assert capsys.readouterr().err == written
    ungrouped = {side: {key: array for key, array in items.items() if key != "groups"} for side, items in both.items()}
    made = report(ungrouped, "--exclude-same-id")
    assert made["results"] == expected
    assert made["interval"]["resampled"] == "queries"
    assert capsys.readouterr().err == written
    careless = report(ungrouped)
    (warning,) = careless["warnings"]
    assert f"{ITEMS} ids are in both files" in warning
    assert warning in capsys.readouterr().err
    assert careless["results"]["mAP@all"]["value"] > expected["mAP@all"]["value"]
    nameless = {side: {key: items[key] for key in ("codes", "labels")} for side, items in both.items()}
    made = report(nameless)
    assert "is its own neighbor" in made["warnings"][0]
    assert made["results"] == careless["results"]  # groups or not: without a warning heeded, nothing is left out


@pytest.mark.usefixtures("without_figures")
def test_intervals_resample_groups(report, items):
    """Copies of queries in one group add no certainty; as queries of their own they seem to."""
    query = {key: np.concatenate([array] * 9) for key, array in items["query"].items()}
    query["groups"] = np.tile(np.arange(QUERIES) + 1000, 9)
    database = items["database"]
    once = items["query"] | {"groups": np.arange(QUERIES) + 1000}
    grouped = report({"query": query, "database": database})
    single = report({"query": once, "database": database})
    assert grouped["interval"]["resampled"] == "groups"
    for end in ("low", "high"):
        assert grouped["results"]["mAP@all"][end] == pytest.approx(single["results"]["mAP@all"][end])
    del query["groups"]
    naive = report({"query": query, "database": {key: database[key] for key in ("codes", "labels")}})
    width = {name: r["results"]["mAP@all"]["high"] - r["results"]["mAP@all"]["low"] for name, r in
             (("grouped", grouped), ("naive", naive))}  # fmt: skip
    assert width["naive"] < 0.6 * width["grouped"]
    low, high = (grouped["results"]["mAP@all"][end] for end in ("low", "high"))
    assert low < grouped["results"]["mAP@all"]["value"] < high
    other = report({"query": query, "database": {key: database[key] for key in ("codes", "labels")}}, "--seed", "1")
    assert other["results"]["mAP@all"]["low"] != naive["results"]["mAP@all"]["low"]


@pytest.mark.usefixtures("without_figures")
def test_label_by_label(report, items, tmp_path):
    """Means over the queries that carry the label, of values asked for one query at a time."""
    names = [f"finding {number}" for number in range(LABELS)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    some = 8
    items["query"] = {key: array[:some] for key, array in items["query"].items()}
    report(items, "--k", "5", "--k", "7", "--label-names", str(tmp_path / "names.txt"))
    with (tmp_path / "out" / "labels.csv").open() as file:
        rows = {(row["label"], row["metric"]): row for row in csv.DictReader(file)}
    query = items["query"]
    single = [
        report({"query": {key: array[i : i + 1] for key, array in query.items()}, "database": items["database"]})
        for i in range(some)
    ]
    for number, name in enumerate(names):
        carried = query["labels"][:, number]
        if not carried.any():
            assert (name, "mAP@all") not in rows
            continue
        values = [one["results"]["mAP@all"].get("value") for one, has in zip(single, carried, strict=True) if has]
        values = [value for value in values if value is not None]
        row = rows[name, "mAP@all"]
        assert int(row["num_queries"]) == len(values)
        assert int(row["database_items"]) == items["database"]["labels"][:, number].sum()
        assert float(row["value"]) == pytest.approx(np.mean(values))
    assert {metric for _, metric in rows} == {"mAP@all", "mAP@5", "mAP@7"}


def test_what_is_written(report, items, tmp_path, capsys):
    made = report(items, "--k", "50")
    table = capsys.readouterr().out
    assert "Research use, not diagnosis." in table
    assert made["research_use"] == "Research use, not diagnosis."
    assert "min(k, R)" in table
    assert made["results"]["mAP@50"]["denominator"] == "min(k, R)"
    assert "legacy" not in table
    assert not [name for name in made["results"] if "legacy" in name]
    assert f"{made['query']['without_relevant']} without relevant items" in table
    assert made["query"]["without_relevant"] > 0
    with (tmp_path / "out" / "results.csv").open() as file:
        for row in csv.DictReader(file):
            assert float(row["value"]) == made["results"][row["metric"]]["value"]
            assert f"{float(row['value']):.4f}" in table
    for name in ("precision_recall.png", "precision_at_n.png", "recall_at_n.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_legacy_says_that_it_hangs_on_the_order(report, items, capsys):
    made = report(items, "--legacy")
    assert {"legacy mAP@50", "legacy first-hits mAP@50", "legacy first-hits mAP@all"} <= set(made["results"])
    table = capsys.readouterr().out
    assert "legacy rows break ties by position" in " ".join(table.split())
    assert max(map(len, table.splitlines())) <= 100
    assert table.isascii()
    assert all(f"{row['value']:.4f}" in table for row in made["results"].values())
    items["database"] = {key: array[::-1] for key, array in items["database"].items()}
    assert report(items, "--legacy")["results"]["legacy mAP@50"] != made["results"]["legacy mAP@50"]


def test_no_query_has_relevant_items(report, items, capsys):
    items["query"]["labels"] = np.zeros_like(items["query"]["labels"])
    made = report(items, "--legacy")
    assert made["query"]["without_relevant"] == QUERIES
    assert "value" not in made["results"]["mAP@all"]
    assert made["results"]["mAP@all"]["num_queries"] == 0
    assert made["results"]["legacy mAP@50"]["value"] == 0


@pytest.mark.usefixtures("without_figures")
def test_one_of_each(report):
    """The least there is: one query, one item, one bit, one label."""
    one = {"codes": np.array([[1.0]]), "labels": np.array([[1]])}
    made = report({"query": one, "database": one}, "--num-labels", "1")
    assert made["results"]["mAP@50"]["value"] == 1
    assert [warning for warning in made["warnings"] if "bits" in warning] == []
    packed = {"codes": np.array([[128]], np.uint8), "labels": np.array([[128]], np.uint8)}
    flags = ("--num-bits", "1", "--num-labels", "1")
    assert report({"query": packed, "database": one}, *flags)["results"] == made["results"]


def test_without_out_nothing_is_written(items, tmp_path, monkeypatch, capsys):
    for side, arrays in items.items():
        np.savez(tmp_path / f"{side}.npz", **arrays, notes=np.zeros(3))  # other keys are left alone
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    main(["rank", "--query", "../query.npz", "--database=../database.npz"])
    assert "mAP@50" in capsys.readouterr().out
    assert not list((tmp_path / "empty").iterdir())


def test_help_does_not_wait_for_torch():
    script = (
        "import contextlib, sys\n"
        "from mcmfh_lightning.cli.bench import main\n"
        "for command in ([], ['rank']):\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main([*command, '--help'])\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert [line for line in run.stdout.splitlines() if line.startswith("Usage")] == [
        "Usage: mcmfh-bench COMMAND [options]",
        "Usage: mcmfh-bench rank [options]",
    ]
    assert run.stderr.splitlines()[-1] == "False"


def test_random_items_have_what_the_tests_need():
    """Ties, queries without relevant items, shared groups."""
    query, database = random_items(1, QUERIES), random_items(2, ITEMS)
    distances = (query["codes"][:, None] != database["codes"][None]).sum(-1)
    assert all(len(np.unique(row)) < ITEMS / 4 for row in distances)
    assert not (query["labels"][:, None] & database["labels"][None]).any(-1).any(-1).all()
    assert np.isin(query["groups"], database["groups"]).any()


@pytest.mark.usefixtures("without_figures")
def test_results_of_other_codes_are_not_replaced(items, tmp_path, capsys):
    query, database, other = (
        str(save(tmp_path / f"{name}.npz", one)) for name, one in {**items, "other": random_items(3, ITEMS)}.items()
    )
    out = tmp_path / "rep"
    command = ["rank", "--query", query, "--out", str(out), "--database"]
    main([*command, database])
    assert capsys.readouterr().err.endswith(f"{out}: results.json, tables and figures written\n")
    main([*command, database, "--k", "5"])
    assert capsys.readouterr().err.endswith(
        f"{out}: results.json, tables and figures written, in place of earlier ones\n"
    )
    before = (out / "results.json").read_bytes()
    for content, was in ((before, "query.npz and database.npz"), (b'{"results": 3}', "something else")):
        (out / "results.json").write_bytes(content)
        with pytest.raises(SystemExit) as ended:
            main([*command, other])
        assert ended.value.code == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert f"{out}/results.json holds the results of {was}; these are of query.npz and other.npz" in said.err
        assert f"choose another --out, or delete {out}" in said.err
        assert (out / "results.json").read_bytes() == content


def test_codes_of_items_in_the_place_of_queries_are_warned_of(tmp_path):
    """Where `mcmfh predict` wrote codes of queries by search, those of the same items rank otherwise."""
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 2, (20, 8)), np.eye(4, dtype=np.uint8)[np.arange(20) % 4], np.arange(20)
    for name in ("test-image", "test-text", "val-i2t"):
        write_codes(tmp_path / f"{name}.npz", *arrays, np.arange(20).astype(str))
    sides = tmp_path / "test-image.npz", tmp_path / "test-text.npz"
    assert not read_task(*sides, None, None, exclude_same_id=False).warnings
    for search in ("i2t", "i2case", "t2i"):
        shutil.copy(sides[0], tmp_path / f"test-{search}.npz")
    (warning,) = read_task(*sides, None, None, exclude_same_id=False).warnings
    assert warning.startswith(f"{sides[0]}: codes of items")
    assert warning.endswith("one for each search: test-i2t.npz, test-i2case.npz")
    queries = tmp_path / "test-i2t.npz"
    assert not read_task(queries, sides[1], None, None, exclude_same_id=False).warnings


def test_files_of_different_searches_are_warned_of(tmp_path):
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 2, (20, 8)), np.eye(4, dtype=np.uint8)[np.arange(20) % 4], np.arange(20)
    paths = {name: tmp_path / f"test-{name}.npz" for name in ("i2t", "t2i", "image", "text", "case")}
    for path in paths.values():
        write_codes(path, *arrays, np.arange(20).astype(str))

    def warned(query, database):
        return read_task(paths[query], paths[database], None, None, exclude_same_id=False).warnings

    assert not warned("i2t", "image")  # not files of `mcmfh predict`: names mean nothing
    (tmp_path / "codes.json").touch()
    assert not warned("i2t", "text")
    assert not warned("t2i", "image")
    assert [line.partition(": ")[2] for line in warned("i2t", "image")] == [
        f"queries of the search i2t, which is for the code of the text; {paths['image']} has others"
    ]
    (line,) = warned("i2t", "t2i")
    assert line.endswith("codes of queries, of the search t2i; a database has codes of items")

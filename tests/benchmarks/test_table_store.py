"""Results as files: what is stored, and what is refused."""

import lzma
import re
from dataclasses import replace

import pytest

from mcmfh_lightning.cli.bench import main as mcmfh_bench
from mcmfh_lightning.sweeps.result import dumped
from tests.benchmarks.made_up import FIVE, QUERIES, document, made_up, trial


def test_two_encoders_of_one_collection_stand_apart(make_folder):
    roots = "runs/planted, runs/again"
    folder = make_folder(document("MCMFH", "16", roots=roots), document("TwoTower", "16", roots=roots))
    first = made_up("MCMFH", 0, 16)
    other = replace(first.data, encoder="tuned", encoder_digest="def")
    second = replace(first, parameters=first.parameters | {"data.root": "runs/again"}, data=other)
    assert first.file_name != second.file_name
    folder.add(first, second)
    titles = list(folder.render())
    assert "planted (planted), 16 bits: mAP@all, unseen" in titles
    assert "planted (tuned), 16 bits: mAP@all, unseen" in titles


def test_results_are_stored_a_line_a_run(folder):
    """The AP of each query for the five searches, to five decimals; all else to the last digit."""
    first, second = made_up("MCMFH", 0, 16), trial("TwoTower")
    second = replace(second, best=0.123456)
    everything = first.queries.average_precision
    finer = {
        protocol: {way: [value and value + 4e-6 for value in values] for way, values in of.items()}
        for protocol, of in everything.items()
    }
    folder.add(replace(first, queries=replace(first.queries, average_precision=finer)))
    folder.add(second)
    content = lzma.decompress((folder.results / "comparison.jsonl.xz").read_bytes()).decode()
    kept = {protocol: {} for protocol, _ in FIVE}
    for protocol, way in FIVE:
        kept[protocol][way] = everything[protocol][way]
    kept = replace(first, queries=replace(first.queries, average_precision=kept))
    assert content.splitlines() == [dumped(one).replace("\n", "") for one in (kept, second)]


def test_a_run_of_two_tables_is_stored_once(folder, benchmark_file):
    """The file that has it keeps it; a new result replaces the old one there."""
    store = benchmark_file("rendering.store")
    result = made_up("MCMFH", 0, 16)
    folder.add(result)
    store.add(folder.results, "other", [replace(result, epochs=99), made_up("MCMFH", 1, 16)])
    assert [one.epochs for one in store.read(folder.results)] == [99, 15]
    assert [path.name for path in sorted(folder.results.iterdir())] == ["comparison.jsonl.xz", "other.jsonl.xz"]


REFUSED = {
    "other labels": (
        lambda folder: folder.add(
            made_up("MCMFH", 0, 16), made_up("MCMFH", 1, 16, data=replace(made_up("MCMFH", 0, 16).data, num_labels=9))
        ),
        "have num_labels .*not comparable",
    ),
    "other queries": (
        lambda folder: folder.add(
            made_up("MCMFH", 0, 16),
            made_up("TwoTower", 1, 16, queries=replace(made_up("TwoTower", 1, 16).queries, group=[1] * QUERIES)),
        ),
        "its queries are not those of mcmfh-planted-16bit-seed0-",
    ),
    "no queries": (
        lambda folder: folder.add(made_up("MCMFH", 0, 16), made_up("TwoTower", 1, 16, queries=None)),
        "twotower-planted-16bit-seed1-.*holds no queries",
    ),
    "the folder held other data": (
        lambda folder: folder.add(
            made_up("MCMFH", 0, 16),
            made_up("MCMFH", 1, 16, data=replace(made_up("MCMFH", 0, 16).data, encoder_digest="def")),
        ),
        "was made with runs/planted when it held 'planted' of encoder 'planted'",
    ),
    "stored twice": (
        lambda folder: [folder.write(line(made_up("MCMFH", 0, 16)), name=name) for name in ("a", "b")],
        "b.jsonl.xz: line 1: mcmfh-planted-16bit-seed0-.* is in .*a.jsonl.xz already; remove one",
    ),
    "not compressed": (
        lambda folder: (folder.results / "x.jsonl.xz").write_text("{"),
        "x.jsonl.xz: not a file of results .*; restore it from git",
    ),
    "not JSON": (lambda folder: folder.write("{"), "jsonl.xz: line 1: not a result of a run"),
    "a list": (
        lambda folder: folder.write(line(made_up("MCMFH", 0, 16)), "[]"),
        "jsonl.xz: line 2: not a result of a run",
    ),
    "another version": (
        lambda folder: folder.write('{"format_version": 1}'),
        "format_version 1, this release reads 2",
    ),
    "lacks entries": (
        lambda folder: folder.write('{"format_version": 2}'),
        "an entry is missing or unknown .*run it again",
    ),
    "one system with and without bits": (
        lambda folder: folder.file.write_text("---".join((document("Real", "16"), document("Real")))),
        "'Real' is declared with and without model.num_bits; give one of them another name",
    ),
    "no runs at a time": (lambda folder: folder.flags.extend(["--jobs", "0"]), "--jobs must be at least 1"),
    "a file in the place of a folder": (
        lambda folder: folder.flags.extend(["--out", str(folder.file)]),
        "comparison.yaml: cannot be made .*correct the path",
    ),
    "again without a run": (
        lambda folder: folder.flags.extend(["--again", "MCMFH"]),
        "--again MCMFH needs --run, and a system that .* declares",
    ),
    "results of an earlier version": (
        lambda folder: (folder.results / "mcmfh-openi.json").write_text("{}"),
        "mcmfh-openi.json: a result of an earlier version",
    ),
    "another reference": (
        lambda folder: folder.flags.extend(["--reference", "Other"]),
        "--reference 'Other' is not a tested system; choose one of MCMFH, TwoTower",
    ),
}


def line(result):
    return dumped(result).replace("\n", "")


@pytest.mark.parametrize("name", REFUSED)
def test_results_that_are_refused(folder, capsys, name):
    make, pattern = REFUSED[name]
    folder.flags = []
    make(folder)
    with pytest.raises(SystemExit) as stop:
        folder.render(*folder.flags)
    assert stop.value.code == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("table.py: error: ")
    assert re.search(pattern, said), said


def test_the_old_command_says_where_it_is(capsys):
    with pytest.raises(SystemExit) as stop:
        mcmfh_bench(["table", "benchmarks/tables/bits.yaml", "--run"])
    assert stop.value.code == 2
    assert "python benchmarks/table.py FILE" in capsys.readouterr().err

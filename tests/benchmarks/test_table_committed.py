"""The pages in docs/results are what the committed results render to."""

import pytest
import yaml

from mcmfh_lightning.cli.train import main
from mcmfh_lightning.sweeps.declared import read_runs

TABLES = {"ablation": 12, "bits": 4, "comparison": 21, "subsets": 3, "tuned": 4, "tuning": 16}
"""Documents of each table."""


def test_every_table_is_checked_here(repository):
    assert tuple(sorted(path.stem for path in (repository / "benchmarks" / "tables").glob("*.yaml"))) == tuple(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_the_page_is_that_of_the_committed_results(benchmark_file, repository, tmp_path, name):
    """`make table` writes it."""
    places = ["--results", str(repository / "benchmarks" / "results"), "--out", str(tmp_path)]
    benchmark_file("table").main([str(repository / "benchmarks" / "tables" / f"{name}.yaml"), *places])
    for path in (repository / "docs" / "results" / name).iterdir():
        if path.suffix in (".md", ".csv"):
            assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_results_stay_small(benchmark_file, repository):
    """A file of results grows by some kilobytes a run, so that the repository can hold many more."""
    folder = repository / "benchmarks" / "results"
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size < 10_000 * len(benchmark_file("rendering.store").read(folder))


def test_nulls_stand_in_every_table(repository):
    """Also where the best system has no codes of the protocol: towers have no paired ones."""
    page = (repository / "docs" / "results" / "comparison" / "table.md").read_text()
    tables = [part for part in page.split("### ")[1:] if "; nulls of " in part]
    assert sum("bits: paired, " in table.splitlines()[0] for table in tables) >= 4
    assert sum("bits: mAP@all, unseen" in table.splitlines()[0] for table in tables) == 2
    for table in tables:
        assert "nan" not in table
        assert all(f"| *{null}* |" in table for null in ("chance", "constant", "shuffled queries", "hyperplanes"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:[it]2[a-z]+ is not learned")  # rows without some searches
@pytest.mark.parametrize("name", TABLES)
def test_every_flag_is_one(repository, features, tmp_path, monkeypatch, name):
    """One step of one run of each document."""
    monkeypatch.chdir(tmp_path)
    every = read_runs(repository / "benchmarks" / "tables" / f"{name}.yaml")
    runs = {run.where: run for run in reversed(every)}  # the first of each: the fewest bits, which small features have
    for run in runs.values():
        main(["fit", *run.flags(), f"--data.root={features}", "--trainer.fast_dev_run=true"])
    assert len(runs) == TABLES[name]


def test_every_system_has_as_many_trials(repository):
    """Equal effort for every system of the comparison but those with published settings, which were not tuned."""
    runs = read_runs(repository / "benchmarks" / "tables" / "comparison.yaml")
    published = {run.system for run in runs if run.parameters["config"].endswith("_published.yaml")}
    methods = ("UCMFH", "DScPH", "DDBH", "DCHMT", "TriPAH, no fusion")
    assert published == {f"{method}, published" for method in methods}
    compared = {run.system for run in runs} - published
    tuned = [run.system for run in read_runs(repository / "benchmarks" / "tables" / "tuning.yaml")]
    assert {system: tuned.count(system) for system in compared} == dict.fromkeys(compared, 4)
    assert set(tuned) == compared


def test_the_example_of_the_docs_is_read(repository, tmp_path):
    (example,) = (repository / "docs" / "guides" / "tables.md").read_text().split("```yaml\n")[1:]
    path = tmp_path / "table.yaml"
    path.write_text(example.split("```")[0])
    assert len(read_runs(path)) == 6
    assert yaml.safe_load(path.read_text())["name"] == read_runs(path)[0].system

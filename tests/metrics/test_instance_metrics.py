"""Partners and duplicates against a loop over all pairs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.metrics import HammingInstanceHistogram, HammingInstanceRecall, HammingMedianRank
from mcmfh_lightning.metrics.functional import instance_recall, median_rank

BITS = 5


def table(seed, queries, items, columns):
    """Queries are items of the database, some of which are not there; few groups and few contents."""
    rng = np.random.default_rng(seed)
    count = max(queries, items)
    return {
        "codes": torch.from_numpy(rng.integers(0, 2, (count, BITS))),
        "groups": torch.from_numpy(rng.integers(0, 4, count)),
        "index": torch.from_numpy(rng.permutation(count) + 100),
        "content": torch.from_numpy(rng.integers(0, 3, (count, columns))),
    }


def by_pairs(queries, items):
    counts = np.zeros((2, len(queries["index"]), BITS + 1), dtype=int)
    order = np.argsort(queries["index"].numpy())
    for row, query in enumerate(order):
        for item in range(len(items["index"])):
            own = queries["index"][query] == items["index"][item]
            same = (queries["content"][query] == items["content"][item]) & (queries["content"][query] != 0)
            positive = bool(own) or bool(same.any())
            if queries["groups"][query] == items["groups"][item] and not positive:
                continue
            distance = int((queries["codes"][query] != items["codes"][item]).sum())
            counts[0, row, distance] += 1
            counts[1, row, distance] += positive
    return counts


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    queries=st.integers(0, 6),
    items=st.integers(0, 10),
    columns=st.integers(0, 3),
    cut=st.integers(0, 10),
)
def test_equals_a_loop_over_all_pairs(seed, queries, items, columns, cut):
    everything = table(seed, queries, items, columns)
    ours, theirs = ({name: column[:end] for name, column in everything.items()} for end in (queries, items))
    metric = HammingInstanceHistogram(BITS)
    metric.set_queries(**ours)
    order = torch.randperm(items, generator=torch.Generator().manual_seed(seed % 99))
    for part in (order[:cut], order[cut:]):
        metric.update(**{name: column[part] for name, column in theirs.items()})
    counts = metric.compute()
    total, positive = by_pairs(ours, theirs)
    np.testing.assert_array_equal(counts.total, total)
    np.testing.assert_array_equal(counts.relevant, positive)
    assert counts.database_size == items


def test_one_column_may_be_a_vector_and_none_knows_no_duplicates():
    everything = table(0, 6, 10, 1)
    found = []
    for content in (everything["content"], everything["content"][:, 0], None):
        metric = HammingInstanceHistogram(BITS)
        metric.set_queries(**everything | {"content": content})
        metric.update(**everything | {"content": content})
        found.append(metric.compute().relevant.sum().item())
    assert found[0] == found[1] > found[2] == 10


def test_scores_follow_from_the_counts():
    everything = table(1, 10, 10, 1)
    metric = HammingInstanceHistogram(BITS)
    metric.set_queries(**everything)
    metric.update(**everything)
    total, positive = metric.compute()[:2]
    for score, expected in (
        (HammingInstanceRecall(BITS, k=2), instance_recall(total, positive, 2).mean()),
        (HammingMedianRank(BITS), median_rank(total, positive)),
    ):
        score.set_queries(**everything)
        score.update(**everything)
        assert score.compute() == expected


def test_directions_and_bounds():
    assert HammingInstanceRecall(BITS, k=1).higher_is_better is True
    assert HammingMedianRank(BITS).higher_is_better is False
    assert HammingInstanceHistogram(BITS).higher_is_better is None


def test_errors():
    everything = table(2, 4, 4, 1)
    metric = HammingInstanceRecall(BITS, k=1)
    with pytest.raises(RuntimeError, match="call set_queries"):
        metric.update(**everything)
    with pytest.raises(ValueError, match="k must be at least 1"):
        HammingInstanceRecall(BITS, k=0)
    with pytest.raises(ValueError, match="content must be integer hashes"):
        metric.set_queries(**everything | {"content": everything["content"].float()})
    with pytest.raises(ValueError, match="one row per item"):
        metric.set_queries(**everything | {"groups": everything["groups"][:2]})
    with pytest.raises(ValueError, match="a query twice"):
        metric.set_queries(**everything | {"index": torch.zeros(4, dtype=torch.int64)})
    metric.set_queries(**everything)
    with pytest.raises(ValueError, match="content has 1 hashes for each query, 0 for each item"):
        metric.update(**everything | {"content": None})

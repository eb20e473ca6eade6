import pickle
import warnings
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.retrieval import RetrievalMAP

from mcmfh_lightning.metrics import (
    HammingACG,
    HammingHistogram,
    HammingMeanAveragePrecision,
    HammingNDCG,
    HammingPrecision,
    HammingRadiusPrecision,
    HammingRecall,
    LevelHistogram,
)
from mcmfh_lightning.metrics.functional import graded_histogram, pack_bits, unpack_bits

BITS = 11
METRICS = [
    lambda: HammingMeanAveragePrecision(BITS),
    lambda: HammingMeanAveragePrecision(BITS, k=5),
    lambda: HammingPrecision(BITS, k=3),
    lambda: HammingRecall(BITS, k=3),
    lambda: HammingRadiusPrecision(BITS, radius=4),
    lambda: HammingNDCG(BITS),
    lambda: HammingNDCG(BITS, k=4),
    lambda: HammingACG(BITS, k=3),
]


def pairs(count, seed, groups=8):
    rng = np.random.default_rng(seed)
    return {
        "codes": pack_bits(torch.from_numpy(rng.integers(0, 2, (count, BITS)))),
        "labels": pack_bits(torch.from_numpy(rng.random((count, 6)) < 0.3)),
        "groups": torch.from_numpy(rng.integers(0, groups, count)),
    }


def rows(items, part):
    return {name: tensor[part] for name, tensor in items.items()}


def evaluate(metric, queries, database, parts=(slice(None),), index=None):
    metric.set_queries(**queries, index=index)
    for part in parts:
        metric.update(**rows(database, part))
    return metric.compute()


@pytest.mark.parametrize("make", METRICS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 30))
def test_no_order_and_no_chunking_changes_a_digit(make, seed, cut):
    queries, database = pairs(9, seed), pairs(30, seed + 1)
    generator = torch.Generator().manual_seed(seed)
    order, query_order = torch.randperm(30, generator=generator), torch.randperm(9, generator=generator)
    once = evaluate(make(), queries, database)
    shuffled = evaluate(
        make(), rows(queries, query_order), database, parts=(order[:cut], order[cut:]), index=query_order
    )
    assert torch.equal(once, shuffled) or (once.isnan() and shuffled.isnan())


def test_mean_average_precision_of_distinct_distances_equals_torchmetrics():
    bits = torch.tril(torch.ones(BITS + 1, BITS), -1)[torch.randperm(BITS + 1)]  # distances 0 to 11 from zero
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(20, BITS + 1, generator=generator) < 0.4).long()
    theirs, ours = RetrievalMAP(empty_target_action="skip"), []
    for query, relevant in enumerate(labels):
        metric = HammingMeanAveragePrecision(BITS)
        metric.set_queries(pack_bits(torch.zeros(1, BITS)), torch.tensor([[1]], dtype=torch.uint8), torch.tensor([-1]))
        metric.update(pack_bits(bits), relevant.to(torch.uint8)[:, None], torch.arange(BITS + 1))
        ours.append(metric.compute())
        theirs.update(BITS + 1 - bits.sum(1), relevant, torch.full_like(relevant, query))
    assert torch.stack(ours).nanmean().item() == pytest.approx(theirs.compute().item(), abs=1e-6)


def test_own_group_never_counts():
    items = pairs(6, seed=0, groups=1)
    counts = evaluate(HammingHistogram(BITS), items, items)
    assert not counts.total.any()
    assert counts.database_size == 6
    assert evaluate(HammingMeanAveragePrecision(BITS), items, items).isnan()


def test_counts_come_sorted_by_index():
    queries, database = pairs(5, seed=1), pairs(20, seed=2)
    index = torch.tensor([30, 10, 50, 20, 40])
    given_order = evaluate(HammingHistogram(BITS), queries, database)
    sorted_order = evaluate(HammingHistogram(BITS), queries, database, index=index)
    assert torch.equal(sorted_order.total, given_order.total[index.argsort()])


@pytest.mark.parametrize("make", METRICS)
def test_clone_and_pickle_go_on_where_the_original_stands(make):
    queries, database = pairs(5, seed=3), pairs(20, seed=4)
    whole = evaluate(make(), queries, database)
    metric = make()
    metric.set_queries(**queries)
    metric.update(**rows(database, slice(7)))
    for copied in (metric.clone(), pickle.loads(pickle.dumps(metric)), deepcopy(metric)):
        copied.update(**rows(database, slice(7, None)))
        assert torch.equal(copied.compute(), whole)


def test_reset_keeps_the_queries_and_drops_the_counts():
    queries, database = pairs(5, seed=3), pairs(20, seed=4)
    metric = HammingMeanAveragePrecision(BITS)
    once = evaluate(metric, queries, database)
    metric.reset()
    metric.update(**database)
    assert torch.equal(metric.compute(), once)
    metric.reset()
    with warnings.catch_warnings():  # a share without items is not a mistake in a second epoch either
        warnings.simplefilter("error")
        assert metric.compute().isnan()


def test_new_queries_start_anew():
    queries, database = pairs(5, seed=3), pairs(20, seed=4)
    metric = HammingHistogram(BITS)
    evaluate(metric, pairs(9, seed=5), database)
    assert torch.equal(
        evaluate(metric, queries, database).total, evaluate(HammingHistogram(BITS), queries, database).total
    )


def test_state_is_not_in_checkpoints_and_integers_survive_half():
    metric = HammingHistogram(BITS)
    counts = evaluate(metric, pairs(5, seed=3), pairs(20, seed=4))
    assert metric.state_dict() == {}
    assert torch.equal(metric.half().compute().total, counts.total)


def test_empty_database_computes_without_a_warning():
    metric = HammingMeanAveragePrecision(BITS)
    metric.set_queries(**pairs(3, seed=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metric.compute().isnan()


def test_histogram_with_and_without_grades():
    queries, database = pairs(5, seed=3), pairs(20, seed=4)
    counts = evaluate(HammingHistogram(BITS, graded=True), queries, database, parts=(slice(0, 3), slice(3, 20)))
    once = graded_histogram(*(side[name] for name in queries for side in (queries, database)), BITS)
    assert torch.equal(counts.total, once.total)
    assert torch.equal(counts.relevant, once.relevant)
    for ours, theirs in zip(counts.grades(), (once.gains, once.shared), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match="graded=True"):
        evaluate(HammingHistogram(BITS), queries, database).grades()


def test_grades_of_levels_are_those_of_codes_at_these_distances():
    """Queries of zeros, and items with as many ones as their level says."""
    queries, database = pairs(5, seed=3), pairs(20, seed=4)
    levels = torch.arange(20) % (BITS + 1)
    queries["codes"] = torch.zeros_like(queries["codes"])
    database["codes"] = pack_bits(torch.arange(BITS)[None] < levels[:, None])
    by_levels = LevelHistogram(BITS + 1, graded=True)
    by_levels.set_queries(queries["labels"], queries["groups"])
    multi_hot = unpack_bits(database["labels"]).float()
    for part in (slice(0, 6), slice(6, 20)):
        by_levels.update(levels[part], multi_hot[part], database["groups"][part])
    expected = evaluate(HammingHistogram(BITS, graded=True), queries, database)
    for ours, theirs in zip(by_levels.compute(), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_no_queries():
    database = pairs(4, seed=0)
    assert evaluate(HammingMeanAveragePrecision(BITS), rows(database, slice(0)), database).isnan()


def test_direction():
    assert all(make().higher_is_better for make in METRICS)
    assert HammingHistogram(BITS).higher_is_better is None


@pytest.mark.parametrize("make", METRICS)
def test_plot_shows_one_value_or_several(make):
    metric = make()
    value = evaluate(metric, pairs(5, seed=3), pairs(20, seed=4))
    _, axes = metric.plot()
    assert axes.lines[0].get_ydata().tolist() == [pytest.approx(value.item())]
    _, axes = metric.plot([value, value / 2])
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([value.item(), value.item() / 2])
    plt.close("all")


ITEMS = pairs(3, seed=0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: HammingMeanAveragePrecision(0), ValueError, "at least 2 levels"),
        (lambda: LevelHistogram(1), ValueError, "at least 2 levels, got 1"),
        (lambda: HammingMeanAveragePrecision(8, k=0), ValueError, "k must be at least 1, got 0"),
        (lambda: HammingPrecision(8, k=-1), ValueError, "k must be at least 1, got -1"),
        (lambda: HammingRecall(8, k=0), ValueError, "k must be at least 1, got 0"),
        (lambda: HammingNDCG(8, k=0), ValueError, "k must be at least 1, got 0"),
        (lambda: HammingACG(8, k=0), ValueError, "k must be at least 1, got 0"),
        (lambda: HammingRadiusPrecision(8, radius=-1), ValueError, "radius must be at least 0, got -1"),
        (lambda: HammingHistogram(BITS).update(**ITEMS), RuntimeError, "call set_queries"),
        (lambda: HammingHistogram(BITS).compute(), RuntimeError, "call set_queries"),
        (lambda: HammingHistogram(BITS)(**ITEMS), RuntimeError, "no value per batch"),
        (lambda: HammingHistogram(BITS + 8).set_queries(**ITEMS), ValueError, "codes of 19 bits must be packed uint8"),
        (
            lambda: HammingHistogram(BITS).set_queries(**ITEMS | {"codes": ITEMS["codes"].float()}),
            ValueError,
            r"or floating-point signs \(n, 11\); got torch.float32 \(3, 2\)",
        ),
        (
            lambda: HammingHistogram(BITS).set_queries(**ITEMS | {"groups": torch.arange(2)}),
            ValueError,
            "one row per item",
        ),
        (
            lambda: HammingHistogram(BITS).set_queries(**ITEMS, index=torch.tensor([4, 2, 4])),
            ValueError,
            "a query twice",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

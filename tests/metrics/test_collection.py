import pickle
from unittest.mock import patch

import pytest
import torch
from matplotlib.figure import Figure

from mcmfh_lightning.metrics import (
    HammingACG,
    HammingInstanceRecall,
    HammingMeanAveragePrecision,
    HammingMedianRank,
    HammingMetricCollection,
    HammingNDCG,
    HammingPrecision,
    HammingRadiusPrecision,
    HammingRecall,
)
from mcmfh_lightning.metrics.hamming import base

BITS = 12
BINARY = {
    "mAP@all": lambda: HammingMeanAveragePrecision(BITS),
    "mAP@5": lambda: HammingMeanAveragePrecision(BITS, k=5),
    "P@5": lambda: HammingPrecision(BITS, k=5),
    "R@5": lambda: HammingRecall(BITS, k=5),
    "P@H<=3": lambda: HammingRadiusPrecision(BITS, radius=3),
}
GRADED = {
    "NDCG@5": lambda: HammingNDCG(BITS, k=5),
    "NDCG": lambda: HammingNDCG(BITS),
    "ACG@5": lambda: HammingACG(BITS, 5),
}
INSTANCE = {"R@1": lambda: HammingInstanceRecall(BITS, k=1), "median rank": lambda: HammingMedianRank(BITS)}


def made(family):
    return {name: make() for name, make in family.items()}


def tables(seed=0):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(60, BITS, generator=generator)
    labels = (torch.rand(60, 9, generator=generator) < 0.3).float()
    groups = torch.randint(0, 20, (60,), generator=generator)
    return codes, labels, groups


def evaluate(metric, rows, parts=(slice(0, 60),)):
    metric.set_queries(*(column[:8] for column in rows))
    for part in parts:
        metric.update(*(column[part] for column in rows))
    return metric.compute()


@pytest.mark.parametrize(
    "family", [BINARY, GRADED, BINARY | GRADED, INSTANCE], ids=["binary", "graded", "both", "instance"]
)
def test_equals_each_metric_alone(family):
    rows = tables()
    if family is INSTANCE:
        rows = rows[0], rows[2], torch.arange(60)
    alone = {name: evaluate(metric, rows) for name, metric in made(family).items()}
    together = evaluate(HammingMetricCollection(made(family)), rows, parts=(slice(0, 13), slice(13, 13), slice(13, 60)))
    assert together.keys() == alone.keys()
    assert all(torch.equal(together[name], alone[name]) for name in alone)


def test_counts_once_and_grades_only_if_asked():
    with (
        patch.object(base, "hamming_histogram", wraps=base.hamming_histogram) as binary,
        patch.object(base, "graded_histogram", wraps=base.graded_histogram) as graded,
    ):
        evaluate(HammingMetricCollection(made(BINARY)), tables())
        assert (binary.call_count, graded.call_count) == (1, 0)
        evaluate(HammingMetricCollection(made(BINARY | GRADED)), tables())
        assert (binary.call_count, graded.call_count) == (1, 1)


def test_names():
    metrics = HammingMetricCollection([HammingRecall(BITS, k=1), HammingNDCG(BITS)], prefix="val/", postfix="-16")
    assert list(evaluate(metrics, tables())) == ["val/HammingRecall-16", "val/HammingNDCG-16"]


def test_copies_go_on_where_the_original_stands_and_reset_starts_anew():
    metrics, rows = HammingMetricCollection(made(BINARY | GRADED)), tables()
    whole = evaluate(metrics, rows)
    metrics.reset()
    metrics.update(*(column[:20] for column in rows))
    for copied in (metrics.clone(), pickle.loads(pickle.dumps(metrics))):
        copied.update(*(column[20:] for column in rows))
        assert copied.compute() == whole
    assert metrics.compute() != whole


def test_moves_as_a_module_and_keeps_out_of_checkpoints():
    metrics = HammingMetricCollection(made(BINARY))
    evaluate(metrics, tables())
    assert metrics.state_dict() == {}
    assert metrics.to("meta").histogram.total.device.type == "meta"


def test_plot_draws_each_metric():
    metrics = HammingMetricCollection(made(BINARY))
    first, second = evaluate(metrics, tables(0)), evaluate(metrics, tables(1))
    for values, points in ((None, 1), (first, 1), ([first, second], 2)):
        figures = metrics.plot(values)
        assert len(figures) == len(BINARY)
        for figure, axes in figures:
            assert isinstance(figure, Figure)
            assert len(axes.lines[0].get_xdata()) == points
    own = Figure().subplots(1, len(BINARY))
    assert [axes for _, axes in metrics.plot(first, own)] == list(own)
    with pytest.raises(ValueError, match="axes for each of 5 metrics, got 2"):
        metrics.plot(first, own[:2])


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([], "at least one metric"),
        ([HammingNDCG(8, k=1), HammingNDCG(8, k=2)], "metrics of one class need names"),
        ([HammingNDCG(8), HammingRecall(16, k=1)], r"codes of one length, got num_bits \[8, 16\]"),
        ([HammingNDCG(8), HammingMedianRank(8)], "not of one histogram: HammingNDCG, HammingMedianRank"),
    ],
)
def test_what_cannot_share_is_refused(metrics, message):
    with pytest.raises(ValueError, match=message):
        HammingMetricCollection(metrics)


def test_no_value_per_batch():
    with pytest.raises(RuntimeError, match="no values per batch"):
        HammingMetricCollection([HammingNDCG(8)])(torch.zeros(1))
    with pytest.raises(RuntimeError, match="call set_queries"):
        HammingMetricCollection([HammingNDCG(8)]).update(*tables())

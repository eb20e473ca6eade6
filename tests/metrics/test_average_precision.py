from fractions import Fraction

import pytest
import torch
from torchmetrics.retrieval import RetrievalMAP

from mcmfh_lightning.metrics.functional import average_precision, average_precision_bounds, mean_over_queries

DEPTHS = [None, 1, 2, 3, 5, 40]


@pytest.mark.parametrize("k", DEPTHS)
def test_expectation_worst_and_best_over_all_orders_of_ties(oracle, k):
    total, relevant = oracle.small_histograms(seed=1, levels=3, largest=3)
    expected = average_precision(total, relevant, k)
    worst, best = average_precision_bounds(total, relevant, k)
    for row in range(len(total)):
        values = torch.tensor(
            [
                oracle.average_precision(order, k)
                for order in oracle.orders(total[row].tolist(), relevant[row].tolist())
            ],
            dtype=torch.float64,
        )
        ours = torch.stack([expected[row], worst[row], best[row]])
        theirs = torch.stack([values.mean(), values.min(), values.max()])
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-15, equal_nan=True)


def test_depth_beyond_the_database_still_divides_by_r():
    total, relevant = torch.tensor([[1, 1]]), torch.tensor([[1, 1]])
    assert average_precision(total, relevant, k=100).item() == 1.0


def test_tie_free_rankings_equal_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    bits, queries = 40, 25
    relevant = (torch.rand(queries, bits + 1, generator=generator) < 0.3).long()  # one item at each distance
    total = torch.ones_like(relevant)
    scores = (bits + 1 - torch.arange(bits + 1).float()).expand(queries, -1)
    rows = torch.arange(queries)[:, None].expand(-1, bits + 1)
    theirs = RetrievalMAP(empty_target_action="skip")(scores.flatten(), relevant.flatten(), rows.flatten())
    ours = mean_over_queries(average_precision(total, relevant))
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)


def test_query_without_relevant_items_is_undefined():
    total, relevant = torch.tensor([[3, 2], [0, 0]]), torch.zeros(2, 2, dtype=torch.int64)
    for values in (average_precision(total, relevant), *average_precision_bounds(total, relevant, 1)):
        assert values.isnan().all()


def test_mean_leaves_undefined_queries_out():
    assert mean_over_queries(torch.tensor([0.25, torch.nan, 0.75], dtype=torch.float64)).item() == 0.5
    assert mean_over_queries(torch.full((2,), torch.nan)).isnan()
    columns = torch.tensor([[0.25, 1.0, 1.0], [torch.nan, 3.0, 2.0], [0.75, torch.nan, 6.0]], dtype=torch.float64)
    assert mean_over_queries(columns).tolist() == [0.5, 2.0, 3.0]


def test_no_queries():
    empty = torch.zeros(0, 4, dtype=torch.int64)
    assert average_precision(empty, empty).shape == (0,)


def test_large_counts_keep_their_digits():
    total, relevant = torch.tensor([[3_000, 40, 1_000]]), torch.tensor([[1, 30, 100]])
    before = hits = 0
    exact = Fraction(0)
    for n, p in zip(total[0].tolist(), relevant[0].tolist(), strict=True):
        slope = Fraction(p - 1, n - 1)
        exact += Fraction(p, n) * sum(
            (hits + 1 + (t - before - 1) * slope) / t for t in range(before + 1, before + n + 1)
        )
        before, hits = before + n, hits + p
    assert average_precision(total, relevant).item() == pytest.approx(float(exact / hits), rel=1e-13)


@pytest.mark.parametrize("function", [average_precision, average_precision_bounds])
def test_depth_zero_is_refused(function):
    counts = torch.ones(1, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="k must be at least 1 or None, got 0"):
        function(counts, counts, 0)

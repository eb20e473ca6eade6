import pytest
import torch

from mcmfh_lightning.metrics.functional import expected_hits, precision_at, precision_recall_by_radius, recall_at


def test_expectation_over_all_orders_of_ties(oracle):
    total, relevant = oracle.small_histograms(seed=2, levels=3, largest=3)
    depths = torch.tensor([1, 2, 3, 4, 9, 50])
    hits, precision, recall = (curve(total, relevant, depths) for curve in (expected_hits, precision_at, recall_at))
    for row in range(len(total)):
        orders = torch.tensor(oracle.orders(total[row].tolist(), relevant[row].tolist()), dtype=torch.float64)
        found = torch.stack([orders[:, :depth].sum(1).mean() for depth in depths])
        count = int(relevant[row].sum())
        torch.testing.assert_close(hits[row], found, rtol=1e-13, atol=1e-15)
        if count == 0:
            assert precision[row].isnan().all()
            assert recall[row].isnan().all()
        else:
            torch.testing.assert_close(precision[row], found / depths, rtol=1e-13, atol=1e-15)
            torch.testing.assert_close(recall[row], found / count, rtol=1e-13, atol=1e-15)


def test_radius_curve_pools_the_pairs_of_queries_with_relevant_items():
    total = torch.tensor([[1, 3, 0], [0, 2, 2], [5, 5, 5]])
    relevant = torch.tensor([[1, 1, 0], [0, 0, 2], [0, 0, 0]])
    precision, recall = precision_recall_by_radius(total, relevant)
    assert precision.tolist() == pytest.approx([1 / 1, 2 / 6, 4 / 8])
    assert recall.tolist() == pytest.approx([1 / 4, 2 / 4, 4 / 4])


def test_empty_database():
    empty = torch.zeros(2, 3, dtype=torch.int64)
    assert expected_hits(empty, empty, torch.tensor([1, 10])).tolist() == [[0, 0], [0, 0]]
    precision, recall = precision_recall_by_radius(empty, empty)
    assert precision.isnan().all()
    assert recall.isnan().all()


def test_depth_zero_is_refused():
    counts = torch.ones(1, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="depths must be at least 1, got 0"):
        precision_at(counts, counts, torch.tensor([3, 0]))

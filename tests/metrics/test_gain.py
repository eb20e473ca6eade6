import mpmath
import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_normalized_dcg

from mcmfh_lightning.metrics.functional import (
    average_cumulative_gain,
    discount_difference,
    ndcg,
    precision_at,
    tie_all,
)


def graded(queries=20, items=60, levels=9, grades=4, seed=0):
    """Levels and gains of items, and what they are as counts."""
    generator = torch.Generator().manual_seed(seed)
    level, gain = (torch.randint(0, end, (queries, items), generator=generator) for end in (levels, grades))
    total, gains = (torch.zeros(queries, levels, dtype=torch.int64) for _ in range(2))
    total.scatter_add_(1, level, torch.ones_like(level))
    gains.scatter_add_(1, level, gain)
    shared = torch.zeros(queries, grades, dtype=torch.int64).scatter_add_(1, gain, torch.ones_like(gain))
    return level, gain, (total, gains, shared)


@pytest.mark.parametrize("k", [None, 1, 7, 60])
def test_ndcg_equals_torchmetrics_which_averages_over_ties(k):
    level, gain, counts = graded()
    theirs = [retrieval_normalized_dcg(-row.float(), target, top_k=k) for row, target in zip(level, gain, strict=True)]
    torch.testing.assert_close(ndcg(*counts, k), torch.stack(theirs).double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [None, 1, 5, 40, 10**6])
def test_the_ideal_ranking_has_ndcg_one(k):
    _, _, (_, _, shared) = graded(seed=1)
    best_first = shared.flip(1)
    values = ndcg(best_first, best_first * torch.tensor([3, 2, 1, 0]), shared, k)
    assert torch.equal(values, torch.ones(20, dtype=torch.float64))


@pytest.mark.parametrize("k", [None, 3, 1_000])
def test_ndcg_of_equal_items_is_one_in_any_ranking(k):
    total = torch.tensor([[3, 0, 10**7, 41]])
    shared = torch.tensor([[0, 0, 10**7 + 44]])
    assert ndcg(total, 2 * total, shared, k).item() == pytest.approx(1, rel=1e-14, abs=0)


def test_chance_of_ten_million_items():
    """A random order has the mean gain at each place."""
    total, gains, shared = torch.tensor([[4, 10**7 - 4]]), torch.tensor([[4, 6]]), torch.tensor([[10**7 - 10, 10]])
    places = discount_difference(torch.tensor([0, 0]), torch.tensor([100, 10])).tolist()
    value = ndcg(tie_all(total), tie_all(gains), shared, k=100).item()
    assert value == pytest.approx(1e-6 * places[0] / places[1], rel=1e-14, abs=0)


def test_gain_of_zero_and_one_is_precision():
    generator = torch.Generator().manual_seed(0)
    total = torch.randint(0, 9, (30, 5), generator=generator)
    relevant = (torch.rand(30, 5, generator=generator) * (total + 1)).long()
    relevant[3] = 0
    for k in (1, 4, 100):
        gain = average_cumulative_gain(total, relevant, k)
        torch.testing.assert_close(gain, precision_at(total, relevant, torch.tensor([k]))[:, 0], equal_nan=True)
        assert gain[3].isnan()


def test_divisor_is_the_depth():
    assert average_cumulative_gain(torch.tensor([[1, 1]]), torch.tensor([[3, 1]]), k=8).item() == 0.5


def test_queries_that_share_nothing_are_undefined():
    total, gains, shared = torch.tensor([[3, 2], [0, 0]]), torch.zeros(2, 2).long(), torch.tensor([[5], [0]])
    assert ndcg(total, gains, shared).isnan().all()
    assert average_cumulative_gain(total, gains, 2).isnan().all()


def test_no_queries():
    empty = torch.zeros(0, 4, dtype=torch.int64)
    assert ndcg(empty, empty, empty).shape == average_cumulative_gain(empty, empty, 1).shape == (0,)


def test_large_counts_keep_their_digits():
    """Ten million items in six levels against forty digits, one relevant item far out."""
    total = torch.tensor([[2, 5_000, 0, 3_000_000, 1, 6_994_997]])
    gains = torch.tensor([[0, 7, 0, 0, 2, 9]])
    shared = torch.tensor([[10**7 - 17, 16, 1]])
    with mpmath.workdps(40):
        near = mpmath.fsum(1 / mpmath.log(1 + t, 2) for t in range(3, 5_003))
        last = 1 / mpmath.log(3_005_004, 2)
        ideal = 2 + mpmath.fsum(1 / mpmath.log(1 + t, 2) for t in range(2, 18))
        exact = float((near * 7 / 5_000 + 2 * last) / ideal)
    assert ndcg(total, gains, shared, k=3_005_003).item() == pytest.approx(exact, rel=1e-14, abs=0)


def test_depth_zero_is_refused():
    counts = torch.ones(1, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="k must be at least 1 or None, got 0"):
        ndcg(counts, counts, counts, 0)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        average_cumulative_gain(counts, counts, 0)

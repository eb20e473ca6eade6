"""benchmarks/retrieval_quality.py: P@20 and NDCG@20 next to all orders of tied items."""

import itertools
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def retrieval_quality(benchmark_file) -> ModuleType:
    return benchmark_file("retrieval_quality")


def brute_force(levels: np.ndarray, relevant: np.ndarray, k: int) -> tuple[float, float]:
    """P@k and NDCG@k, averaged over all orders that the levels allow."""
    orders = [list(o) for o in itertools.permutations(range(len(levels))) if sorted(levels) == [*levels[list(o)]]]
    discounts = 1 / np.log2(np.arange(len(levels)) + 2)
    ideal = discounts[: min(k, relevant.sum())].sum()
    found = [relevant[order][:k] for order in orders]
    precision = np.mean([hits.sum() / min(k, relevant.sum()) for hits in found])
    return float(precision), float(np.mean([(hits * discounts[:k]).sum() / ideal for hits in found]))


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("number", [1, 2, 4, 6])
def test_quality_is_the_mean_over_all_orders_of_ties(retrieval_quality: ModuleType, k: int, number: int) -> None:
    rng = np.random.default_rng(10 * k + number)
    for most in (1, 2, 6):
        levels = rng.integers(most, size=6)
        relevant = rng.permutation(np.arange(6) < number)
        found = retrieval_quality.quality(levels, relevant, k)
        assert found == pytest.approx(brute_force(levels, relevant, k))


def test_a_finding_of_few_items_can_be_answered_perfectly(retrieval_quality: ModuleType) -> None:
    levels, relevant = np.arange(100), np.arange(100) < 3
    assert retrieval_quality.quality(levels, relevant) == (1.0, pytest.approx(1.0))
    assert retrieval_quality.quality(levels[::-1].copy(), relevant) == (0.0, 0.0)
    assert retrieval_quality.quality(np.zeros(100, dtype=int), relevant).precision == pytest.approx(20 / 100)
    with pytest.raises(ValueError, match="no item is relevant"):
        retrieval_quality.quality(levels, levels < 0)


def test_equal_scores_tie(retrieval_quality: ModuleType) -> None:
    assert retrieval_quality.levels_of(np.array([0.5, 2.0, 0.5, -1.0])).tolist() == [1, 0, 1, 2]


def test_intervals_are_those_of_resampled_groups(retrieval_quality: ModuleType) -> None:
    rng = np.random.default_rng(0)
    values, groups = rng.normal(size=40), np.repeat(np.arange(10), 4)
    mean, low, high = retrieval_quality.mean_interval(values, groups)
    drawn = [values.reshape(10, 4)[rng.integers(10, size=10)].mean() for _ in range(10_000)]
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.02)
    alone = retrieval_quality.mean_interval(values)
    singles = [rng.choice(values, size=40).mean() for _ in range(10_000)]
    assert alone[1:] == pytest.approx(np.percentile(singles, [2.5, 97.5]), abs=0.02)
    assert retrieval_quality.mean_interval(np.full(7, 0.25)) == (0.25, 0.25, 0.25)

from fractions import Fraction
from math import comb

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.metrics.functional import first_positive_rank, instance_recall, median_rank, tie_all


def counts(*rows):
    return torch.tensor(rows).reshape(len(rows), -1)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), size=st.integers(1, 400), before=st.integers(0, 5), after=st.integers(0, 5))
def test_recall_is_the_binomial_formula(data, size, before, after):
    hits = data.draw(st.integers(1, size))
    k = data.draw(st.integers(1, size + before + 1))
    shown = min(max(k - before, 0), size)
    exact = 1 - Fraction(comb(size - hits, shown), comb(size, shown))
    ours = instance_recall(counts([before, size, after]), counts([0, hits, after]), k).item()
    assert ours == pytest.approx(float(exact), rel=1e-12, abs=0)
    assert 0 <= ours <= 1


@pytest.mark.parametrize(
    ("size", "hits", "k"), [(10**7, 1, 1), (10**7, 3, 10), (10**7, 1, 4_999_999), (10**6, 2_000, 900), (10**6, 900, 20)]
)
def test_large_levels_keep_their_digits(size, hits, k):
    fewer, more = sorted((hits, k))
    miss = Fraction(1)
    for step in range(fewer):
        miss *= Fraction(size - more - step, size - step)
    assert instance_recall(counts([size]), counts([hits]), k).item() == pytest.approx(float(1 - miss), rel=1e-12, abs=0)


def test_many_hits_among_many_shown_are_certain():
    """Far fewer steps than the five million that remain: this ends at once."""
    assert instance_recall(counts([10**7]), counts([5 * 10**6]), 5 * 10**6).item() == pytest.approx(1, abs=1e-15)
    assert instance_recall(counts([10**7]), counts([10_000]), 10_000).item() == pytest.approx(1 - 4.5e-5, abs=1e-6)


def test_one_positive_without_ties_is_a_step():
    total, positive = torch.ones(1, 12, dtype=torch.int64), torch.zeros(1, 12, dtype=torch.int64)
    positive[0, 4] = 1
    assert [instance_recall(total, positive, k).item() for k in (1, 4, 5, 10, 99)] == [0, 0, 1, 1, 1]
    assert first_positive_rank(total, positive).item() == 5


def test_only_the_first_level_with_a_positive_matters():
    total, positive = counts([2, 6, 3], [2, 6, 30]), counts([0, 2, 3], [0, 2, 0])
    for k in (1, 3, 5, 9):
        recall = instance_recall(total, positive, k)
        assert recall[0] == recall[1]
    assert first_positive_rank(total, positive).tolist() == pytest.approx([2 + 7 / 3, 2 + 7 / 3])


def test_chance():
    """One partner among N: k / N, and in the middle."""
    total, positive = tie_all(counts([3, 90, 7])), tie_all(counts([0, 1, 0]))
    assert instance_recall(total, positive, 10).item() == pytest.approx(0.1, rel=1e-15, abs=0)
    assert median_rank(total, positive).item() == 50.5


def test_median_takes_the_middle_of_defined_ranks():
    total = torch.ones(4, 9, dtype=torch.int64)
    positive = torch.zeros_like(total)
    positive[0, 1] = positive[1, 8] = positive[2, 3] = 1
    assert median_rank(total, positive).item() == 4
    assert median_rank(total[1:], positive[1:]).item() == 6.5  # (9 + 4) / 2, unlike torch.median
    assert first_positive_rank(total, positive)[3].isnan()
    assert instance_recall(total, positive, 9)[3].isnan()


@pytest.mark.parametrize("rows", [0, 3])
def test_no_positives_at_all(rows):
    empty = torch.zeros(rows, 2, dtype=torch.int64)
    assert instance_recall(empty, empty, 1).shape == first_positive_rank(empty, empty).shape == (rows,)
    assert instance_recall(empty, empty, 1).isnan().all()
    assert median_rank(empty, empty).isnan()


def test_depth_zero_is_refused():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        instance_recall(counts([1]), counts([1]), 0)

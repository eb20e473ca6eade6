"""Rank-biased overlap against its definition."""

import random
from itertools import permutations

import pytest

from mcmfh_lightning.archive.comparison import Agreement, medians, rank_biased_overlap


def long_sum(ours, theirs, persistence):
    """The sum over 2,000 places, where the overlap beyond the last known place stays what it was there."""
    depth = len(ours)
    total, share = 0.0, 0.0
    for place in range(1, 2001):
        if place <= depth:
            share = len(set(ours[:place]) & set(theirs[:place])) / place
        total += (1 - persistence) * persistence ** (place - 1) * share
    return total


@pytest.mark.parametrize("persistence", [0.5, 0.9])
def test_it_is_the_sum_over_all_places(persistence):
    draw = random.Random(0)
    for _ in range(50):
        ours, theirs = (draw.sample(range(30), 12) for _ in range(2))
        assert rank_biased_overlap(ours, theirs, persistence) == pytest.approx(long_sum(ours, theirs, persistence))


def test_it_is_symmetric_and_between_0_and_1():
    for ours in permutations("abcd"):
        found = rank_biased_overlap("abcd", ours)
        assert 0 < found <= 1
        assert found == rank_biased_overlap(ours, "abcd")
        assert (found == 1) == (ours == tuple("abcd"))


def test_lists_without_hits():
    assert rank_biased_overlap([], []) == 1
    assert rank_biased_overlap([], ["a"]) == rank_biased_overlap(["a"], []) == 0


def test_medians():
    found = [Agreement("q", overlap, overlap / 2, False) for overlap in (0.0, 0.2, 1.0)]
    assert medians(found) == (0.2, 0.1)

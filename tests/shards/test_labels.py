import itertools
from collections import Counter

import numpy as np
import pytest

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.labels import build_vocabulary, share_probability


def test_labels_are_ordered_by_frequency_then_name():
    sets = [("b", "c"), ("c", "a"), ("c",), ("b", "a"), ("rare",)]
    assert build_vocabulary(sets, 2) == ["c", "a", "b"]
    assert build_vocabulary(sets, 3) == ["c"]


def test_a_label_named_twice_by_a_pair_counts_once():
    with pytest.raises(DataError):
        build_vocabulary([("a", "a")], 2)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([("a",), ("a",)], "no label is on 3 pairs or more .the most frequent, 'a', is on 2.: lower --min-label-count"),
        ([(), ()], "no pair has a label: check what the labels are read from"),
    ],
)
def test_an_empty_vocabulary_says_why(sets, message):
    with pytest.raises(DataError, match=message):
        build_vocabulary(sets, 3)


def test_share_probability_equals_brute_force_over_pairs_of_different_groups():
    rng = np.random.default_rng(0)
    names = "abcdef"
    sets = [tuple(names[i] for i in np.flatnonzero(rng.random(6) < 0.25)) for _ in range(60)]
    groups = [int(g) for g in rng.integers(0, 25, 60)]
    vocabulary = list("abcd")
    foreign = [(i, j) for i, j in itertools.combinations(range(60), 2) if groups[i] != groups[j]]
    sharing = Counter(bool(set(sets[i]) & set(sets[j]) & set(vocabulary)) for i, j in foreign)[True]
    assert share_probability(sets, groups, vocabulary) == pytest.approx(sharing / len(foreign))


def test_share_probability_without_two_groups_is_zero():
    assert share_probability([("a",), ("a",)], [1, 1], ["a"]) == 0.0
    assert share_probability([], [], ["a"]) == 0.0

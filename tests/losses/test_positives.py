import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcmfh_lightning.losses import find_positives, shares_label


def packed(sets, size=11):
    dense = np.zeros((len(sets), size), dtype=np.uint8)
    for row, labels in enumerate(sets):
        dense[row, list(labels)] = 1
    return torch.from_numpy(np.packbits(dense, axis=1))


LABELS = packed([{0}, {0, 10}, {10}, {3}, set(), set()])
GROUPS = torch.tensor([1, 2, 3, 1, 4, 4])


def pairs_of(mask):
    return {(i, j) for i, j in mask.nonzero().tolist() if i < j}


def test_pairs_supervision_knows_groups_alone():
    positives, ignored = find_positives(LABELS, GROUPS, "pairs")
    assert pairs_of(positives) == {(0, 3), (4, 5)}
    assert not ignored.any()
    assert positives.diagonal().all()


def test_labels_supervision_adds_shared_labels_and_ignores_the_unlabeled():
    positives, ignored = find_positives(LABELS, GROUPS, "labels")
    assert pairs_of(positives) == {(0, 1), (1, 2), (0, 3), (4, 5)}
    assert pairs_of(ignored) == {(i, j) for i in range(4) for j in (4, 5)}
    assert not ignored.diagonal().any()


@pytest.mark.parametrize("supervision", ["pairs", "labels"])
def test_masks_are_boolean_symmetric_and_disjoint(supervision):
    positives, ignored = find_positives(LABELS, GROUPS, supervision)
    for mask in (positives, ignored):
        assert mask.dtype == torch.bool
        assert torch.equal(mask, mask.T)
    assert not (positives & ignored).any()


@given(st.lists(st.sets(st.integers(0, 10)), min_size=1, max_size=6))
def test_shared_labels_are_intersections(sets):
    expected = [[bool(a & b) for b in sets] for a in sets]
    assert shares_label(packed(sets), packed(sets)).tolist() == expected

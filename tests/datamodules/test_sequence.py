import numpy as np
import pytest

from mcmfh_lightning.datamodules.order import BatchSequence, epoch_order
from mcmfh_lightning.errors import DataError


def test_without_groups_it_is_the_epoch_order_cut_up():
    sequence = BatchSequence(np.arange(70), None, seed=3, global_batch_size=16)
    assert len(sequence) == 4
    assert sequence.left_out == 6
    for number in range(12):
        epoch, start = number // 4, number % 4 * 16
        expected = epoch_order(70, seed=3, epoch=epoch)[start : start + 16]
        assert sequence.batch(number).tolist() == expected.tolist()


def test_only_the_rows_given_are_trained_on():
    rows = np.arange(0, 100, 3)
    sequence = BatchSequence(rows, None, seed=0, global_batch_size=8)
    seen = np.concatenate([sequence.batch(number) for number in range(len(sequence))])
    assert len(np.unique(seen)) == 32
    assert set(seen.tolist()) <= set(rows.tolist())


def test_groups_are_those_of_the_rows_given():
    rows = np.arange(0, 100, 3)
    sequence = BatchSequence(rows, rows // 9, seed=0, global_batch_size=8)
    for number in range(3 * len(sequence)):
        assert len(np.unique(sequence.batch(number) // 9)) == 8


@pytest.mark.parametrize("size", [8, 10])
def test_a_group_too_large_to_be_kept_apart(size):
    groups = np.concatenate([np.full(5, 77), np.arange(35)])
    if size == 8:  # five batches: each can have one of the five
        BatchSequence(np.arange(40), groups, seed=0, global_batch_size=size)
        return
    message = r"group 77 has 5 pairs.* 4 global batches of 10.*to 8 or less.*unique_groups off"
    with pytest.raises(DataError, match=message):
        BatchSequence(np.arange(40), groups, seed=0, global_batch_size=size)


def test_too_few_rows():
    with pytest.raises(DataError, match="7 training pairs, fewer than one global batch of 8"):
        BatchSequence(np.arange(7), None, seed=0, global_batch_size=8)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.datamodules import order
from mcmfh_lightning.datamodules.order import (
    deal_groups,
    epoch_order,
    global_batch,
    num_global_batches,
    rank_slice,
    segments,
)


@pytest.mark.parametrize("num_rows", [0, 1, 5, 1024, 1025, 5939, 70_000, 200_001])
def test_every_row_once(num_rows):
    rows = epoch_order(num_rows, seed=3, epoch=1)
    assert rows.dtype == np.int64
    assert (np.sort(rows) == np.arange(num_rows)).all()


def test_a_function_of_seed_and_epoch_only():
    np.random.seed(0)  # noqa: NPY002 - the very state that must not matter
    first = epoch_order(5000, seed=3, epoch=1)
    np.random.seed(1)  # noqa: NPY002
    assert (epoch_order(5000, seed=3, epoch=1) == first).all()
    for other in ({"seed": 4, "epoch": 1}, {"seed": 3, "epoch": 2}, {"seed": 1, "epoch": 3}):
        # Of 5000 rows about one keeps its place.
        assert (epoch_order(5000, **other) == first).sum() < 10


def test_the_order_stays_what_it_was():
    """Checkpoints of earlier releases resume only if this never changes."""
    assert epoch_order(8, seed=0, epoch=0).tolist() == FROZEN


FROZEN = [7, 2, 6, 4, 0, 1, 5, 3]


def test_one_window_is_shuffled_in_full():
    """Over many epochs every row is as likely to come first as any other: chi-squared over 16 rows."""
    epochs = 4000
    first = np.bincount([epoch_order(16, seed=0, epoch=epoch)[0] for epoch in range(epochs)], minlength=16)
    chi_squared = ((first - epochs / 16) ** 2 / (epochs / 16)).sum()
    assert chi_squared < 37.7  # 99.9th percentile at 15 degrees of freedom


def test_windows_bound_how_far_rows_lie_apart(monkeypatch):
    monkeypatch.setattr(order, "BLOCK_ROWS", 10)
    monkeypatch.setattr(order, "WINDOW_BLOCKS", 4)
    windows = epoch_order(1000, seed=0, epoch=0).reshape(25, 40) // 10
    assert all(len(np.unique(window)) == 4 for window in windows)
    assert max(np.ptp(window) for window in windows) > 50, "blocks themselves are shuffled"
    assert all((np.diff(window) != 0).sum() > 20 for window in windows), "rows of the blocks of a window are mixed"


def test_global_batches_are_the_epoch_cut_up():
    rows = epoch_order(70, seed=0, epoch=0)
    batches = [global_batch(rows, number, 16) for number in range(num_global_batches(70, 16))]
    assert len(batches) == 4
    assert (np.concatenate(batches) == rows[:64]).all()
    for number in (4, -1):
        with pytest.raises(IndexError, match="of 4"):
            global_batch(rows, number, 16)


def test_other_rows_sit_out_every_epoch():
    left_out = [frozenset(epoch_order(70, seed=0, epoch=epoch)[64:].tolist()) for epoch in range(20)]
    assert all(len(rows) == 6 for rows in left_out)
    assert len(set(left_out)) == 20
    assert len(frozenset.union(*left_out)) > 50


@pytest.mark.parametrize("world_size", [1, 2, 4, 8])
def test_slices_of_all_ranks_are_the_batch(world_size):
    batch = np.arange(100, 116)
    parts = [rank_slice(batch, rank, world_size) for rank in range(world_size)]
    assert {len(part) for part in parts} == {16 // world_size}
    assert (np.concatenate(parts) == batch).all()


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_dealt_groups_never_meet(data):
    """Any groups that fit into the number of batches: equal batches, no group twice in one, the same rows left out."""
    size = data.draw(st.integers(1, 12), "global batch size")
    batches = data.draw(st.integers(1, 9), "batches")
    num_rows = batches * size + data.draw(st.integers(0, size - 1), "left out")
    counts = data.draw(st.lists(st.integers(1, batches), min_size=1, max_size=60), "rows of the groups")
    groups = np.repeat(np.arange(len(counts)) * 7 - 20, counts)
    groups = np.concatenate([groups, np.arange(1000, 1000 + num_rows)])[:num_rows]
    epoch = epoch_order(num_rows, seed=data.draw(st.integers(0, 5), "seed"), epoch=0)
    dealt = deal_groups(epoch, groups, size)
    whole = batches * size
    assert (np.sort(dealt[:whole]) == np.sort(epoch[:whole])).all()
    assert (dealt[whole:] == epoch[whole:]).all()
    for number in range(batches):
        batch = groups[global_batch(dealt, number, size)]
        assert len(np.unique(batch)) == len(batch) == size


def test_groups_are_dealt_within_a_window(monkeypatch):
    monkeypatch.setattr(order, "WINDOW_ROWS", 40)
    epoch = epoch_order(1000, seed=0, epoch=0)
    parts = segments(125, 8)
    assert (np.concatenate(parts) == np.arange(125)).all()
    assert {len(part) for part in parts} == {5}
    dealt = deal_groups(epoch, np.arange(1000) // 4, 8)
    for start in range(0, 1000, 40):
        assert (np.sort(dealt[start : start + 40]) == np.sort(epoch[start : start + 40])).all()
    assert [len(part) for part in segments(13, 8)] == [7, 6], "none is short"


def test_dealing_keeps_who_meets_random():
    """Two rows of different groups meet as often as chance has it."""
    groups = np.arange(24) // 2
    epochs, together = 2000, 0
    for epoch in range(epochs):
        dealt = deal_groups(epoch_order(24, seed=0, epoch=epoch), groups, 6).reshape(4, 6)
        together += any({0, 5} <= set(batch) for batch in dealt.tolist())
    chance = 5 / 22  # a row meets 5 of the 22 rows of other groups
    assert abs(together / epochs - chance) < 4 * np.sqrt(chance * (1 - chance) / epochs)

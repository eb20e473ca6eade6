import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.datamodules import order
from mcmfh_lightning.datamodules.order import BatchSequence, deal_groups, epoch_order, fit_batch, segments
from mcmfh_lightning.errors import DataError


@pytest.mark.parametrize("num_rows", [0, 1, 5, 1024, 1025, 5939, 70_000, 200_001])
def test_every_row_once(num_rows):
    rows = epoch_order(num_rows, seed=3, epoch=1)
    assert rows.dtype == np.int64
    assert (np.sort(rows) == np.arange(num_rows)).all()


def test_a_function_of_seed_and_epoch_only():
    np.random.seed(0)  # noqa: NPY002 - the very state that must not matter
    first = epoch_order(5000, seed=3, epoch=1)
    np.random.seed(1)  # noqa: NPY002  # as above
    assert (epoch_order(5000, seed=3, epoch=1) == first).all()
    for other in ({"seed": 4, "epoch": 1}, {"seed": 3, "epoch": 2}, {"seed": 1, "epoch": 3}):
        # Of 5000 rows about one keeps its place.
        assert (epoch_order(5000, **other) == first).sum() < 10


def test_the_order_stays_what_it_was():
    """Checkpoints of earlier releases resume only if this never changes."""
    assert epoch_order(8, seed=0, epoch=0).tolist() == FROZEN


FROZEN = [7, 2, 6, 4, 0, 1, 5, 3]


def test_one_window_is_shuffled_as_a_whole():
    """Over many epochs every row is as likely to come first as any other: chi-squared over 16 rows."""
    epochs = 4000
    first = np.bincount([epoch_order(16, seed=0, epoch=epoch)[0] for epoch in range(epochs)], minlength=16)
    chi_squared = ((first - epochs / 16) ** 2 / (epochs / 16)).sum()
    assert chi_squared < 37.7  # 99.9th percentile at 15 degrees of freedom


def test_windows_bound_how_far_apart_rows_are(monkeypatch):
    monkeypatch.setattr(order, "BLOCK_ROWS", 10)
    monkeypatch.setattr(order, "WINDOW_BLOCKS", 4)
    windows = epoch_order(1000, seed=0, epoch=0).reshape(25, 40) // 10
    assert all(len(np.unique(window)) == 4 for window in windows)
    assert max(np.ptp(window) for window in windows) > 50, "blocks themselves are shuffled"
    assert all((np.diff(window) != 0).sum() > 20 for window in windows), "rows of the blocks of a window are mixed"


def test_other_rows_sit_out_every_epoch():
    left_out = [frozenset(epoch_order(70, seed=0, epoch=epoch)[64:].tolist()) for epoch in range(20)]
    assert all(len(rows) == 6 for rows in left_out)
    assert len(set(left_out)) == 20
    assert len(frozenset.union(*left_out)) > 50


@given(data=st.data())
@settings(max_examples=60, deadline=None)
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
        batch = groups[dealt[number * size : (number + 1) * size]]
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


# The sequence of a run.


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
    message = r"group 77 has 5 pairs.* 4 global batches of 10.*: "
    message += r"lower global_batch_size \(--data.global-batch-size\) to 8 or less, or pass "
    message += r"unique_groups=False \(--data.unique-groups false\)$"
    with pytest.raises(DataError, match=message):
        BatchSequence(np.arange(40), groups, seed=0, global_batch_size=size)


def test_too_few_rows():
    with pytest.raises(DataError, match=r"^7 training pairs, .* of 8: lower global_batch_size \(--data"):
        BatchSequence(np.arange(7), None, seed=0, global_batch_size=8)


def test_an_epoch_of_several_passes_counts_its_batches_through():
    one, three = (BatchSequence(np.arange(70), None, seed=3, global_batch_size=16, passes=passes) for passes in (1, 3))
    assert (len(three), three.left_out) == (12, 6)
    for number in range(30):
        assert three.batch(number).tolist() == one.batch(number).tolist()


# A batch that is fitted to the collection.


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_a_fitted_batch_leaves_out_few_pairs(ranks):
    for rows in range(ranks, 3000):
        size, passes = fit_batch(rows, ranks=ranks)
        steps = rows // size
        assert size % ranks == 0
        assert steps * passes >= 16 > steps * (passes - 1)  # as many passes as it takes
        possible = [one for one in range(64, 129) if one <= rows and one % ranks == 0]
        if not possible:
            assert size in (rows, ranks)
            continue
        assert size in possible
        fewest = min(rows % one for one in possible)
        assert rows % size <= max(0.03 * rows, fewest)
        if ranks == 1:
            assert rows % size <= 0.03 * rows
        better = [one for one in possible if one > size and one % 8 == 0]
        assert not any(rows % one <= 0.03 * rows for one in better)  # the largest of those that ranks can share


def test_a_fitted_batch_keeps_groups_apart():
    groups = np.concatenate([np.full(9, 77), 100 + np.arange(91)])
    size, passes = fit_batch(100, largest_group=9)
    sequence = BatchSequence(np.arange(100), groups, seed=0, global_batch_size=size, passes=passes)
    for number in range(len(sequence)):
        batch = groups[sequence.batch(number)]
        assert len(np.unique(batch)) == len(batch)


@pytest.mark.parametrize(
    ("rows", "ranks", "message"),
    [(3, 4, "3 training pairs .* over 4 ranks: train with fewer"), (0, 1, "0 training pairs .*: convert the coll")],
)
def test_a_batch_cannot_be_fitted(rows, ranks, message):
    with pytest.raises(DataError, match=message):
        fit_batch(rows, ranks=ranks)

"""The training order: a pure function of seed, epoch and global batch size.

An epoch is one sequence of *global batches*; a rank trains on its slice of each. Number of ranks, number of loader
workers and interruptions therefore change nothing about which pairs meet in a step.

Rows are shuffled in two stages, as streaming loaders do: blocks of rows are put in random order, then rows are permuted
inside a window of consecutive blocks. So a step touches no more than a window's part of the disk, and a collection may
be larger than memory; a collection that fits into one window is shuffled as a whole.
"""

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError

BLOCK_ROWS = 1024
"""Rows that move together between windows. Counted in rows of the split, not in records of the shards, so that the
order does not depend on how many ranks once wrote the features."""

WINDOW_BLOCKS = 64
"""Blocks whose rows are mixed: 65,536 rows, some 200 MB of two 768-wide half-precision embeddings, which the page cache
of any machine holds, while a batch still mixes rows of 64 distant places."""

WINDOW_ROWS = BLOCK_ROWS * WINDOW_BLOCKS

_LARGEST_FITTED = 128
"""Pairs of a batch that is fitted to a collection, at most: larger ones gave worse codes on Open-i and ROCO."""

_SMALLEST_FITTED = 64
_MOST_LEFT_OUT = 0.03
_LEAST_STEPS = 16
"""Batches of an epoch, at least, where the batch is fitted: a run of 15 epochs then has 240 steps or more."""


def epoch_order(num_rows: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return all rows of a split in the order of an epoch.

    Args:
        num_rows: N, rows of the split.
        seed: Seed of the run, 0 or more.
        epoch: Number of the epoch, from 0.

    Returns:
        (N,) int64, a permutation of 0 .. N - 1.
    """
    # Raw words of Philox and a stable sort: NumPy promises that these never change, and does not for its shuffles
    # (NEP 19), so a checkpoint resumes exactly under another release of NumPy.
    words = np.random.Philox(np.random.SeedSequence((seed, epoch)))
    num_blocks = -(-num_rows // BLOCK_ROWS)
    blocks = _permutation(words, num_blocks)
    windows = [np.empty(0, dtype=np.int64)]
    for start in range(0, num_blocks, WINDOW_BLOCKS):
        window = blocks[start : start + WINDOW_BLOCKS]
        rows = (window[:, None] * BLOCK_ROWS + np.arange(BLOCK_ROWS)).reshape(-1)
        rows = rows[rows < num_rows]
        windows.append(rows[_permutation(words, len(rows))])
    return np.concatenate(windows)


def fit_batch(num_rows: int, *, largest_group: int = 1, ranks: int = 1) -> tuple[int, int]:
    """Fit the global batch to the size of a collection, and the length of an epoch to the batch.

    Less than a batch of rows sits out each pass through the collection, which may be a third of a small one. So of the
    batches of 64 to 128 rows it is the largest that leaves out at most 3 %, one that 8 ranks can share if there is one,
    else the one that leaves out least; a smaller collection is one batch. An epoch goes through a small collection as
    often as it takes to have 16 batches.

    Args:
        num_rows: N, rows to train on.
        largest_group: Rows of the largest group that has to be kept apart in an epoch's batches; 1 if none has to.
        ranks: Number of processes that a batch is divided over.

    Returns:
        Rows of a global batch, and passes through the rows in an epoch.

    Raises:
        DataError: If there are fewer rows than ranks.

    >>> fit_batch(300), fit_batch(5984), fit_batch(40)
    ((100, 6), (128, 1), (40, 16))
    """
    if num_rows < ranks:
        raise DataError(
            f"{num_rows} training pairs with an image and a text cannot be divided over {ranks} rank"
            f"{'s: train with fewer (--trainer.devices)' if num_rows else ': convert the collection again'}"
        )
    most = min(_LARGEST_FITTED, min(num_rows, WINDOW_ROWS) // largest_group)
    sizes = [size for size in range(most, min(_SMALLEST_FITTED, most) - 1, -1) if size % ranks == 0] or [ranks]
    left_out = {size: num_rows % size / num_rows for size in sizes}
    few = [size for size in sizes if left_out[size] <= _MOST_LEFT_OUT]
    size = next((size for size in few if size % 8 == 0), few[0] if few else min(sizes, key=left_out.__getitem__))
    return size, -(-_LEAST_STEPS // (num_rows // size))


def segments(num_batches: int, global_batch_size: int) -> list[NDArray[np.int64]]:
    """Cut the batches of an epoch into parts of about a window of rows, none of them much shorter than another.

    >>> [len(part) for part in segments(num_batches=1000, global_batch_size=256)]
    [334, 333, 333]
    """
    return np.array_split(np.arange(num_batches), max(1, num_batches * global_batch_size // WINDOW_ROWS))


def deal_groups(order: NDArray[np.int64], groups: NDArray[np.int64], global_batch_size: int) -> NDArray[np.int64]:
    """Reorder an epoch so that rows of one group are in different global batches.

    The rows of the whole batches are taken in `segments`; in a segment of n batches the groups, in the order in which
    they first appear, are dealt out row by row to batch 0, 1, ..., n - 1, 0, ... So the batches are of equal size, and
    a group of at most n rows never meets itself. Which rows an epoch leaves out stays as it was.

    Args:
        order: (N,) int64 order of the epoch.
        groups: (N,) int64 group of each row; no group has more rows than a segment has batches.
        global_batch_size: B.

    Returns:
        (N,) int64, another order.

    >>> deal_groups(np.array([0, 1, 2, 3, 4]), np.array([7, 7, 8, 8, 9]), 2).tolist()
    [0, 2, 1, 3, 4]
    """
    dealt = order.copy()
    for batches in segments(len(order) // global_batch_size, global_batch_size):
        part = slice(int(batches[0]) * global_batch_size, (int(batches[-1]) + 1) * global_batch_size)
        rows = order[part]
        _, first, group = np.unique(groups[rows], return_index=True, return_inverse=True)
        by_group = rows[np.argsort(first[group], kind="stable")]
        dealt[part] = by_group.reshape(global_batch_size, len(batches)).T.reshape(-1)
    return dealt


def _permutation(words: np.random.Philox, n: int) -> NDArray[np.int64]:
    # Two of n 64-bit words are equal with a chance of n^2 / 2^65; the stable sort then keeps them in place.
    return np.argsort(words.random_raw(n), kind="stable").astype(np.int64)


class BatchSequence:
    """The sequence of global batches of a run, the same on every rank.

    The batches of a run are counted through: number t is batch t mod n of pass t // n, with n batches a pass through
    the rows. Less than one global batch of rows sits out a pass, other ones every time. An epoch is one or more passes.

    Args:
        rows: (N,) int64 rows to train on, ascending.
        groups: (N,) int64 their groups, if no two rows of a group may meet in a global batch; None if they may.
        seed: Seed of the order, 0 or more.
        global_batch_size: B, rows of a global batch.
        passes: Passes of an epoch.

    Raises:
        DataError: If there are fewer rows than one global batch, or a group is too large to be kept apart.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        groups: NDArray[np.int64] | None,
        *,
        seed: int,
        global_batch_size: int,
        passes: int = 1,
    ) -> None:
        self.rows = rows
        self.global_batch_size = global_batch_size
        self.passes = passes
        self._groups = groups
        self._seed = seed
        self._pass = -1
        self._order = np.empty(0, dtype=np.int64)
        if len(self) == 0:
            raise DataError(
                f"{len(rows)} training pairs, fewer than one global batch of {global_batch_size}: lower"
                f" global_batch_size (--data.global-batch-size), for example to {max(1, len(rows) // 4)}"
            )
        if groups is not None:
            self._check_groups(groups)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self._batches_of_pass * self.passes

    @property
    def _batches_of_pass(self) -> int:
        return len(self.rows) // self.global_batch_size

    def batch(self, number: int) -> NDArray[np.int64]:
        """Return the rows of a global batch of the run, (B,) int64."""
        place = number % self._batches_of_pass * self.global_batch_size
        return self.rows[self.order_of(number)[place : place + self.global_batch_size]]

    def order_of(self, number: int) -> NDArray[np.int64]:
        """Return the order of the pass of a batch, positions in ``rows``; the last one asked for is kept."""
        current = number // self._batches_of_pass
        if current != self._pass:
            order = epoch_order(len(self.rows), seed=self._seed, epoch=current)
            self._order = order if self._groups is None else deal_groups(order, self._groups, self.global_batch_size)
            self._pass = current
        return self._order

    @property
    def left_out(self) -> int:
        """Number of rows that sit out a pass."""
        return len(self.rows) % self.global_batch_size

    def _check_groups(self, groups: NDArray[np.int64]) -> None:
        names, counts = np.unique(groups, return_counts=True)
        largest = int(np.argmax(counts))
        room = min(map(len, segments(self._batches_of_pass, self.global_batch_size)))
        if counts[largest] > room:
            smaller = min(len(self.rows), WINDOW_ROWS) // int(counts[largest])
            raise DataError(
                f"group {names[largest]} has {counts[largest]} pairs, which cannot be kept apart in {room} global"
                f" batches of {self.global_batch_size} (an epoch is dealt in parts of about {WINDOW_ROWS} pairs): lower"
                f" global_batch_size (--data.global-batch-size) to {smaller} or less, or pass unique_groups=False"
                " (--data.unique-groups false)"
            )

"""The global batches of a run: which rows meet in which step."""

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.datamodules.order import (
    WINDOW_ROWS,
    deal_groups,
    epoch_order,
    global_batch,
    num_global_batches,
    segments,
)
from mcmfh_lightning.errors import DataError


class BatchSequence:
    """One sequence of global batches, the same on every rank.

    The batches of a run are counted through: number t is batch t mod n of epoch t // n, with n batches an epoch. Less
    than one global batch of rows sits out an epoch, other ones every time.

    Args:
        rows: (N,) int64 rows to train on, ascending.
        groups: (N,) int64 their groups, if no two rows of a group may meet in a global batch; None if they may.
        seed: Seed of the order, 0 or more.
        global_batch_size: B, rows of a global batch.

    Raises:
        DataError: If there are fewer rows than one global batch, or a group is too large to be kept apart.
    """

    def __init__(
        self, rows: NDArray[np.int64], groups: NDArray[np.int64] | None, *, seed: int, global_batch_size: int
    ) -> None:
        self.rows = rows
        self._groups = groups
        self._seed = seed
        self._size = global_batch_size
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)
        if len(self) == 0:
            raise DataError(
                f"{len(rows)} training pairs, fewer than one global batch of {global_batch_size}: lower"
                f" global_batch_size, as in --data.global_batch_size {max(1, len(rows) // 4)}"
            )
        if groups is not None:
            self._check_groups(groups)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return num_global_batches(len(self.rows), self._size)

    def batch(self, number: int) -> NDArray[np.int64]:
        """Return the rows of a global batch of the run, (B,) int64."""
        epoch, number = divmod(number, len(self))
        return self.rows[global_batch(self.order(epoch), number, self._size)]

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of an epoch, positions in ``rows``; that of the last one asked for is kept."""
        if epoch != self._epoch:
            order = epoch_order(len(self.rows), seed=self._seed, epoch=epoch)
            self._order = order if self._groups is None else deal_groups(order, self._groups, self._size)
            self._epoch = epoch
        return self._order

    @property
    def left_out(self) -> int:
        """Number of rows that sit out an epoch."""
        return len(self.rows) - len(self) * self._size

    def _check_groups(self, groups: NDArray[np.int64]) -> None:
        names, counts = np.unique(groups, return_counts=True)
        largest = int(np.argmax(counts))
        room = min(map(len, segments(len(self), self._size)))
        if counts[largest] > room:
            smaller = min(len(self.rows), WINDOW_ROWS) // int(counts[largest])
            raise DataError(
                f"group {names[largest]} has {counts[largest]} pairs, which cannot be kept apart in {room} global"
                f" batches of {self._size} (an epoch is dealt in parts of about {WINDOW_ROWS} pairs): lower"
                f" global_batch_size to {smaller} or less, or turn unique_groups off"
            )

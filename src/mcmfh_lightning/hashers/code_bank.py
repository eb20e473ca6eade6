"""Memory of an asymmetric loss: the latest codes of all training items."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import torch
from torch import Tensor


class BankRows(NamedTuple):
    """Rows of a bank.

    Attributes:
        codes: (N, 2, K) relaxed codes of the image and of the text, without gradient.
        labels: (N, ceil(L / 8)) uint8, packed label sets.
        groups: (N,) int64, of `hash_groups`.
        seen: (N,) bool: whether there are codes of the item.
    """

    codes: Tensor
    labels: Tensor
    groups: Tensor
    seen: Tensor


class CodeBank:
    """Latest codes of the training items, by their position in the training split.

    It grows with the items that it is given, so that nothing has to be known of the data. Batch 0 begins a training:
    what an earlier one has left, perhaps of other data, is dropped. For a batch with the number of the last one it
    first takes back what that one changed: an objective that is computed twice has the same value twice, and a run
    that resumes from within a step computes that step as it was.

    It does not belong to the weights: it describes training items, which a shared model must not.
    """

    def __init__(self) -> None:
        self._rows: BankRows | None = None
        self._batch = -1
        self._changed: tuple[Tensor, BankRows] | None = None  # positions, and what was there before

    def exchange(self, batch: int, index: Tensor, rows: BankRows) -> tuple[BankRows, BankRows]:
        """Put the rows of a batch in place of older ones.

        Args:
            batch: Number of the batch in the training.
            index: (B,) int64 positions of the items. One that occurs twice keeps the codes of one of its rows.
            rows: B rows.

        Returns:
            The older rows of these items, of which some may not have been seen; and the rows of all items that have
            been, in the order of their positions.
        """
        if batch == 0:
            self.load(None)
        elif batch == self._batch:
            self._undo()
        held = self._rows = _grown(self._rows, int(index.max()) + 1, rows)
        before = BankRows(*(column[index] for column in held))
        for column, new in zip(held, rows, strict=True):
            column[index] = new.to(column.dtype)
        self._batch, self._changed = batch, (index, before)
        # Copies: autograd keeps them to the backward pass. The likelihood of all pairs takes far longer.
        return before, BankRows(*(column[held.seen] for column in held))

    def state(self) -> dict[str, Any] | None:
        """Return what a resumed run needs, as tensors and numbers; None before the first batch."""
        if self._rows is None or self._changed is None:
            return None
        index, before = self._changed
        return {"batch": self._batch, "rows": list(self._rows), "index": index, "before": list(before)}

    def load(self, state: Mapping[str, Any] | None) -> None:
        """Take what `state` returned."""
        self._batch, self._rows, self._changed = -1, None, None
        if state is not None:
            self._batch, self._rows = state["batch"], BankRows(*state["rows"])
            self._changed = state["index"], BankRows(*state["before"])

    def _undo(self) -> None:
        if self._rows is not None and self._changed is not None:
            index, before = self._changed
            for column, old in zip(self._rows, before, strict=True):
                column[index] = old


def hash_groups(groups: Tensor) -> Tensor:
    """Hash groups, (B,) int64 each: the number of a group may be that of a patient, and a bank is in checkpoints."""
    digests = (sha256(str(group).encode()).digest()[:8] for group in groups.tolist())
    hashes = [int.from_bytes(digest, "big", signed=True) for digest in digests]
    return torch.tensor(hashes, dtype=torch.int64, device=groups.device)


def _grown(held: BankRows | None, size: int, like: BankRows) -> BankRows:
    """Return a bank of at least ``size`` rows, on the device of a batch."""
    if held is None:
        held = BankRows(*(column[:0] for column in like))
        # Codes of mixed precision are kept in full, as torch keeps weights.
        held = held._replace(codes=held.codes.to(torch.promote_types(held.codes.dtype, torch.float32)))
    missing, device = max(0, size - len(held.seen)), like.codes.device
    if missing == 0 and held.codes.device == device:
        return held
    columns = (column.to(device) for column in held)
    return BankRows(*(torch.cat([column, column.new_zeros(missing, *column.shape[1:])]) for column in columns))

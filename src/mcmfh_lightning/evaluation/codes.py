"""The rows of one file: codes and label sets in any usual form, packed and checked.

Find bits that are the same in every code of a file: they rank nothing, or the same for every query.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.codes_files import KEYS, Array, Keys, read_arrays
from mcmfh_lightning.metrics.functional import pack_bits, packed_width
from mcmfh_lightning.metrics.functional.packing import as_packed_codes


class Codes(NamedTuple):
    """Codes, and how they were read."""

    packed: Tensor
    """(n, ceil(num_bits / 8)) uint8."""
    num_bits: int
    reading: str
    """Which of the forms of codes the file has, in words."""
    zeros: int = 0
    """Signs that are exactly 0, which count as +1."""


@dataclass(frozen=True)
class Items:
    """Queries or a database."""

    path: Path
    keys: Keys
    codes: Tensor
    """(n, ceil(num_bits / 8)) uint8."""
    labels: Tensor
    """(n, ceil(num_labels / 8)) uint8, packed label sets."""
    num_bits: int
    num_labels: int
    groups: Array | None
    """(n,) integers or strings."""
    ids: Array | None
    """(n,) integers or strings."""
    reading: str
    """How the codes were read, in words."""
    zeros: int
    """Signs that are exactly 0, which count as +1."""

    def __len__(self) -> int:
        return len(self.codes)

    def where(self, key: str) -> str:
        """Name the file and one of its arrays, for a message."""
        return self.keys.where(self.path, key)


def read_items(path: Path, num_bits: int | None, num_labels: int | None, keys: Keys = KEYS) -> Items:
    """Read and check a file.

    Args:
        path: ``.npz``, ``.parquet``, ``.mat``, ``.h5`` or ``.hdf5`` with codes and labels, and perhaps groups and ids.
        num_bits: Bits of a code; needed where codes are packed.
        num_labels: Number of labels; needed where label sets are packed, or where there is one label.
        keys: Names of the arrays.

    Raises:
        DataError: If the file cannot be used; the message names the key and the fix.
    """
    arrays = read_arrays(path, keys)
    for key in ("codes", "labels"):
        _check_matrix(keys.where(path, key), arrays[key])
    for key in arrays.keys() & {"groups", "ids"}:
        if arrays[key].ndim == 2 and 1 in arrays[key].shape:  # MATLAB has no vectors
            arrays[key] = arrays[key].ravel()
    for key, array in arrays.items():
        if array.shape[:1] != arrays["codes"].shape[:1]:
            rows = array.shape[0] if array.ndim else "no"
            raise DataError(
                f"{keys.where(path, key)} has {rows} rows, codes {len(arrays['codes'])}; give one an item (if "
                "an item is a column, transpose the matrix)"
            )
    codes = _read_codes(keys.where(path, "codes"), arrays["codes"], num_bits)
    labels = arrays["labels"]
    return Items(
        path,
        keys,
        codes.packed,
        _pack_labels(keys.where(path, "labels"), labels, num_labels),
        codes.num_bits,
        labels.shape[1] if num_labels is None else num_labels,
        _names(keys.where(path, "groups"), arrays.get("groups")),
        _names(keys.where(path, "ids"), arrays.get("ids")),
        codes.reading,
        codes.zeros,
    )


def _check_matrix(where: str, array: Array) -> None:
    if array.ndim != 2:
        advice = "" if array.ndim != 1 else "; of class numbers, numpy.eye(classes)[numbers] makes a row an item"
        raise DataError(f"{where} must be a matrix with a row an item, got shape {array.shape}{advice}")
    if array.size == 0:
        raise DataError(f"{where} are empty, of shape {array.shape}; there is nothing to rank")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} are of type {array.dtype}; give numbers or booleans")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int((~np.isfinite(array)).any(axis=1).argmax())
        raise DataError(
            f"{where} hold NaN or infinite values, first in row {row} (counted from 0); correct these items or leave "
            "them out"
        )


def _read_codes(where: str, codes: Array, num_bits: int | None) -> Codes:
    """Read bits 0 and 1, signs, or with ``num_bits`` packed bytes."""
    width = codes.shape[1]
    if width == num_bits and _zeros_and_ones(codes):  # one bit an item is not a packed byte
        return _of_bits(codes)
    if num_bits is not None and codes.dtype == np.uint8 and width == packed_width(num_bits):
        try:
            # The copy: torch warns of arrays that it may not write to, as Parquet gives them.
            return Codes(as_packed_codes(torch.from_numpy(codes.copy()), num_bits), num_bits, "packed bytes")
        except ValueError as error:
            raise DataError(f"{where}: {error}; correct them or --num-bits") from error
    if num_bits not in (None, width):
        raise DataError(
            f"{where}: codes of {num_bits} bits are (n, {packed_width(num_bits or 0)}) packed uint8 or (n, {num_bits}) "
            f"bits or signs, got {codes.dtype} {codes.shape}; correct --num-bits"
        )
    if _zeros_and_ones(codes) and (codes.dtype.kind != "f" or codes.any()):
        return _of_bits(codes)
    lowest, highest = codes.min(), codes.max()
    if codes.dtype.kind == "f":
        if not lowest < 0 < highest and not (codes == -1).all():
            # By its sign every value would be the same bit: outputs of a sigmoid or a ReLU, probabilities, counts.
            raise DataError(
                f"{where}: floating-point codes are read by their sign, and these are all on one side of 0 (from "
                f"{lowest:.4g} to {highest:.4g}); subtract the threshold between the bits (0.5 for a sigmoid), or "
                "give bits as 0 and 1, signs as -1 and 1"
            )
        return _of_signs(codes, "floating-point signs")
    if lowest == -1 and highest <= 1 and (highest == 1 or (codes == -1).all()):
        return _of_signs(codes, "integer signs")
    advice = "if they are packed pass --num-bits" if codes.dtype == np.uint8 else "give bits, signs or packed uint8"
    raise DataError(f"{where} of {codes.dtype} are neither 0 and 1 nor -1 and 1; {advice}")


def _of_bits(codes: Array) -> Codes:
    reading = "floating-point bits 0 and 1" if codes.dtype.kind == "f" else "bits 0 and 1"
    return Codes(pack_bits(torch.from_numpy(codes != 0)), codes.shape[1], reading)


def _of_signs(codes: Array, reading: str) -> Codes:
    return Codes(pack_bits(torch.from_numpy(codes >= 0)), codes.shape[1], reading, int((codes == 0).sum()))


def _pack_labels(where: str, labels: Array, num_labels: int | None) -> Tensor:
    """Pack multi-hot zeros and ones of any type, or check bytes that ``num_labels`` says are packed."""
    if labels.shape[1] == num_labels and _zeros_and_ones(labels):  # one label is not a packed byte
        return pack_bits(torch.from_numpy(labels != 0))
    if num_labels is not None and labels.dtype == np.uint8 and labels.shape[1] == packed_width(num_labels):
        if num_labels % 8 and bool((labels[:, -1] & (0xFF >> num_labels % 8)).any()):
            raise DataError(f"{where}: packed label sets have bits set beyond label {num_labels}; correct --num-labels")
        return torch.from_numpy(labels.copy())
    if num_labels not in (None, labels.shape[1]):
        raise DataError(
            f"{where}: {num_labels} labels are (n, {packed_width(num_labels or 0)}) packed uint8 or (n, {num_labels}) "
            f"multi-hot, got {labels.dtype} {labels.shape}; correct --num-labels"
        )
    if labels.shape[1] == 1 and num_labels is None:
        # Of 0 and 1 as classes, items of class 0 are relevant to each other; as one label, they have none.
        packed = ", --num-labels with their number if they are packed" if labels.dtype == np.uint8 else ""
        raise DataError(
            f"{where} have one column, which may be class numbers or a single label; give classes one-hot, "
            "numpy.eye(classes)[labels[:, 0].astype(int)] with classes counted from 0; pass --num-labels 1 if 1 "
            f"means that an item has the label{packed}"
        )
    if not _zeros_and_ones(labels):
        raise DataError(
            f"{where} of {labels.dtype} hold other values than 0 and 1; give them multi-hot, or if they are packed "
            "uint8 pass --num-labels"
        )
    return pack_bits(torch.from_numpy(labels != 0))


def _names(where: str, array: Array | None) -> Array | None:
    if array is None:
        return None
    if array.dtype.kind == "f" and bool((np.abs(array) < 2**53).all() and (array == np.rint(array)).all()):
        array = array.astype(np.int64)  # numbers of MATLAB are doubles
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise DataError(f"{where} must be a vector of integers or strings, got {array.dtype} {array.shape}")
    return array


def _zeros_and_ones(array: Array) -> bool:
    return array.dtype.kind == "b" or bool(((array == 0) | (array == 1)).all())


_LISTED = 12
"""Numbers of bits that a warning shows at most."""


def constant_bit_warnings(query: Items, database: Items) -> list[str]:
    """Describe codes that are all equal and bits that never change, on one side or on both.

    A side of a single item is left out: all of its bits are constant by nature.

    Args:
        query: The queries.
        database: The database.

    Returns:
        One sentence for each finding; empty if every bit changes on both sides.
    """
    ours, theirs = _constant(query), _constant(database)
    warnings = []
    if ours.all():
        warnings.append(
            f"{query.where('codes')}: all {len(query):,} queries have the same code, so that all see one ranking"
        )
    if theirs.all():
        warnings.append(
            f"{database.where('codes')}: all {len(database):,} items have the same code, so that all are tied: the "
            "values are those of chance"
        )
    if ours.all() or theirs.all():
        return warnings
    for side, bits, what in (
        (query, ours & theirs, "in all queries and in the whole database, so that they rank nothing"),
        (query, ours & ~theirs, "in all queries but not in the database, so that they rank alike for every query"),
        (database, theirs & ~ours, "in the whole database but not in all queries, so that they rank nothing"),
    ):
        if bits.any():
            numbers = _numbered(np.flatnonzero(bits).tolist(), side.num_bits)
            warnings.append(f"{side.where('codes')}: {numbers} are the same {what}")
    return warnings


def _constant(items: Items) -> NDArray[np.bool_]:
    """Whether each bit is the same in all codes, (num_bits,)."""
    codes = items.codes.numpy()
    if len(codes) == 1:
        return np.zeros(items.num_bits, dtype=bool)
    changing = np.bitwise_or.reduce(codes) & ~np.bitwise_and.reduce(codes)  # (ceil(num_bits / 8),)
    constant: NDArray[np.bool_] = np.unpackbits(changing, count=items.num_bits) == 0
    return constant


def _numbered(bits: Sequence[int], num_bits: int) -> str:
    shown = ", ".join(map(str, bits[:_LISTED]))
    more = f" and {len(bits) - _LISTED} more" if len(bits) > _LISTED else ""
    return f"{len(bits)} of {num_bits} bits (counted from 0: {shown}{more})"

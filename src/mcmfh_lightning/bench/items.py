"""The rows of one file: codes and label sets in any usual form, packed and checked."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mcmfh_lightning.bench.codes_file import Array, read_arrays
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.metrics.functional import pack_bits, packed_width
from mcmfh_lightning.metrics.inputs import as_packed_codes


@dataclass(frozen=True)
class Items:
    """Queries or a database."""

    path: Path
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

    def __len__(self) -> int:
        return len(self.codes)


def read_items(path: Path, num_bits: int | None, num_labels: int | None) -> Items:
    """Read and check a file.

    Args:
        path: ``.npz`` or ``.parquet`` with ``codes`` and ``labels``, and perhaps ``groups`` and ``ids``.
        num_bits: Bits of a code; needed where codes are packed.
        num_labels: Number of labels; needed where label sets are packed.

    Raises:
        DataError: The file cannot be used; the message names the key and the mend.
    """
    arrays = read_arrays(path)
    for key in ("codes", "labels"):
        if key not in arrays:
            raise DataError(f"{path}: has no {key}; add them under this name")
        _check_matrix(f"{path}: {key}", arrays[key])
    for key, array in arrays.items():
        if array.shape[:1] != arrays["codes"].shape[:1]:
            rows = array.shape[0] if array.ndim else "no"
            raise DataError(f"{path}: {key} has {rows} rows, codes {len(arrays['codes'])}; give one an item")
    codes, labels = arrays["codes"], arrays["labels"]
    bits = codes.shape[1] if num_bits is None else num_bits
    return Items(
        path,
        _pack_codes(f"{path}: codes", codes, num_bits),
        _pack_labels(f"{path}: labels", labels, num_labels),
        bits,
        labels.shape[1] if num_labels is None else num_labels,
        _names(f"{path}: groups", arrays.get("groups")),
        _names(f"{path}: ids", arrays.get("ids")),
    )


def _check_matrix(where: str, array: Array) -> None:
    if array.ndim != 2:
        advice = "" if array.ndim != 1 else "; of class numbers, numpy.eye(classes)[numbers] makes a row an item"
        raise DataError(f"{where} must be a matrix with a row an item, got shape {array.shape}{advice}")
    if array.size == 0:
        raise DataError(f"{where} are empty, of shape {array.shape}; there is nothing to rank")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} are of type {array.dtype}; give numbers or booleans")
    if array.dtype.kind == "f" and np.isnan(array).any():
        row = int(np.isnan(array).any(axis=1).argmax())
        raise DataError(f"{where} hold NaN, first in row {row} (counted from 0); leave these items out or mend them")


def _pack_codes(where: str, codes: Array, num_bits: int | None) -> Tensor:
    """Signs (floating point, or integers -1 and 1), bits, or with ``num_bits`` packed bytes."""
    if codes.dtype == np.uint8 and num_bits is not None and codes.shape[1] == packed_width(num_bits):
        usable = codes.copy()  # torch warns of arrays that it may not write to, as Parquet gives them
    elif codes.dtype.kind == "f":
        usable = codes.astype(np.float64)  # of any width and byte order
    elif _zeros_and_ones(codes):
        usable = codes != 0
    elif codes.dtype.kind == "i" and bool((np.abs(codes) == 1).all()):
        usable = codes.astype(np.float64)
    else:
        advice = "if they are packed pass --num-bits" if codes.dtype == np.uint8 else "give bits, signs or packed uint8"
        raise DataError(f"{where} of {codes.dtype} are neither 0 and 1 nor -1 and 1; {advice}")
    try:
        return as_packed_codes(torch.from_numpy(usable), codes.shape[1] if num_bits is None else num_bits)
    except ValueError as error:
        raise DataError(f"{where}: {error}; correct them or --num-bits") from error


def _pack_labels(where: str, labels: Array, num_labels: int | None) -> Tensor:
    """Multi-hot zeros and ones of any type, or with ``num_labels`` packed bytes."""
    if num_labels is not None and labels.dtype == np.uint8 and labels.shape[1] == packed_width(num_labels):
        if num_labels % 8 and bool((labels[:, -1] & (0xFF >> num_labels % 8)).any()):
            raise DataError(f"{where}: packed label sets have bits set beyond label {num_labels}; correct --num-labels")
        return torch.from_numpy(labels.copy())
    if num_labels not in (None, labels.shape[1]):
        raise DataError(
            f"{where}: {num_labels} labels are (n, {packed_width(num_labels or 0)}) packed uint8 or (n, {num_labels}) "
            f"multi-hot, got {labels.dtype} {labels.shape}; correct --num-labels"
        )
    if not _zeros_and_ones(labels):
        raise DataError(
            f"{where} of {labels.dtype} hold other values than 0 and 1; give them multi-hot, or if they are packed "
            "uint8 pass --num-labels"
        )
    return pack_bits(torch.from_numpy(labels != 0))


def _names(where: str, array: Array | None) -> Array | None:
    if array is not None and (array.ndim != 1 or array.dtype.kind not in "iuU"):
        raise DataError(f"{where} must be a vector of integers or strings, got {array.dtype} {array.shape}")
    return array


def _zeros_and_ones(array: Array) -> bool:
    return array.dtype.kind == "b" or bool(((array == 0) | (array == 1)).all())

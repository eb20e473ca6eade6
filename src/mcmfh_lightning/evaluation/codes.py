"""Queries and a database from files: codes and label sets in any usual form, packed, checked and matched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.codes_files import KEYS, Array, Keys, read_arrays
from mcmfh_lightning.metrics.functional import pack_bits, packed_width
from mcmfh_lightning.metrics.functional.packing import as_packed_codes
from mcmfh_lightning.searches import SEARCHES, Search

NAMED = "codes.json"
"""The file next to codes of `mcmfh predict` that names their weights and data."""
_LISTED = 12
"""Numbers of bits that a warning shows at most."""


@dataclass(frozen=True)
class Items:
    """The queries or the database of a file.

    Attributes:
        path: The file.
        keys: Names of its arrays.
        codes: (n, ceil(num_bits / 8)) uint8.
        labels: (n, ceil(num_labels / 8)) uint8, packed label sets.
        num_bits: Bits of a code.
        num_labels: Labels of the vocabulary.
        groups: (n,) integers or strings.
        ids: (n,) integers or strings.
        reading: How the codes were read, in words.
        zeros: Signs that are exactly 0, which count as +1.
    """

    path: Path
    keys: Keys
    codes: Tensor
    labels: Tensor
    num_bits: int
    num_labels: int
    groups: Array | None
    ids: Array | None
    reading: str
    zeros: int

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
    codes, reading = _read_codes(keys.where(path, "codes"), arrays["codes"], num_bits)
    labels = arrays["labels"]
    return Items(
        path,
        keys,
        codes,
        _pack_labels(keys.where(path, "labels"), labels, num_labels),
        arrays["codes"].shape[1] if num_bits is None else num_bits,
        labels.shape[1] if num_labels is None else num_labels,
        _names(keys.where(path, "groups"), arrays.get("groups")),
        _names(keys.where(path, "ids"), arrays.get("ids")),
        reading,
        int((arrays["codes"] == 0).sum()) if reading.endswith("signs") else 0,
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


def _read_codes(where: str, codes: Array, num_bits: int | None) -> tuple[Tensor, str]:
    """Read bits 0 and 1, signs, or with ``num_bits`` packed bytes; say which of them the file has."""
    width = codes.shape[1]
    floating = codes.dtype.kind == "f"
    of_bits = _zeros_and_ones(codes)
    # One bit an item is not a packed byte.
    if num_bits is not None and not (width == num_bits and of_bits):
        if codes.dtype == np.uint8 and width == packed_width(num_bits):
            try:
                # The copy: torch warns of arrays that it may not write to, as Parquet gives them.
                return as_packed_codes(torch.from_numpy(codes.copy()), num_bits), "packed bytes"
            except ValueError as error:
                raise DataError(f"{where}: {error}; correct them or --num-bits") from error
        if num_bits != width:
            raise DataError(
                f"{where}: codes of {num_bits} bits are (n, {packed_width(num_bits)}) packed uint8 or (n, {num_bits}) "
                f"bits or signs, got {codes.dtype} {codes.shape}; correct --num-bits"
            )
    # Floats that are all 0 may be bits or signs: only num_bits says that they are bits.
    if of_bits and (not floating or num_bits == width or codes.any()):
        return pack_bits(torch.from_numpy(codes != 0)), f"{'floating-point ' if floating else ''}bits 0 and 1"
    lowest, highest = codes.min(), codes.max()
    if floating:
        if not lowest < 0 < highest and not (codes == -1).all():
            # By its sign every value would be the same bit: outputs of a sigmoid or a ReLU, probabilities, counts.
            raise DataError(
                f"{where}: floating-point codes are read by their sign, and these are all on one side of 0 (from "
                f"{lowest:.4g} to {highest:.4g}); subtract the threshold between the bits (0.5 for a sigmoid), or "
                "give bits as 0 and 1, signs as -1 and 1"
            )
        return pack_bits(torch.from_numpy(codes >= 0)), "floating-point signs"
    if lowest == -1 and highest <= 1 and (highest == 1 or (codes == -1).all()):
        return pack_bits(torch.from_numpy(codes >= 0)), "integer signs"
    advice = "if they are packed pass --num-bits" if codes.dtype == np.uint8 else "give bits, signs or packed uint8"
    raise DataError(f"{where} of {codes.dtype} are neither 0 and 1 nor -1 and 1; {advice}")


def _pack_labels(where: str, labels: Array, num_labels: int | None) -> Tensor:
    """Pack multi-hot zeros and ones of any type, or check bytes that ``num_labels`` says are packed."""
    width = labels.shape[1]
    multi_hot = _zeros_and_ones(labels)
    # One label an item is not a packed byte.
    if num_labels is not None and not (width == num_labels and multi_hot):
        if labels.dtype == np.uint8 and width == packed_width(num_labels):
            if num_labels % 8 and bool((labels[:, -1] & (0xFF >> num_labels % 8)).any()):
                raise DataError(
                    f"{where}: packed label sets have bits set beyond label {num_labels}; correct --num-labels"
                )
            return torch.from_numpy(labels.copy())
        if num_labels != width:
            raise DataError(
                f"{where}: {num_labels} labels are (n, {packed_width(num_labels)}) packed uint8 or (n, {num_labels}) "
                f"multi-hot, got {labels.dtype} {labels.shape}; correct --num-labels"
            )
    if width == 1 and num_labels is None:
        # Of 0 and 1 as classes, items of class 0 are relevant to each other; as one label, they have none.
        packed = ", --num-labels with their number if they are packed" if labels.dtype == np.uint8 else ""
        raise DataError(
            f"{where} have one column, which may be class numbers or a single label; give classes one-hot, "
            "numpy.eye(classes)[labels[:, 0].astype(int)] with classes counted from 0; pass --num-labels 1 if 1 "
            f"means that an item has the label{packed}"
        )
    if not multi_hot:
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


@dataclass(frozen=True)
class Task:
    """Queries and a database that fit each other.

    Attributes:
        query: The queries.
        database: The database.
        query_groups: (Q,) int64; database items of the same number do not count.
        groups: (n,) int64.
        excluded: Which database items of a query do not count.
        resampled: What the bootstrap draws: groups, or queries where no groups are given.
        warnings: What is unusual about the files.
        direction: What is ranked for what, where one file holds several: ``image to text``.
    """

    query: Items
    database: Items
    query_groups: Tensor
    groups: Tensor
    excluded: str
    resampled: str
    warnings: tuple[str, ...] = ()
    direction: str = ""


def read_task(
    query: Path,
    database: Path,
    num_bits: int | None,
    num_labels: int | None,
    *,
    exclude_same_id: bool,
    query_keys: Keys = KEYS,
    database_keys: Keys = KEYS,
    direction: str = "",
) -> Task:
    """Read both files and compare them.

    Args:
        query: File of the queries.
        database: File of the database, which may be the same.
        num_bits: Bits of packed codes.
        num_labels: Labels of packed label sets.
        exclude_same_id: Whether a query does not find the item of its own id.
        query_keys: Names of the arrays of the queries.
        database_keys: Names of the arrays of the database.
        direction: What the report calls this pair, where there are several.

    Raises:
        DataError: If a file cannot be used, or they do not fit each other.
    """
    ours = read_items(query, num_bits, num_labels, query_keys)
    theirs = read_items(database, num_bits, num_labels, database_keys)
    for key, unit, mine, other in (
        ("codes", "bits", ours.num_bits, theirs.num_bits),
        ("labels", "labels", ours.num_labels, theirs.num_labels),
    ):
        if mine != other:
            raise DataError(
                f"{theirs.where(key)} have {other} {unit}, those of {ours.where(key)} {mine}; give both files of one "
                "method and one vocabulary"
            )
    task = _without_same_id(ours, theirs) if exclude_same_id else _without_own_group(ours, theirs)
    zeros = tuple(
        f"{items.where('codes')}: {items.zeros:,} of {len(items) * items.num_bits:,} signs are exactly 0, which count "
        "as +1"
        for items in (ours, theirs)
        if items.zeros
    )
    warnings = (
        *task.warnings,
        *zeros,
        *_item_code_warnings(query),
        *_other_search_warnings(query, database),
        *_constant_bit_warnings(ours, theirs),
    )
    return replace(task, warnings=warnings, direction=direction)


def _without_own_group(ours: Items, theirs: Items) -> Task:
    if (ours.groups is None) != (theirs.groups is None):
        lacking = ours if ours.groups is None else theirs
        raise DataError(f"{lacking.path}: has no groups, the other file has; give them in both or in neither")
    if ours.groups is not None and theirs.groups is not None:
        numbers = _numbered("groups", ours, ours.groups, theirs, theirs.groups)
        return Task(ours, theirs, *numbers, "items of the query's own group", "groups")
    warning = "no groups: nothing is excluded, and intervals resample single queries"
    if ours.ids is None or theirs.ids is None:
        warning += (
            "; if both files are of one collection an item is its own neighbor: add groups (patient, study), or ids "
            "and --exclude-same-id"
        )
    elif shared := len(np.intersect1d(ours.ids, theirs.ids)):
        warning += f"; {shared} ids are in both files, so that a query finds itself: pass --exclude-same-id"
    apart = torch.arange(len(ours)), torch.arange(len(theirs)) + len(ours)
    return Task(ours, theirs, *apart, "nothing", "queries", (warning,))


def _without_same_id(query: Items, database: Items) -> Task:
    if query.groups is not None or database.groups is not None:
        grouped = query if query.groups is not None else database
        raise DataError(f"{grouped.path}: has groups, whose items are left out; drop --exclude-same-id, or the groups")
    if query.ids is None or database.ids is None:
        nameless = query if query.ids is None else database
        raise DataError(f"{nameless.path}: has no ids; add them, or drop --exclude-same-id")
    numbers = _numbered("ids", query, query.ids, database, database.ids)
    return Task(query, database, *numbers, "the item of the query's own id", "queries")


def _numbered(key: str, query: Items, ours: Array, database: Items, theirs: Array) -> tuple[Tensor, Tensor]:
    """Give equal numbers to equal names, ascending with the names whatever their order in the files."""
    if (ours.dtype.kind == "U") != (theirs.dtype.kind == "U"):
        raise DataError(
            f"{database.path}: {key} are of type {theirs.dtype}, those of {query.path} {ours.dtype}; give both as "
            "integers or both as strings"
        )
    _, numbers = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
    joined = torch.from_numpy(numbers.astype(np.int64))
    return joined[: len(query)], joined[len(query) :]


def _item_code_warnings(query: Path) -> list[str]:
    """Describe codes of items that ``mcmfh predict`` wrote next to codes of queries, which rank otherwise."""
    split, _, modality = query.stem.rpartition("-")
    names = [f"{split}-{name}{query.suffix}" for name, one in SEARCHES.items() if one.query == modality]
    there = [name for name in names if query.with_name(name).exists()]
    if not there:
        return []
    return [f"{query}: codes of items; this method gives queries other codes, one for each search: {', '.join(there)}"]


def _other_search_warnings(query: Path, database: Path) -> list[str]:
    """Describe files of ``mcmfh predict`` that do not belong together: queries of one search, items of another."""
    searches: Mapping[str, Search] = {str(name): search for name, search in SEARCHES.items()}
    search, items = query.stem.rpartition("-")[2], database.stem.rpartition("-")[2]
    if items in searches and database.with_name(NAMED).exists():
        return [f"{database}: codes of queries, of the search {items}; a database has codes of items"]
    target = searches[search].target if search in searches else items
    if items in ("image", "text", "case") and items != target and query.with_name(NAMED).exists():
        return [
            f"{query}: queries of the search {search}, which is for the code of the {target}; {database} has others"
        ]
    return []


def _constant_bit_warnings(query: Items, database: Items) -> list[str]:
    """Describe codes that are all equal and bits that never change, on one side or on both.

    A side of a single item is left out: all of its bits are constant by nature.
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
    if warnings:
        return warnings
    for side, bits, what in (
        (query, ours & theirs, "in all queries and in the whole database, so that they rank nothing"),
        (query, ours & ~theirs, "in all queries but not in the database, so that they rank alike for every query"),
        (database, theirs & ~ours, "in the whole database but not in all queries, so that they rank nothing"),
    ):
        if bits.any():
            warnings.append(f"{side.where('codes')}: {_listed(np.flatnonzero(bits).tolist(), side.num_bits)} {what}")
    return warnings


def _constant(items: Items) -> NDArray[np.bool_]:
    """Check whether each bit is the same in all codes, (num_bits,)."""
    codes = items.codes.numpy()
    if len(codes) == 1:
        return np.zeros(items.num_bits, dtype=bool)
    changing = np.bitwise_or.reduce(codes) & ~np.bitwise_and.reduce(codes)  # (ceil(num_bits / 8),)
    constant: NDArray[np.bool_] = np.unpackbits(changing, count=items.num_bits) == 0
    return constant


def _listed(bits: Sequence[int], num_bits: int) -> str:
    shown = ", ".join(map(str, bits[:_LISTED]))
    more = f" and {len(bits) - _LISTED} more" if len(bits) > _LISTED else ""
    return f"{len(bits)} of {num_bits} bits (counted from 0: {shown}{more}) are the same"

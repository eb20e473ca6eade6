"""What is ranked for what: queries, database, and which pairs do not count."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mcmfh_lightning.bench.constant_bits import constant_bit_warnings
from mcmfh_lightning.bench.items import Items, read_items
from mcmfh_lightning.bench.keys import KEYS, Array, Keys
from mcmfh_lightning.errors import DataError


@dataclass(frozen=True)
class Task:
    """A pair of files that fit each other."""

    query: Items
    database: Items
    query_groups: Tensor
    """(Q,) int64; database items of the same number do not count."""
    groups: Tensor
    """(n,) int64."""
    excluded: str
    """Which database items of a query do not count."""
    resampled: str
    """What the bootstrap draws: groups, or queries where no groups are given."""
    warnings: tuple[str, ...]
    direction: str = ""
    """Of what is ranked for what, where one file holds several: ``image to text``."""


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
    about_codes = (*_zero_warnings(ours), *_zero_warnings(theirs), *constant_bit_warnings(ours, theirs))
    return replace(task, warnings=(*task.warnings, *about_codes), direction=direction)


def _without_own_group(ours: Items, theirs: Items) -> Task:
    if (ours.groups is None) != (theirs.groups is None):
        lacking = ours if ours.groups is None else theirs
        raise DataError(f"{lacking.path}: has no groups, the other file has; give them in both or in neither")
    if ours.groups is None or theirs.groups is None:
        apart = torch.arange(len(ours)), torch.arange(len(theirs)) + len(ours)
        return Task(ours, theirs, *apart, "nothing", "queries", (_nothing_excluded(ours, theirs),))
    numbers = _numbered("groups", ours, ours.groups, theirs, theirs.groups)
    return Task(ours, theirs, *numbers, "items of the query's own group", "groups", ())


def _without_same_id(query: Items, database: Items) -> Task:
    if query.groups is not None or database.groups is not None:
        grouped = query if query.groups is not None else database
        raise DataError(f"{grouped.path}: has groups, whose items are left out; drop --exclude-same-id, or the groups")
    numbers = _numbered("ids", query, _ids(query), database, _ids(database))
    return Task(query, database, *numbers, "the item of the query's own id", "queries", ())


def _ids(items: Items) -> Array:
    if items.ids is None:
        raise DataError(f"{items.path}: has no ids; add them, or drop --exclude-same-id")
    return items.ids


def _numbered(key: str, query: Items, ours: Array, database: Items, theirs: Array) -> tuple[Tensor, Tensor]:
    """Equal numbers for equal names, ascending with the names whatever their order in the files."""
    if (ours.dtype.kind == "U") != (theirs.dtype.kind == "U"):
        raise DataError(
            f"{database.path}: {key} are of type {theirs.dtype}, those of {query.path} {ours.dtype}; give both as "
            "integers or both as strings"
        )
    _, numbers = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
    joined = torch.from_numpy(numbers.astype(np.int64))
    return joined[: len(query)], joined[len(query) :]


def _zero_warnings(items: Items) -> list[str]:
    if not items.zeros:
        return []
    signs = len(items) * items.num_bits
    return [f"{items.where('codes')}: {items.zeros:,} of {signs:,} signs are exactly 0, which count as +1"]


def _nothing_excluded(query: Items, database: Items) -> str:
    """The warning where nothing says which items belong together."""
    warning = "no groups: nothing is excluded, and intervals resample single queries"
    if query.ids is not None and database.ids is not None:
        shared = len(np.intersect1d(query.ids, database.ids))
        if shared:
            return f"{warning}; {shared} ids are in both files, so that a query finds itself: pass --exclude-same-id"
        return warning
    return (
        f"{warning}; if both files are of one collection an item is its own neighbour: add groups (patient, study), or "
        "ids and --exclude-same-id"
    )

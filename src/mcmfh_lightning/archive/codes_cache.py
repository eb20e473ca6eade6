"""Codes of an archive as files that are mapped into memory, ordered by id, and the tables that find them.

They are built from the table once for each of its versions: a search then reads the codes from the files, and the
processes of a machine share them.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock
from numpy.typing import NDArray

from mcmfh_lightning.archive.address_table import AddressTable
from mcmfh_lightning.archive.indexes import choose_kind
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.results import Side
from mcmfh_lightning.archive.schema import GROUP, code_array, relaxed_array
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.store_rows import ROW_ID
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import atomic_write, default_cache
from mcmfh_lightning.literals import read_literal
from mcmfh_lightning.shards import packed_width

SIDES: tuple[Side, ...] = get_args(Side)
_KNOWN = ["id", *GROUP, "split", "has_image", "has_text", "labels", "date", "licence"]
_NUMBERED = ["split", "date", "licence"]
_ITEMS = "items.arrow"
_LOCK = ".lock"  # in a folder of files: held by whoever writes or removes some
_STAMP = b"mcmfh-archive"
_LAYOUT = 4  # of these files; they are built again where a release needs another


@dataclass(frozen=True)
class ArchiveCodes:
    """Everything that a search reads, of N items in ascending order of their ids (by code point).

    Attributes:
        items: Id, the table's name of the row, and the columns of filters; mapped from a file.
        codes: (N, bytes) of each side, mapped from a file; zeros where an item lacks it.
        relaxed: (N, num_bits) of each side, mapped from a file: the same before the sign. Empty if not kept.
        present: (N,) whether an item has the code of a side; None if all have it.
        tables: Rows by code of each side, mapped from files; empty if the archive is searched by a scan.
    """

    items: pa.Table
    codes: Mapping[Side, NDArray[np.uint8]]
    relaxed: Mapping[Side, NDArray[np.float16]]
    present: Mapping[Side, NDArray[np.bool_] | None]
    tables: Mapping[Side, AddressTable]


def open_codes(table: ItemTable, info: ArchiveInfo) -> ArchiveCodes:
    """Map the codes of a table's version into memory, and build their files first if there are none.

    The files are next to the table where that is possible, else in the user's cache. Those of older versions are
    removed: processes that have mapped them keep them until they end.

    Args:
        table: Table, opened at its version.
        info: Description of the archive.

    Raises:
        DataError: If an item has a code without that modality, or the other way round, or a code has too many bits.
    """
    own, cached = _folders(table.location, info.uid)
    folder = cached if own is None or not os.access(own.parent, os.W_OK) else own
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / str(table.version)
    # Another archive, or another table of this one, may have been in the same place.
    stamp = f"{_LAYOUT} {info.uid} {table.fingerprint}".encode()
    with FileLock(folder / _LOCK):
        found = _mapped(target, info, stamp)
        if found is None:
            _build(table, target, info, stamp)
            found = _mapped(target, info, stamp)
        for entry in folder.iterdir():
            # Also what a killed process left: nobody writes now, as the lock is ours.
            if entry.name.startswith(".part-") or (entry.name.isdigit() and int(entry.name) < table.version):
                shutil.rmtree(entry, ignore_errors=True)
    if found is None:
        raise DataError(f"{target} is not what was just written there: check the disk")
    return found


def remove_codes(location: Location, uid: str) -> None:
    """Remove the files of all versions from this machine; the next search builds them again.

    A process that writes such files now is waited for: it would fail, or leave what it writes.

    Args:
        location: Place of the archive.
        uid: Uid of the archive.

    Raises:
        OSError: If a file cannot be removed.
    """
    for folder in _folders(location, uid):
        if folder is not None and folder.exists():
            lock = folder / _LOCK
            with FileLock(lock):
                for entry in set(folder.iterdir()) - {lock}:
                    shutil.rmtree(entry)


def with_numbered_values(items: pa.Table) -> pa.Table:
    """Write each label, split, date and license once, and its number where it occurs: a filter compares numbers.

    Args:
        items: Rows with these columns.
    """
    labels = items["labels"].combine_chunks()
    columns = {name: items[name].combine_chunks().dictionary_encode() for name in _NUMBERED}
    columns["labels"] = pa.ListArray.from_arrays(labels.offsets, labels.values.dictionary_encode())
    for name, column in columns.items():
        items = items.set_column(items.schema.get_field_index(name), name, column)
    return items


def _folders(location: Location, uid: str) -> tuple[Path | None, Path]:
    name = hashlib.sha256(f"{location.uri} {uid}".encode()).hexdigest()[:16]
    return None if location.path is None else location.path / "index", default_cache() / "archives" / name


def _kinds(info: ArchiveInfo) -> tuple[str, ...]:
    return ("code", "relaxed") if info.keep_relaxed else ("code",)


def _build(table: ItemTable, target: Path, info: ArchiveInfo, stamp: bytes) -> None:
    """Write the files of a version under another name, and rename the folder when all are whole."""
    known = with_numbered_values(_selected(table, _KNOWN).combine_chunks())
    order = pc.sort_indices(known, sort_keys=[("id", "ascending")])
    known = known.take(order)
    part = target.with_name(f".part-{target.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        for side in SIDES:  # memory for one at a time
            columns = _selected(table, [f"{side}_{kind}" for kind in _kinds(info)])
            for kind in _kinds(info):
                column = columns[f"{side}_{kind}"].take(order)
                _check(known, side, kind, column)
                _save(part / f"{side}_{kind}.npy", code_array(column) if kind == "code" else relaxed_array(column))
                if kind == "code" and choose_kind(len(known), info.num_bits) == "hash":
                    _save_table(part, side, code_array(column), info.num_bits)
        known = known.replace_schema_metadata({_STAMP: stamp})
        with atomic_write(part / _ITEMS) as stream, pa.ipc.new_file(stream, known.schema) as writer:
            # One batch, so that a row is found without looking for its chunk.
            writer.write_table(known, max_chunksize=max(1, len(known)))
        shutil.rmtree(target, ignore_errors=True)  # of another archive
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _selected(table: ItemTable, columns: list[str]) -> pa.Table:
    """Read columns of all rows, ordered by the table's names of the rows."""
    found = table.select(columns)
    row_ids = found[ROW_ID].to_numpy()
    if np.all(row_ids[1:] > row_ids[:-1]):  # as LanceDB reads them, without promising it
        return found
    return found.take(pc.sort_indices(found, sort_keys=[(ROW_ID, "ascending")]))


def _check(items: pa.Table, side: Side, kind: str, column: pa.ChunkedArray) -> None:
    """Refuse an item that lacks the code of what it has, or has another one."""
    due = pa.repeat(True, len(items)) if side == "case" else items[f"has_{side}"]  # noqa: FBT003  # a value
    wrong = pc.not_equal(due, pc.is_valid(column))
    if pc.any(wrong).as_py():
        raise DataError(
            f"item {items['id'].filter(wrong)[0].as_py()!r} of the archive lacks the {kind} of its {side}, or has one "
            "without that; `mcmfh-archive verify` names all such items: delete them and add them again"
        )


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_write(path) as stream:
        try:
            np.save(stream, array, allow_pickle=False)
        except OSError as error:  # NumPy's own names neither the file nor the reason
            raise OSError(
                error.errno or errno.ENOSPC, error.strerror or os.strerror(errno.ENOSPC), str(path)
            ) from error


def _save_table(folder: Path, side: Side, codes: NDArray[np.uint8], num_bits: int) -> None:
    """Write the rows of a side by their codes.

    Raises:
        DataError: If a code has more bits than the archive.
    """
    try:
        table = AddressTable.build(codes, num_bits)
    except ValueError as error:
        raise DataError(
            f"the archive's {side} {error}; `mcmfh-archive verify` names such items: delete them and add them again"
        ) from error
    for name, array in table._asdict().items():
        _save(folder / f"{side}_{name}.npy", array)


def _mapped(folder: Path, info: ArchiveInfo, stamp: bytes) -> ArchiveCodes | None:
    """Map the files of a version; None if they are missing, damaged, or those of something else."""
    kinds = _kinds(info)
    try:
        with pa.memory_map(str(folder / _ITEMS)) as source:
            items = pa.ipc.open_file(source).read_all()
        arrays = {kind: {side: _map(folder, side, kind) for side in SIDES} for kind in kinds}
        hashed = SIDES if choose_kind(len(items), info.num_bits) == "hash" else ()
        tables = {side: AddressTable(*(_map(folder, side, name) for name in AddressTable._fields)) for side in hashed}
    except (OSError, ValueError, EOFError, pa.ArrowException):
        return None
    due = {
        "code": ((len(items), packed_width(info.num_bits)), np.dtype(np.uint8)),
        "relaxed": ((len(items), info.num_bits), np.dtype("<f2")),
    }
    if (items.schema.metadata or {}).get(_STAMP) != stamp or any(
        (array.shape, array.dtype) != due[kind] for kind in kinds for array in arrays[kind].values()
    ):
        return None
    if not all(table.fits(len(items), info.num_bits) for table in tables.values()):
        return None
    present: dict[Side, NDArray[np.bool_] | None] = {"case": None}
    for side in ("image", "text"):
        has = items[f"has_{side}"].to_numpy()
        present[side] = None if has.all() else has
    return ArchiveCodes(items, arrays["code"], arrays.get("relaxed", {}), present, tables)


def _map(folder: Path, side: Side, name: str) -> NDArray[Any]:
    path = folder / f"{side}_{name}.npy"
    return read_literal(lambda: np.load(path, mmap_mode="r", allow_pickle=False))

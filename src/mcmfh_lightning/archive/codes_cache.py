"""The codes of an archive as files that are mapped into memory, ordered by id.

Built from the table once for each of its versions: a search then reads the codes where they lie, and processes of a
machine share them.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock
from numpy.typing import NDArray

from mcmfh_lightning.archive.identity import ArchiveInfo
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.results import Side
from mcmfh_lightning.archive.schema import GROUP, code_array, relaxed_array
from mcmfh_lightning.archive.store import ROW_ID, ItemTable
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import default_cache
from mcmfh_lightning.metrics.functional import packed_width

SIDES: tuple[Side, ...] = get_args(Side)
_KNOWN = ["id", *GROUP, "split", "has_image", "has_text", "labels", "date", "licence"]
_READERS: Mapping[str, Callable[[pa.ChunkedArray], NDArray[Any]]] = {"code": code_array, "relaxed": relaxed_array}
_ITEMS = "items.arrow"
_STAMP = b"mcmfh-archive"
_LAYOUT = 2
"""Of these files; they are written anew where a release wants another."""


@dataclass(frozen=True)
class ArchiveCodes:
    """What a search looks at, of N items in ascending order of their ids (by code point)."""

    items: pa.Table
    """Id, the table's name of the row, and what filters look at; mapped from a file."""
    codes: Mapping[Side, NDArray[np.uint8]]
    """(N, bytes) of each side, mapped from a file; zeros where an item lacks it."""
    relaxed: Mapping[Side, NDArray[np.float16]]
    """(N, num_bits) of each side, mapped from a file: the same before the sign. Empty if the archive does not keep
    them."""
    present: Mapping[Side, NDArray[np.bool_] | None]
    """(N,) which items have the code of a side; None if all do."""
    groups: NDArray[np.int64]
    """(N,)."""

    def __len__(self) -> int:
        return len(self.groups)


def index_folder(location: Location, uid: str) -> Path:
    """Where the files of an archive's versions lie: beside the table where that is possible, else in the user's cache.

    Args:
        location: Of the archive.
        uid: Of the archive.
    """
    beside, cached = _folders(location, uid)
    return cached if beside is None or not os.access(beside.parent, os.W_OK) else beside


def remove_indexes(location: Location, uid: str) -> None:
    """Remove the files of all versions from this machine; the next search makes them anew.

    Args:
        location: Of the archive.
        uid: Of the archive.

    Raises:
        OSError: If something of them cannot be removed.
    """
    for folder in _folders(location, uid):
        if folder is not None and folder.exists():
            shutil.rmtree(folder)


def _folders(location: Location, uid: str) -> tuple[Path | None, Path]:
    name = hashlib.sha256(f"{location.uri} {uid}".encode()).hexdigest()[:16]
    return None if location.path is None else location.path / "index", default_cache() / "archives" / name


def open_codes(table: ItemTable, info: ArchiveInfo, folder: Path) -> ArchiveCodes:
    """Map the codes of a table's version into memory; they are gathered first if nobody did.

    Files of older versions are removed: who has mapped them keeps them until the process ends.

    Args:
        table: Opened at the version in question.
        info: Of the archive.
        folder: Where the files of the versions lie, each in a folder of its own.

    Raises:
        DataError: If an item has a code without that modality, or the other way round.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / str(table.version)
    # Another archive, or another table of this one, may have lain at the same place.
    stamp = f"{_LAYOUT} {info.uid} {table.fingerprint}".encode()
    kinds = ("code", "relaxed") if info.keep_relaxed else ("code",)
    with FileLock(folder / ".lock"):
        found = _mapped(target, kinds, stamp, info.num_bits)
        if found is None:
            _build(table, target, kinds, stamp)
            found = _mapped(target, kinds, stamp, info.num_bits)
        _remove_older(folder, table.version)
    if found is None:
        raise DataError(f"{target} is not what was just written there: look after the disk")
    return found


def _build(table: ItemTable, target: Path, kinds: Sequence[str], stamp: bytes) -> None:
    """Write the files of a version under another name, which they change for their own when all are whole."""
    known = _selected(table, _KNOWN)
    order = pc.sort_indices(known, sort_keys=[("id", "ascending")])
    known = known.take(order).combine_chunks()
    part = target.with_name(f".part-{target.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        for side, kind in product(SIDES, kinds):  # memory for one at a time
            column = _selected(table, [f"{side}_{kind}"])[f"{side}_{kind}"].take(order)
            _check(known, side, kind, column)
            _save(part / f"{side}_{kind}.npy", _READERS[kind](column))
        with (part / _ITEMS).open("wb") as stream:
            known = known.replace_schema_metadata({_STAMP: stamp})
            with pa.ipc.new_file(stream, known.schema) as writer:
                # One batch, so that a row is found without looking for its chunk.
                writer.write_table(known, max_chunksize=max(1, len(known)))
            stream.flush()
            os.fsync(stream.fileno())
        shutil.rmtree(target, ignore_errors=True)  # of another archive
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _selected(table: ItemTable, columns: list[str]) -> pa.Table:
    """Columns of all rows with the table's names of these, in the order of these names."""
    found = table.select(columns)
    return found.take(pc.sort_indices(found, sort_keys=[(ROW_ID, "ascending")]))


def _check(items: pa.Table, side: Side, kind: str, column: pa.ChunkedArray) -> None:
    """An item has a code of what it has, and of nothing else."""
    due = pa.repeat(True, len(items)) if side == "case" else items[f"has_{side}"]  # noqa: FBT003  # a value
    wrong = pc.not_equal(due, pc.is_valid(column))
    if pc.any(wrong).as_py():
        raise DataError(
            f"item {items['id'].filter(wrong)[0].as_py()!r} of the archive lacks the {kind} of its {side}, or has one "
            "without that; `mcmfh-archive verify` names all such items: delete them and add them anew"
        )


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as stream:
        try:
            np.save(stream, array, allow_pickle=False)
        except OSError as error:  # NumPy's own says neither which file nor why
            raise OSError(
                error.errno or errno.ENOSPC, error.strerror or os.strerror(errno.ENOSPC), str(path)
            ) from error
        stream.flush()
        os.fsync(stream.fileno())


def _mapped(folder: Path, kinds: Sequence[str], stamp: bytes, num_bits: int) -> ArchiveCodes | None:
    """The files of a version; None if they are not there, damaged, or those of something else."""
    try:
        with pa.memory_map(str(folder / _ITEMS)) as source:
            items = pa.ipc.open_file(source).read_all()
        arrays = {
            kind: {side: np.load(folder / f"{side}_{kind}.npy", mmap_mode="r", allow_pickle=False) for side in SIDES}
            for kind in kinds
        }
    except (OSError, ValueError, EOFError, pa.ArrowException):
        return None
    if (items.schema.metadata or {}).get(_STAMP) != stamp:
        return None
    due = {
        "code": ((len(items), packed_width(num_bits)), np.dtype(np.uint8)),
        "relaxed": ((len(items), num_bits), np.dtype("<f2")),
    }
    if any((array.shape, array.dtype) != due[kind] for kind in kinds for array in arrays[kind].values()):
        return None
    present: dict[Side, NDArray[np.bool_] | None] = {"case": None}
    for side in ("image", "text"):
        has = items[f"has_{side}"].to_numpy()
        present[side] = None if has.all() else has
    return ArchiveCodes(items, arrays["code"], arrays.get("relaxed", {}), present, items["group"].to_numpy())


def _remove_older(folder: Path, version: int) -> None:
    """Also what a killed process left half-written: nobody writes now, as the lock is ours."""
    for entry in folder.iterdir():
        if entry.name.startswith(".part-") or (entry.name.isdigit() and int(entry.name) < version):
            shutil.rmtree(entry, ignore_errors=True)

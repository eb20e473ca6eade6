"""Building an archive, and adding the items of shards to it, commit by commit."""

import dataclasses
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from mcmfh_lightning import __version__
from mcmfh_lightning.archive.deletion import Deleted, readmit
from mcmfh_lightning.archive.devices import check_device
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.model import (
    HASHER_FILE,
    check_checkpoint,
    load_archive_encoder,
    load_archive_hasher,
    read_model,
)
from mcmfh_lightning.archive.progress import items_bar
from mcmfh_lightning.archive.schema import GROUP, binary_column, code_columns, item_schema, thumbnail
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.datamodules.loader import worker_errors
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.items import item_codes
from mcmfh_lightning.metrics.functional import pack_signs
from mcmfh_lightning.tables import counted

COMMIT_ITEMS = 2048  # what a killed command loses at most, where items are encoded or read from pairs
_QUICK = 16  # times as many, a second of work, where neither is to do: each commit makes a file
_MANY_COMMITS = 8


def build_archive(
    location: Location,
    source: Source,
    checkpoint: Path,
    encoder_spec: Mapping[str, Any],
    *,
    store_content: bool,
    keep_relaxed: bool,
    device: str,
    restore: bool = False,
) -> str:
    """Make an archive of the items of shards; a build that was killed is resumed with the same arguments.

    Args:
        location: Where to make it.
        source: Shards.
        checkpoint: See `create_archive`, as the next three.
        encoder_spec: How to build the encoder of queries.
        store_content: Whether to keep texts and small pictures.
        keep_relaxed: Whether to keep the codes before the sign.
        device: Where items are encoded.
        restore: See `add_items`.

    Returns:
        What was done.

    Raises:
        CheckpointError: If there is an archive of another hasher or encoder already.
        ConfigError: If there is one with other settings, or no such device.
        DataError: If there is a table with items and without a description, or an item is damaged.
    """
    check_device(device)
    settings = {"store_content": store_content, "keep_relaxed": keep_relaxed}
    encoder = create_archive(location, source, checkpoint, encoder_spec, **settings)
    return add_items(location, source, device=device, encoder=encoder, restore=restore)


def create_archive(
    location: Location,
    source: Source,
    checkpoint: Path,
    encoder_spec: Mapping[str, Any],
    *,
    store_content: bool,
    keep_relaxed: bool,
) -> Encoder | None:
    """Make an archive without items; one of the same hasher and settings that is there already is left as it is.

    Args:
        location: Where to make it.
        source: Shards of its first items.
        checkpoint: Trained hasher.
        encoder_spec: How to build the encoder of queries; see `mcmfh_lightning.encoders.spec.build_encoder`.
        store_content: Whether to keep texts and small pictures.
        keep_relaxed: Whether to keep the codes before the sign.

    Returns:
        The encoder, where pairs have to be encoded.

    Raises:
        CheckpointError: If there is an archive of another hasher or encoder already.
        ConfigError: If there is one with other settings.
        DataError: If there is a table with items and without a description, or content is to be kept and there is none.
    """
    stored, identity, encoder = read_model(checkpoint, encoder_spec if source.features is None else None)
    source.check_encoder(identity.encoder)
    if store_content and source.pairs is None:
        raise DataError("--store-content needs --pairs DIR: features have neither texts nor pictures")
    info = ArchiveInfo(
        **vars(identity),
        encoder_spec=encoder_spec,
        label_vocabulary=tuple(source.info.label_vocabulary),
        store_content=store_content,
        keep_relaxed=keep_relaxed,
        value_range=source.value_range,
        uid=uuid4().hex,
        created_by=f"mcmfh-lightning {__version__}",
    )
    with location.writing():
        found = ArchiveInfo.find(location)
        if found is None:
            hasher = io.BytesIO()
            torch.save(stored, hasher)
            location.write(HASHER_FILE, hasher.getvalue())
            # Or take that of a build that was killed right here.
            ItemTable.create(location, info.num_bits, query_codes=info.query_codes, words=info.store_content)
            info.write(location)
        else:
            identity.check_same(found, str(checkpoint), str(location))
            for name in ("encoder_spec", "store_content", "keep_relaxed", "value_range"):
                ours, theirs = getattr(info, name), getattr(found, name)
                if ours != theirs:
                    raise ConfigError(
                        f"{location} was built with {name}={theirs!r}, this command has {ours!r}: repeat its flags, "
                        "add to it with `mcmfh-archive add`, or build another archive"
                    )
    return encoder


def add_items(
    location: Location,
    source: Source,
    *,
    device: str,
    replace: bool = False,
    checkpoint: Path | None = None,
    encoder: Encoder | None = None,
    restore: bool = False,
    only: Collection[str] | None = None,
) -> str:
    """Add the items of shards; those that are there already are left alone and not even encoded, or replaced.

    Those that were deleted from the archive stay out.

    Args:
        location: An archive.
        source: Shards whose encoder is that of the archive.
        device: Where items are encoded.
        replace: Whether to replace items that are there already.
        checkpoint: Refuse if it is not the archive's own hasher.
        encoder: Encoder of the archive, if it is built already.
        restore: Whether to add those that were deleted, too.
        only: Ids of the items that are added; all if None.

    Returns:
        What was done.

    Raises:
        CheckpointError: If the features are of another encoder, or the checkpoint is another one.
        ConfigError: If there is no such device, or the pictures were scaled by another value range than the archive's.
        DataError: If an item is damaged, or the archive cannot be written; what was committed stays.
    """
    info = ArchiveInfo.load(location)
    if checkpoint is not None:
        check_checkpoint(checkpoint, location, info)
    check_device(device)
    table = ItemTable.open(location)
    source.check_encoder(info.encoder)
    source.check_value_range(info.value_range)
    if source.features is None and encoder is None:
        encoder = load_archive_encoder(location, info)
    if info.store_content and source.pairs is None:
        raise DataError("the archive stores texts and pictures, which features do not have: pass --pairs DIR too")
    hasher = load_archive_hasher(location, info)
    asked = _among(source.ids, source.ids if only is None else only)
    out = asked & _kept_out(location, info, source, restore=restore)
    found = asked & _among(source.ids, table.select(["id"])["id"].to_pylist())
    rows = np.flatnonzero(asked & ~(out if replace else out | found))
    with location.writing():
        # Before their items come, so that no item has a label that the archive does not know. Always: the table of an
        # archive of version 1 is about to become one of this version.
        current = ArchiveInfo.load(location)
        labels = dict.fromkeys([*current.label_vocabulary, *source.info.label_vocabulary])
        dataclasses.replace(current, label_vocabulary=tuple(labels)).write(location)
    unknown = not replace and len(set(source.ids)) == len(source.ids)
    slow = source.features is None or info.store_content
    size = COMMIT_ITEMS * (1 if slow else _QUICK)
    new = commits = late = 0

    def wanted(batch: pa.Table) -> pa.Table:  # others may have deleted some meanwhile
        nonlocal late
        gone = Deleted.load(location, info.uid).of_items(batch)
        late += int(gone.sum())
        return batch.filter(pa.array(~gone))

    with worker_errors(), items_bar() as bar:
        task = bar.add_task("replacing" if replace else "adding", total=len(rows))
        for batch in _in_commits(_item_rows(info, hasher, source, rows, encoder, device), size):
            new += table.add(batch, replace=replace, unknown=unknown, wanted=wanted)
            commits += 1
            bar.advance(task, len(batch))
    if commits >= _MANY_COMMITS or table.is_scattered:
        table.compact()
    kept_out = int(out.sum()) + late
    others = f"{int(asked.sum()) - kept_out - new:,} {'replaced' if replace else 'were there'}"
    lines = [f"{counted(new, 'new item')}, {others}; {counted(len(table), 'item')}, version {table.version}"]
    if kept_out:
        verb, stay, them = ("was", "stays", "it") if kept_out == 1 else ("were", "stay", "them")
        deleted = f"{counted(kept_out, 'item')} {verb} deleted from this archive earlier and {stay} out"
        lines.append(f"{deleted}; --restore-deleted adds {them}")
    if not replace and (differing := _relabeled(source, np.flatnonzero(found & ~out), table)):
        lines.append(
            f"{differing:,} of those that were there {'has' if differing == 1 else 'have'} other labels in the shards: "
            "`mcmfh-archive upsert` replaces them"
        )
    return "\n".join(lines)


def _kept_out(location: Location, info: ArchiveInfo, source: Source, *, restore: bool) -> NDArray[np.bool_]:
    """Find the items that were deleted from the archive; to restore them, take them off its list.

    Returns:
        (N,) bool.
    """
    names = pa.array(source.reader.group_names, pa.string())
    items = pa.table([pa.array(source.ids, pa.string()), pa.array(source.reader.groups), names], ["id", *GROUP])
    if restore:
        readmit(location, info.uid, items)
    return Deleted.load(location, info.uid).of_items(items)


def _among(names: Sequence[str], known: Iterable[str]) -> NDArray[np.bool_]:
    """Find the names that are known, (N,)."""
    there = frozenset(known)
    return np.array([name in there for name in names], dtype=np.bool_)


def _relabeled(source: Source, rows: NDArray[np.int64], table: ItemTable) -> int:
    """Count the items that have other labels in the archive than in the shards."""
    if not len(rows):
        return 0
    ids = pa.array([source.ids[row] for row in rows.tolist()], pa.string())
    there = table.select(["id", "labels"])
    there = there.filter(pc.is_in(there["id"], value_set=ids))
    known = dict(zip(there["id"].to_pylist(), there["labels"].to_pylist(), strict=True))
    labels = source.labels(source.reader.labels[rows])
    return sum(set(known.get(name, ours)) != set(ours) for name, ours in zip(ids.to_pylist(), labels, strict=True))


def _in_commits(batches: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Gather batches until there are ``size`` rows."""
    waiting: list[pa.Table] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= size:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _item_rows(
    info: ArchiveInfo, hasher: Hasher, source: Source, rows: NDArray[np.int64], encoder: Encoder | None, device: str
) -> Iterator[pa.Table]:
    """Make rows of an archive's table, batch by batch.

    Args:
        info: Description of the archive.
        hasher: Hasher of the archive, in evaluation mode.
        source: Shards; with pairs if content is stored.
        rows: (N,) items of the source, ascending.
        encoder: Encoder, needed where the source has no features.
        device: Where hasher and encoder run.

    Raises:
        DataError: If an item is damaged, or its code is not finite.
    """
    hasher = hasher.to(device)
    schema = item_schema(info.num_bits, query_codes=info.query_codes)
    describe = partial(_describe, source, store_content=info.store_content)
    source.load_columns()
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside of Python's lock
        for batch in source.batches(rows, encoder, device):
            has_image, has_text = batch["present"].numpy().T
            columns: dict[str, Any] = source.columns(batch["index"].numpy())
            columns |= dict.fromkeys(("date", "shard", "text", "thumbnail"), [None] * len(has_image))
            if source.pairs is not None:
                known = list(pool.map(describe, batch["index"].tolist()))
                columns |= {name: [row[name] for row in known] for name in known[0]}
            columns |= {"has_image": has_image, "has_text": has_text}
            columns["labels"] = source.labels(batch["labels"].numpy())
            present = {"image": has_image, "text": has_text, "case": np.ones(len(has_image), dtype=np.bool_)}
            codes = item_codes(hasher, batch, device)
            if len(codes) > len(present) and not info.query_codes:
                raise CheckpointError(
                    f"{info.hasher} gives queries codes of their own, and its architecture does not say so: pass "
                    "query_heads=True among the architecture of your method"
                )
            for relaxed in codes.values():
                finite = relaxed.isfinite().all(1)
                if not finite.all():
                    name = columns["id"][int(finite.logical_not().nonzero()[0])]
                    raise DataError(
                        f"item {name}: its code is not finite; the checkpoint's weights have diverged, fit again"
                    )
            for one in code_columns(query_codes=info.query_codes):
                packed = torch.cat([pack_signs(codes[part]) for part in one.parts], dim=1)  # (B, parts * bytes)
                columns[one.codes] = binary_column(packed.numpy(), present[one.side])
                halves = torch.cat([codes[part].half() for part in one.parts], dim=1)  # (B, parts * num_bits)
                columns[one.relaxed] = binary_column(halves.numpy(), present[one.side] & info.keep_relaxed)
            yield pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def _describe(source: Source, row: int, *, store_content: bool) -> dict[str, Any]:
    """Read the columns of an item that pair shards alone have."""
    reader, position = source.pair_place(row)
    pair = reader[position] if store_content else reader.describe(position)
    if pair.group != source.reader.groups[row]:
        raise DataError(
            f"{reader.where(position)}: is of group {pair.group_name}, its features are of "
            f"{source.reader.group_names[row]}: pass the pairs that were encoded"
        )
    known: dict[str, Any] = {key: getattr(pair, key) for key in ("group_name", "date", "licence", "source")}
    known["shard"] = reader.shard_of(position)
    if store_content:
        known["text"] = pair.text
        try:
            known["thumbnail"] = None if pair.image is None else thumbnail(pair.image)
        except DataError as error:
            raise DataError(f"{reader.where(position)}: {error}; convert the collection again") from error
    return known

"""Pairs or features of several collections as one folder, to train on all of them at once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import check_folder
from mcmfh_lightning.shards import (
    SPLITS,
    DatasetInfo,
    FeatureShardReader,
    FeatureShardWriter,
    Pair,
    PairShardReader,
    PairShardWriter,
    merge_feature_parts,
    unpack_bits,
)
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.joined import JOINED, joined_name
from mcmfh_lightning.shards.packing import group_number
from mcmfh_lightning.shards.relabel import items_sha256, shards_sha256
from mcmfh_lightning.tables import listed, make_table, paragraph, quoted, show

_ROWS = 4096
"""Features that are copied at a time."""


def join(folder: str, *others: str, out: Path, name: str | None = None) -> None:
    """Join the pairs, or the features, of several collections in one folder.

    Splits stay as they are. Labels of one name are one label: convert or relabel the collections by maps of labels, so
    that they share a vocabulary. Items and groups are called COLLECTION/NAME, so that those of different collections
    stay apart.

    Args:
        folder: Local path or URL of a folder of pairs or features.
        others: More of them; features of the same encoder.
        out: Folder to write.
        name: Name of the whole in dataset.json. Default: the names of the collections, with + between them.
    """
    check_folder(out, "--out")
    infos = {place: DatasetInfo.load(ShardFolder(place).path) for place in (folder, *others)}
    if len(infos) < 2:
        raise DataError("join needs two folders or more: name the others behind the first")
    _check(infos)
    parts = [
        {
            "name": info.name,
            "items": {split: info.split(split).pairs for split in SPLITS},
            "labels": info.num_labels,
            "shards_sha256": shards_sha256(info),
            "pairs_sha256": items_sha256(info),
        }
        for info in infos.values()
    ]
    described: dict[str, Any] = {
        "name": name or "+".join(info.name for info in infos.values()),
        "source": "; ".join(dict.fromkeys(info.source for info in infos.values())),
        "licence": "; ".join(dict.fromkeys(info.licence for info in infos.values())),
        "label_vocabulary": tuple(dict.fromkeys(label for info in infos.values() for label in info.label_vocabulary)),
        "normal_label": next((info.normal_label for info in infos.values() if info.normal_label is not None), None),
    }
    console = Console(stderr=True)
    if infos[folder].format == "mcmfh-pairs":
        info = _join_pairs([PairShardReader(place, SPLITS) for place in infos], out, described, parts, console)
    else:
        readers = [FeatureShardReader(place, SPLITS) for place in infos]
        info = _join_features(readers, out, described, parts, console)
    _report(info, list(infos.values()), out)


def _check(infos: Mapping[str, DatasetInfo]) -> None:
    """Refuse folders that cannot be joined.

    Raises:
        DataError: If their formats, encoders or normal labels differ, two have one name, or a folder shares no label
            with any other.
    """
    (first, one), *rest = infos.items()
    names: dict[str, str] = {}
    for place, info in infos.items():
        if other := names.get(info.name):
            raise DataError(f"{other} and {place} are both called {info.name!r}: convert one with another --name")
        names[info.name] = place
        if "/" in info.name:
            raise DataError(f"{place} is called {info.name!r}: convert it with a --name that has no /")
    for place, info in rest:
        if info.format != one.format:
            raise DataError(f"{first} holds {one.format}, {place} {info.format}: join pairs, or features of each")
        if info.encoder != one.encoder:
            raise DataError(
                f"{first} and {place} were encoded by different encoders: encode the pairs of both by the same, or "
                "join the pairs and encode the whole"
            )
    normal = {info.normal_label: place for place, info in infos.items() if info.normal_label is not None}
    if len(normal) > 1:
        (label, place), (label_2, place_2), *_ = normal.items()
        raise DataError(
            f"the label that says that nothing was found is {label!r} in {place} and {label_2!r} in {place_2}: relabel "
            "them with --label-map"
        )
    counts = Counter(label for info in infos.values() for label in info.label_vocabulary)
    for place, info in infos.items():
        if all(counts[label] == 1 for label in info.label_vocabulary):
            raise DataError(
                f"no label of {place} ({quoted(info.label_vocabulary, 3)}) is a label of another folder: relabel all "
                "with --label-map, so that they share a vocabulary"
            )


def _join_pairs(
    readers: Sequence[PairShardReader],
    out: Path,
    described: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    console: Console,
) -> DatasetInfo:
    with PairShardWriter(out, **described, settings={"converter": "join", JOINED: parts}) as writer:
        for split in SPLITS:
            places = [(reader, row) for reader in readers for row in _rows(reader, split)]
            rest = places[writer.resume_from(split) :]
            for reader, row in track(rest, f"Writing {split}", console=console, disable=not rest):
                writer.write(split, _renamed(reader[row], reader.info.name))
    return DatasetInfo.load(out)


def _renamed(pair: Pair, collection: str) -> Pair:
    group = joined_name(collection, pair.group_name)
    return replace(pair, id=joined_name(collection, pair.id), group=group_number(group), group_name=group)


def _join_features(
    readers: Sequence[FeatureShardReader],
    out: Path,
    described: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    console: Console,
) -> DatasetInfo:
    one = readers[0].info
    info = DatasetInfo(
        format="mcmfh-features",
        **described,
        settings={"pairs": {"converter": "join", JOINED: parts}},
        splits={},
        encoder=one.encoder,
        image_dim=one.image_dim,
        text_dim=one.text_dim,
    )
    writer = FeatureShardWriter(out, rank=0)
    expected: dict[str, list[str]] = {split: [] for split in SPLITS}
    for split in SPLITS:
        chunks = [(reader, rows) for reader in readers for rows in _chunks(_rows(reader, split))]
        for reader, rows in track(chunks, f"Writing {split}", console=console, disable=not chunks):
            collection = reader.info.name
            ids = [joined_name(collection, reader.ids[row]) for row in rows]
            groups = [joined_name(collection, reader.group_names[row]) for row in rows]
            found = reader.gather(np.array(rows))
            labels = np.zeros((len(rows), info.num_labels), dtype=np.bool_)
            columns = [info.label_vocabulary.index(label) for label in reader.info.label_vocabulary]
            labels[:, columns] = unpack_bits(found["labels"], reader.info.num_labels)
            writer.write(
                split,
                ids,
                found["image"],
                found["text"],
                np.packbits(labels, axis=1),
                list(map(group_number, groups)),
                found["text_hash"],
                found["present"],
                groups,
            )
            expected[split] += ids
    writer.close()
    return merge_feature_parts(out, info, 1, expected_ids=expected)


def _rows(reader: PairShardReader | FeatureShardReader, split: str) -> range:
    """Return the rows of a split of a reader of all."""
    first = sum(reader.info.split(one).pairs for one in SPLITS[: SPLITS.index(split)])
    return range(first, first + reader.info.split(split).pairs)


def _chunks(rows: range) -> Iterator[range]:
    return (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))


def _report(info: DatasetInfo, joined: Sequence[DatasetInfo], out: Path) -> None:
    """Print what each collection gave, and which labels they share."""
    rows = [
        (part.name, *(f"{part.split(split).pairs:,}" for split in SPLITS), str(part.num_labels))
        for part in (*joined, info)
    ]
    table = make_table(f"{out}: {info.name}", ("collection", *SPLITS, "labels"), rows, numbers=(*SPLITS, "labels"))
    counts = Counter(label for part in joined for label in part.label_vocabulary)
    shared = [label for label in info.label_vocabulary if counts[label] > 1]
    are = "label is" if len(shared) == 1 else "labels are"
    show(table, paragraph(f"\n{len(shared)} {are} in more than one collection: {listed(shared)}"))

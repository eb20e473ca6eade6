"""Conversion of a collection to pair shards: split, verify, choose a vocabulary, write, and account for all items."""

import hashlib
import os
from collections import Counter
from collections.abc import Collection as Container
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.progress import track

from mcmfh_lightning.datasets.collection import Candidate, Collection, Unusable, check_images, image_bytes
from mcmfh_lightning.datasets.label_map import LabelMap, describe_label_map
from mcmfh_lightning.datasets.split_report import count_splits
from mcmfh_lightning.datasets.splits import SplitPlan, assign_splits
from mcmfh_lightning.errors import DataError, say
from mcmfh_lightning.images.png import ValueRange, check_value_range
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards import DATASET_FILE, SPLITS, DatasetInfo, Pair, PairShardWriter
from mcmfh_lightning.shards.folder import only_writer
from mcmfh_lightning.shards.labels import NORMAL, build_vocabulary, describe_broad_labels, share_probability
from mcmfh_lightning.shards.members import MAX_TEXT_CHARACTERS
from mcmfh_lightning.tables import make_table, paragraph

_TOP_LABELS = 6
_MOST_COUNTS = 12


def convert(
    collection: Collection,
    out: Path,
    *,
    name: str,
    source: str | None = None,
    split: SplitPlan,
    min_label_count: int,
    drop_labels: Container[str] = (),
    label_map: LabelMap | None = None,
    seed: int,
    settings: Mapping[str, Any],
    console: Console,
    value_range: ValueRange | None = None,
) -> DatasetInfo:
    """Write a collection as pair shards.

    Each image is decoded before anything is written, so that no later step meets a broken one; what a shard stores of
    it is decided by `mcmfh_lightning.images.decode`. The order of items in the shards is drawn from (seed, id), so that
    items which are read together are a sample of the whole and not one study after the other.

    Args:
        collection: What was read; it is not changed.
        out: Folder of the shards. One with an unfinished conversion of the same settings is completed.
        name: Name of the data set in ``dataset.json``.
        source: Source of the data set; by default the sources of its items.
        split: How the items are split.
        min_label_count: Number of items that a label needs to enter the vocabulary.
        drop_labels: Labels that never enter it, raw or canonical; how many items carry each is part of the summary.
        label_map: Map to the labels of another vocabulary, applied after the split: a split that is stratified by
            label is the same with and without a map.
        seed: Seed of the order, and of the split by group.
        settings: What else decides the content of the folder; stored and compared.
        console: Where progress is shown.
        value_range: Values that become black and white, of images with more than 8 bits and without a window; stored,
            so that queries are read alike.

    Raises:
        ConfigError: If ``value_range`` is not a range.
        DataError: If the collection or vocabulary is empty, the split cuts a group, the map is one of other labels, or
            the folder holds another conversion, is not whole, or is being written by another command.
    """
    value_range = check_value_range(value_range)
    settings = {
        **settings,
        "split_by": split.by,
        "split_shares": None if split.by == "given" else list(split.shares),
        **({"stratify": True} if split.stratify else {}),
        "min_label_count": min_label_count,
        "drop_labels": sorted(drop_labels),
        **({} if label_map is None else {"label_map_sha256": label_map.sha256}),
        "seed": seed,
        **({} if value_range is None else {"value_range": list(value_range)}),
        **_fingerprints(collection.candidates),
    }
    if (out / DATASET_FILE).exists():
        info = _require_same(out, name, settings)
        if lack := info.lacks(out):
            raise DataError(lack)
        say(f"{out} is already complete", console)
        return info
    collection = collection.copy()  # what is skipped from here on is added to its account
    if label_map is not None:
        label_map.check(collection.candidates)
        collection.normal_label = label_map.normal_label(collection.normal_label)
    accepted = _verify(collection, assign_splits(collection, split, seed), value_range, console)
    accepted, vocabulary, account = _choose_labels(
        collection, accepted, drop_labels, label_map, min_label_count, console
    )
    accepted.sort(key=lambda item: hashlib.sha256(f"{seed}:{item.id}".encode()).digest())
    summary = {
        "read": collection.read,
        "kept": dict(sorted(collection.kept.items())),
        **_depths(accepted, console),
        **account,
        **label_summary(accepted, vocabulary),
        **count_splits(accepted, vocabulary),
    }
    with (
        only_writer(out),
        PairShardWriter(
            out,
            name=name,
            source=source or "; ".join(sorted({item.source for item in accepted})),
            licence="; ".join(sorted({item.licence for item in accepted})),
            settings={**settings, "summary": summary},
            label_vocabulary=vocabulary,
            normal_label=collection.normal_label if collection.normal_label in vocabulary else None,
        ) as writer,
    ):
        for reason, items in collection.skipped.items():
            for skipped in items:
                writer.skip(reason, skipped)
        _write(writer, accepted, value_range, console)
        return writer.close()


def _choose_labels(
    collection: Collection,
    raw: Sequence[Candidate],
    drop_labels: Container[str],
    label_map: LabelMap | None,
    min_label_count: int,
    console: Console,
) -> tuple[list[Candidate], list[str], dict[str, Any]]:
    """Map and drop labels, and choose the vocabulary.

    Returns:
        The items with the labels that they keep, the vocabulary, and what of the summary is about labels left out.
    """
    items, mapping = (list(raw), {}) if label_map is None else label_map.apply(raw, drop_labels, console)
    carried = _carriers(raw) | _carriers(items)
    dropped = {label: carried[label] for label in sorted(set(drop_labels) & carried.keys())}
    if absent := sorted(set(drop_labels) - dropped.keys()):
        shown = ", ".join(map(repr, absent[:3])) + " ..." * (len(absent) > 3)
        near = did_you_mean(absent[0], carried)
        are = "label to drop is" if len(absent) == len(drop_labels) == 1 else "labels to drop are"
        say(f"{len(absent)} of {len(drop_labels)} {are} on no item: {shown}{near}", console)
    label_sets = ([x for x in item.labels if x not in drop_labels] for item in items)
    vocabulary = build_vocabulary(label_sets, min_label_count) if collection.labeled else []
    require_normal(collection, vocabulary, min_label_count, drop_labels)
    for before, item in zip(raw, items, strict=True):
        if set(item.labels).intersection(vocabulary):
            continue
        if set(before.labels).difference(drop_labels) and not item.labels:
            collection.note("without a label: none of its labels is in the label map")
        elif before.labels:
            collection.note("without a label: all dropped or below the minimum count")
    named = (*vocabulary, *mapping.get("lost", ()))
    account = {
        "dropped_labels": dropped,
        "label_gloss": {label: collection.gloss[label] for label in named if label in collection.gloss},
        **({"label_map": mapping} if mapping else {}),
    }
    return (
        [replace(item, labels=tuple(x for x in item.labels if x in vocabulary)) for item in items],
        vocabulary,
        account,
    )


def _carriers(items: Iterable[Candidate]) -> Counter[str]:
    """Count the items that carry each label."""
    return Counter(label for item in items for label in set(item.labels))


def _fingerprints(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Hash what the items are, in parts that a user may have changed since.

    Image files are identified by name and size: a look at the folder, not at gigabytes.
    """
    return {
        "images_sha256": _digest((c.id, c.image.name, c.image.stat().st_size) for c in candidates if c.image),
        "splits_sha256": _digest((c.id, c.split, c.date) for c in candidates),
        "items_sha256": _digest((c.id, c.text, c.labels, c.group, c.source, c.licence) for c in candidates),
    }


def _digest(rows: Iterable[tuple[object, ...]]) -> str:
    # The representation escapes line ends and lone surrogates. Rows leave out the names of groups: their numbers say as
    # much, and a folder of version 2, which has no names, still counts as finished by the same options.
    return hashlib.sha256("\n".join(sorted(map(ascii, rows))).encode()).hexdigest()


def _require_same(out: Path, name: str, settings: Mapping[str, Any]) -> DatasetInfo:
    info = DatasetInfo.load(out)
    stored = {"name": info.name, **{key: value for key, value in info.settings.items() if key != "summary"}}
    wanted = {"name": name, **settings}
    for key in wanted.keys() | stored.keys():
        if stored.get(key) != wanted.get(key):
            split = "or pass --no-stratify" if wanted.get(key) else "or leave out --no-stratify"
            fix = f"{split}, " if key == "stratify" else ""
            raise DataError(
                f"{out} holds a finished conversion with {key} = {stored.get(key)!r}, not {wanted.get(key)!r}: "
                f"choose another --out, {fix}or delete this folder first"
            )
    return info


def _verify(
    collection: Collection, assigned: Sequence[Candidate], value_range: ValueRange | None, console: Console
) -> list[Candidate]:
    """Decode the images; those that do not decode, and texts that are too long, are skipped."""
    checks = check_images((item.image for item in assigned if item.image is not None), value_range)
    accepted = []
    for item in track(assigned, "Decoding images", console=console):
        check = None if item.image is None else next(checks)
        if isinstance(check, Unusable):
            collection.skip(check.reason, item.id)
        elif item.text is not None and len(item.text) > MAX_TEXT_CHARACTERS:
            collection.skip(f"text over {MAX_TEXT_CHARACTERS:,} characters", item.id)
        else:
            accepted.append(replace(item, stored=check))
            for assumption in dict.fromkeys(check.assumed if check else ()):
                collection.note(assumption)
            if item.text is None:
                collection.note("image without a text")
            elif item.image is None:
                collection.note("text without an image")
    if not accepted:
        reasons = ", ".join(f"{reason}: {len(items)}" for reason, items in collection.skipped.items())
        raise DataError(f"no item is left to convert (skipped {reasons or 'nothing'}); check the paths given")
    return accepted


def require_normal(
    collection: Collection, vocabulary: Sequence[str], min_label_count: int, drop_labels: Container[str]
) -> None:
    """Refuse to lose a normal label that was named: without it, no query would count as abnormal."""
    if collection.normal_label in (NORMAL, *vocabulary):
        return
    if collection.normal_label in drop_labels:
        raise DataError(
            f"the normal label {collection.normal_label!r} is one of --drop-labels; take it out of that file, or leave "
            "out --normal-label where it was given"
        )
    raise DataError(
        f"the normal label {collection.normal_label!r} is on fewer than {min_label_count} items that can be used: "
        "lower --min-label-count, or leave out --normal-label where it was given"
    )


def _depths(accepted: Sequence[Candidate], console: Console) -> dict[str, Any]:
    """Count the images of each depth, if any is stored with more than 8 bits; warn if there are several depths.

    Not counted are those that a window, their own range or ``value_range`` scaled.
    """
    depths = Counter(item.stored.bits for item in accepted if item.stored is not None and item.stored.bits is not None)
    if depths.keys() <= {8}:
        return {}
    if len(depths) > 1:
        counts = ", ".join(f"{bits} bits: {depths[bits]:,}" for bits in sorted(depths))
        say(
            f"warning: images of several depths ({counts}), each scaled by its own; if they come from one kind of "
            "device, pass --value-range LOW HIGH to scale all of more than 8 bits alike",
            console,
        )
    return {"image_bits": {str(bits): depths[bits] for bits in sorted(depths)}}


def label_summary(accepted: Sequence[Candidate], vocabulary: Sequence[str]) -> dict[str, Any]:
    """Compute P(share a label), overall and by split, and count the pairs that carry each label."""
    chances: dict[str, float] = {}
    for split in ("all", *SPLITS):
        items = [item for item in accepted if split in ("all", item.split)]
        sharing = share_probability([item.labels for item in items], [item.group for item in items], vocabulary)
        chances[split] = round(sharing, 4)
    counts = Counter(label for item in accepted for label in item.labels)
    return {"share_probability": chances, "label_pairs": {label: counts[label] for label in vocabulary}}


def _write(
    writer: PairShardWriter, accepted: Sequence[Candidate], value_range: ValueRange | None, console: Console
) -> None:
    for split in SPLITS:
        items = [item for item in accepted if item.split == split]
        done = writer.resume_from(split)
        pairs = _pairs(items[done:], value_range)
        for pair in track(pairs, f"Writing {split}", total=len(items) - done, console=console):
            writer.write(split, pair)


def _pairs(items: Sequence[Candidate], value_range: ValueRange | None) -> Iterator[Pair]:
    """Make the pairs on every core, in order and a few at a time: a PNG of a film takes a second to write."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        for start in range(0, len(items), 4 * cores):
            yield from pool.map(partial(_pair, value_range=value_range), items[start : start + 4 * cores])


def _pair(c: Candidate, value_range: ValueRange | None) -> Pair:
    data = image_format = None
    if c.image is not None and c.stored is not None:
        data = c.image.read_bytes() if c.stored.unchanged else image_bytes(c.image, value_range)
        image_format = c.stored.format
    return Pair(c.id, data, image_format, c.text, c.labels, c.group, c.date, c.source, c.licence, c.group_name)


def summary_table(info: DatasetInfo) -> Group:
    """Render the splits, what was skipped, read and kept, and the labels of a converted data set."""
    summary = info.settings["summary"]
    chances = summary["share_probability"]
    total = sum(entry.pairs for entry in info.splits.values())
    rows = [("pairs written", f"{total:,}", _joined(f"{name} {entry.pairs:,}" for name, entry in info.splits.items()))]
    rows.append(
        ("P(share a label)", f"{chances['all']:.3f}", _joined(f"{split} {chances[split]:.3f}" for split in info.splits))
    )
    rows += [
        ("skipped", f"{count:,}", f"{reason}: {', '.join(info.skipped_examples[reason][:2])}")
        for reason, count in info.skipped.items()
    ]
    rows += [(name, "", _counts(summary[name])) for name in ("read", "kept") if summary[name]]
    rows.append(("labels", f"{len(summary['label_pairs']):,}", _frequent_labels(info, total)))
    if dropped := summary["dropped_labels"]:
        rows.append(("labels dropped", f"{len(dropped):,}", f"on purpose: {_counts(dropped)}"))
    title = f"{info.name}: {info.source}; {info.licence}"
    table = make_table(title, ("what", "count", "of these"), rows, numbers=("count",), header=False)
    shares = {label: count / total for label, count in summary["label_pairs"].items()}
    remarks = (describe_label_map(info), describe_broad_labels(chances["all"], shares, info.normal_label))
    return Group(table, *(paragraph(remark) for remark in remarks if remark))


def _joined(parts: Iterable[str]) -> str:
    # Labels and file names may hold commas.
    return "; ".join(parts)


def _counts(counts: Mapping[str, int]) -> str:
    most = [(what, count) for what, count in Counter(counts).most_common() if count]
    more = f"; and {len(most) - _MOST_COUNTS} more" if len(most) > _MOST_COUNTS else ""
    return _joined(f"{what} {count:,}" for what, count in most[:_MOST_COUNTS]) + more


def _frequent_labels(info: DatasetInfo, total: int) -> str:
    """List the most frequent labels, each with its word if it has one, and its share of the pairs."""
    summary = info.settings["summary"]
    counts, gloss = summary["label_pairs"], summary["label_gloss"]
    shown = info.label_vocabulary[:_TOP_LABELS]
    named = _joined(
        f"{label}{f' ({gloss[label]})' if label in gloss else ''} {counts[label] / total:.1%}" for label in shown
    )
    more = len(info.label_vocabulary) - len(shown)
    return f"{named}; and {more:,} more" if more else named

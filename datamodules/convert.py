"""From a collection to pair shards: split, verify, choose the vocabulary, write, and account for everything."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import track

from mcmfh_lightning.datamodules.collection import Candidate, Collection
from mcmfh_lightning.datamodules.images import Unusable, check_images
from mcmfh_lightning.datamodules.labels import NORMAL, build_vocabulary, share_probability
from mcmfh_lightning.datamodules.shards import DATASET_FILE, SPLITS, DatasetInfo, Pair, PairShardWriter
from mcmfh_lightning.datamodules.shards.info import Split
from mcmfh_lightning.datamodules.shards.pair import ImageFormat
from mcmfh_lightning.datamodules.splits import SplitRow, require_disjoint, split_by_date, split_by_study
from mcmfh_lightning.errors import DataError

SplitBy = Literal["csv", "study", "date"]
NOT_IN_CSV = "not in the splits CSV"
NO_DATE = "no study date"
RARE_ONLY = "without a label: all below the minimum count"


@dataclass(frozen=True)
class Accepted:
    """A candidate that decodes, with the true format of its image and its split."""

    candidate: Candidate
    image_format: ImageFormat
    split: Split


def convert(
    collection: Collection,
    out: Path,
    *,
    name: str,
    split_by: SplitBy,
    rows: Mapping[str, SplitRow] | None,
    min_label_count: int,
    seed: int,
    settings: Mapping[str, Any],
    console: Console,
) -> DatasetInfo:
    """Write a collection as pair shards.

    Images are decoded in full before anything is written, so that no later step meets a broken one; their bytes are
    stored as they are. Pairs lie in the shards in an order drawn from (seed, id), so that pairs which are read
    together are a sample of the whole and not one study after the other.

    Args:
        collection: what was read; left as it is.
        out: folder of the shards. One with an unfinished conversion of the same settings is completed.
        name: name of the data set in ``dataset.json``.
        split_by: ``csv`` takes the splits of ``rows``, ``study`` draws them, ``date`` cuts in time.
        rows: the splits CSV; its dates are stored with the pairs whatever ``split_by``.
        min_label_count: pairs a label needs to enter the vocabulary.
        seed: of the order, and of the split by study.
        settings: what else decides the content of the folder; stored and compared.
        console: where progress is shown.

    Raises:
        DataError: an empty collection or vocabulary, a split that cuts a study, or a folder of another conversion.
    """
    settings = {
        **settings,
        "split_by": split_by,
        "min_label_count": min_label_count,
        "seed": seed,
        "images_sha256": _listing_hash(collection.candidates),
        "splits_sha256": None if rows is None else _table_hash(rows),
    }
    if (out / DATASET_FILE).exists():
        info = _require_same(out, name, settings)
        console.print(f"{out} is already complete", markup=False, soft_wrap=True)
        return info
    collection = collection.copy()  # what is skipped from here on is added to its account
    accepted = _verify(collection, _assign(collection, split_by, rows, seed), console)
    vocabulary = build_vocabulary((item.candidate.labels for item in accepted), min_label_count)
    accepted = [_restrict(item, vocabulary, collection) for item in accepted]
    accepted.sort(key=lambda item: hashlib.sha256(f"{seed}:{item.candidate.id}".encode()).digest())
    summary = {"read": collection.read, "kept": dict(sorted(collection.kept.items()))} | _sharing(accepted, vocabulary)
    with PairShardWriter(
        out,
        name=name,
        source=_joined(item.candidate.source for item in accepted),
        licence=_joined(item.candidate.licence for item in accepted),
        settings={**settings, "summary": summary},
        label_vocabulary=vocabulary,
        normal_label=NORMAL if NORMAL in vocabulary else None,
    ) as writer:
        for reason, items in collection.skipped.items():
            for item in items:
                writer.skip(reason, item)
        _write(writer, accepted, console)
        return writer.close()


def _listing_hash(candidates: Sequence[Candidate]) -> str:
    """Identify the image files by name and size: a look at the folder, not at gigabytes."""
    lines = sorted(f"{candidate.image.name} {candidate.image.stat().st_size}" for candidate in candidates)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _table_hash(rows: Mapping[str, SplitRow]) -> str:
    lines = sorted(f"{image_id} {row.split} {row.date}" for image_id, row in rows.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _require_same(out: Path, name: str, settings: Mapping[str, Any]) -> DatasetInfo:
    info = DatasetInfo.load(out)
    stored = {"name": info.name, **{key: value for key, value in info.settings.items() if key != "summary"}}
    wanted = {"name": name, **settings}
    for key in wanted.keys() | stored.keys():
        if stored.get(key) != wanted.get(key):
            raise DataError(
                f"{out} holds a finished conversion with {key} = {stored.get(key)!r}, not {wanted.get(key)!r}: "
                "choose another --out, or delete this folder first"
            )
    return info


def _assign(
    collection: Collection, split_by: SplitBy, rows: Mapping[str, SplitRow] | None, seed: int
) -> list[tuple[Candidate, Split]]:
    """Give each candidate its date and its split; those that have none are skipped."""
    candidates = collection.candidates
    if rows is not None:
        dated = []
        for candidate in candidates:
            row = rows.get(candidate.id)
            if row is None or (split_by == "csv" and row.split is None):
                collection.skip(NOT_IN_CSV, candidate.id)
            else:
                dated.append(replace(candidate, date=row.date))
        candidates = dated
    if split_by == "csv":
        return _from_csv(candidates, rows or {})
    if split_by == "study":
        of_study = split_by_study((candidate.group for candidate in candidates), seed)
        return [(candidate, of_study[candidate.group]) for candidate in candidates]
    return _by_date(collection, candidates)


def _from_csv(candidates: Sequence[Candidate], rows: Mapping[str, SplitRow]) -> list[tuple[Candidate, Split]]:
    assigned = [(c, split) for c in candidates if (split := rows[c.id].split) is not None]
    require_disjoint(
        {candidate.id: split for candidate, split in assigned},
        {candidate.id: candidate.group for candidate, _ in assigned},
    )
    return assigned


def _by_date(collection: Collection, candidates: Sequence[Candidate]) -> list[tuple[Candidate, Split]]:
    dates: dict[int, str] = {}  # a study's date is the earliest of its images'
    for candidate in candidates:
        if candidate.date is not None:
            dates[candidate.group] = min(candidate.date, dates.get(candidate.group, candidate.date))
    if not dates:
        raise DataError(
            "--split-by date: no study has a date. Open-i's reports carry only their day of publication; pass study "
            "dates (from the DICOM files) as column study_date of --splits"
        )
    of_study = split_by_date(dates, Counter(c.group for c in candidates if c.group in dates))
    for candidate in candidates:
        if candidate.group not in dates:
            collection.skip(NO_DATE, candidate.id)
    return [(candidate, of_study[candidate.group]) for candidate in candidates if candidate.group in dates]


def _verify(collection: Collection, assigned: Sequence[tuple[Candidate, Split]], console: Console) -> list[Accepted]:
    checks = check_images(candidate.image for candidate, _ in assigned)
    accepted = []
    for (candidate, split), check in track(
        zip(assigned, checks, strict=True), "Decoding images", total=len(assigned), console=console
    ):
        if isinstance(check, Unusable):
            collection.skip(check.reason, candidate.id)
        else:
            accepted.append(Accepted(candidate, check.format, split))
    if not accepted:
        reasons = ", ".join(f"{reason}: {len(items)}" for reason, items in collection.skipped.items())
        raise DataError(f"no pair is left to convert (skipped {reasons or 'nothing'}); check --images and --splits")
    return accepted


def _restrict(item: Accepted, vocabulary: Sequence[str], collection: Collection) -> Accepted:
    """Drop the labels that are not in the vocabulary."""
    labels = tuple(label for label in item.candidate.labels if label in vocabulary)
    if item.candidate.labels and not labels:
        collection.note(RARE_ONLY)
    return replace(item, candidate=replace(item.candidate, labels=labels))


def _sharing(accepted: Sequence[Accepted], vocabulary: Sequence[str]) -> dict[str, Any]:
    """P(share a label), overall and by split, and how many pairs carry each label."""
    chances: dict[str, float] = {}
    for split in ("all", *SPLITS):
        candidates = [item.candidate for item in accepted if split in ("all", item.split)]
        sharing = share_probability([c.labels for c in candidates], [c.group for c in candidates], vocabulary)
        chances[split] = round(sharing, 4)
    counts = Counter(label for item in accepted for label in item.candidate.labels)
    return {"share_probability": chances, "label_pairs": {label: counts[label] for label in vocabulary}}


def _joined(values: Iterable[str]) -> str:
    return "; ".join(sorted(set(values)))


def _write(writer: PairShardWriter, accepted: Sequence[Accepted], console: Console) -> None:
    for split in SPLITS:
        items = [item for item in accepted if item.split == split]
        done = writer.resume_from(split)
        remaining = islice(items, done, None)
        for item in track(remaining, f"Writing {split}", total=len(items) - done, console=console):
            c = item.candidate
            pair = Pair(
                c.id, c.image.read_bytes(), item.image_format, c.text, c.labels, c.group, c.date, c.source, c.licence
            )
            writer.write(split, pair)

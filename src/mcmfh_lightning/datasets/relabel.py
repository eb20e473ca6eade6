"""New labels for pairs that are converted or encoded already: a copy of their shards, without encoding again."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.datasets.convert import label_summary, require_normal
from mcmfh_lightning.datasets.table.label_table import read_labels
from mcmfh_lightning.datasets.table.rows import Reading
from mcmfh_lightning.errors import DataError, say, without_controls
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards import DATASET_FILE, SPLITS, DatasetInfo, FeatureShardReader, PairShardReader, unpack_bits
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.labels import NORMAL, build_vocabulary, describe_broad_labels, read_drop_labels
from mcmfh_lightning.shards.relabel import conversion, relabeled_settings, write_relabeled

_TOP_LABELS = 10
_Reader = PairShardReader | FeatureShardReader


def relabel(
    folder: str,
    *,
    out: Path,
    labels: Path | None = None,
    id_column: str = "id",
    labels_column: str = "labels",
    label_columns: list[str] | None = None,
    label_separator: str = ";",
    uncertain_is_present: bool = False,
    normal_label: list[str] | None = None,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    min_label_count: int = 1,
    drop_labels: Path | None = None,
    allow_missing: bool = False,
    allow_unknown: bool = False,
) -> None:
    """Give pairs or features other labels: copy their folder without converting or encoding again.

    Pictures, texts, embeddings, groups, dates and splits stay as they are; for other groups or splits convert again.
    Relabel pairs and features alike, by the same table.

    Args:
        folder: Local path or URL of a folder of pair or feature shards.
        out: Folder to write.
        labels: .csv, .tsv, .jsonl or .parquet with a row for each pair: its id and its labels. Default: the labels that
            the pairs have, for --drop-labels and --min-label-count.
        id_column: Column of the ids.
        labels_column: Column of the labels: a list of strings, or one string with separators.
        label_columns: Several columns of labels in place of one, each of words, or of 1, 0, -1 or nothing where it says
            whether the finding that it is named after is present, absent, uncertain or not mentioned.
        label_separator: Separator of the labels of a string.
        uncertain_is_present: Let -1 in a column of a finding count as present.
        normal_label: Names of the label that says that nothing was found; all become the first. Default: normal.
        encoding: Encoding of .csv, .tsv and .jsonl, with or without a byte order mark.
        delimiter: Character between the fields of a .csv, such as ';'. Default: the comma, and of .tsv the tab.
        min_label_count: Number of pairs that a label needs to enter the vocabulary.
        drop_labels: File of labels to leave out, one a line.
        allow_missing: Give pairs without a row no labels. Default: they are an error.
        allow_unknown: Leave out rows of ids that no pair has. Default: they are an error.
    """
    reading = None
    if labels is not None:
        if label_columns and labels_column != "labels":
            raise DataError("--labels-column and --label-columns: pass one of them, with all columns of labels")
        reading = Reading(
            columns={"id": id_column, **({} if label_columns else {"labels": labels_column})},
            label_columns=label_columns or [],
            encoding=encoding,
            delimiter=delimiter,
            label_separator=label_separator,
            uncertain_is_present=uncertain_is_present,
            normal_labels=normal_label or [],
        )
    elif drop_labels is None and min_label_count == 1:
        raise DataError("nothing to change: pass --labels TABLE, or --drop-labels FILE for fewer labels")
    if labels is None and (
        label_columns or normal_label or allow_missing or allow_unknown or labels_column != "labels"
    ):
        raise DataError("without --labels TABLE the labels stay: leave out the options about the table, or name it")
    source = ShardFolder(folder)
    before = DatasetInfo.load(source.path)
    reader: _Reader
    reader = PairShardReader(source, SPLITS) if before.format == "mcmfh-pairs" else FeatureShardReader(source, SPLITS)
    console = Console(stderr=True)
    items, normal = _items(reader), before.normal_label or NORMAL
    how: dict[str, Any] = {"table": None}
    if labels is not None and reading is not None:
        new = read_labels(labels, reading, items)
        new.check_match(folder, allow_missing=allow_missing, allow_unknown=allow_unknown)
        lost = _lost_normal(before, reading.normal_label, new.labels.values(), folder)
        for hint in [*lost, *new.hints]:
            _print(console, f"hint: {labels}: {hint}")
        items, normal = [replace(item, labels=new.labels.get(item.id, ())) for item in items], reading.normal_label
        how = {"table": labels.name, "table_sha256": sha256_of(labels), "reading": _decisive(reading)}
        how |= {"pairs_without_row": len(new.missing), "rows_without_pair": len(new.unknown)}
    how |= {"min_label_count": min_label_count, "drop_labels": sorted(read_drop_labels(drop_labels))}
    info, items = _entry(before, items, normal, how, console)
    finished = _finished(out, info)
    if finished is None:
        finished = write_relabeled(reader, [item.labels for item in items], info, out)
    else:
        _print(console, f"{out} is already complete")
    _report(before, finished, folder, out)


def _print(console: Console, line: str) -> None:
    console.print(without_controls(line), markup=False, highlight=False, soft_wrap=True)


def _items(reader: _Reader) -> list[Candidate]:
    """List the pairs with the labels that they have."""
    info = reader.info
    names = sorted(info.label_vocabulary)
    columns = [info.label_vocabulary.index(name) for name in names]
    hot = unpack_bits(reader.labels, info.num_labels)[:, columns]
    split_of = [split for split in SPLITS for _ in range(info.split(split).pairs)]
    known = zip(reader.ids, reader.groups.tolist(), reader.group_names, split_of, hot.tolist(), strict=True)
    return [
        Candidate(
            id=name,
            image=None,
            text=None,
            labels=tuple(label for label, has in zip(names, row, strict=True) if has),
            group=group,
            source=info.source,
            licence=info.licence,
            split=split,
            group_name=group_name,
        )
        for name, group, group_name, split, row in known
    ]


def _decisive(reading: Reading) -> dict[str, object]:
    """Return what of a reading decides labels."""
    names = ("columns", "label_columns", "encoding", "label_separator", "uncertain_is_present", "normal_labels")
    given = {} if reading.delimiter is None else {"delimiter": reading.delimiter}
    return {name: getattr(reading, name) for name in names} | given


def _lost_normal(before: DatasetInfo, normal: str, labels: Iterable[Sequence[str]], folder: str) -> list[str]:
    """Say that the normal label of the pairs would become a finding."""
    former = before.normal_label
    if former is None or former == normal or not any(former in row for row in labels):
        return []
    return [
        f"{former!r} is the normal label of {folder}, and would be a finding from here on; if it still says that "
        f"nothing was found, pass --normal-label {quote(former)}"
    ]


def _entry(
    before: DatasetInfo, items: Sequence[Candidate], normal: str, how: Mapping[str, Any], console: Console
) -> tuple[DatasetInfo, list[Candidate]]:
    """Choose the vocabulary as a conversion does; return the entry of the copy and the items with its labels."""
    dropped = frozenset(how["drop_labels"])
    counts = Counter(label for item in items for label in item.labels)
    for label in sorted(dropped - counts.keys()):
        _print(console, f"hint: label {label!r} of --drop-labels is on no pair{did_you_mean(label, counts)}")
    kept = [[label for label in item.labels if label not in dropped] for item in items]
    vocabulary = build_vocabulary(kept, how["min_label_count"])
    require_normal(Collection(normal_label=normal), vocabulary, how["min_label_count"], dropped)
    known = frozenset(vocabulary)
    items = [replace(item, labels=tuple(label for label in item.labels if label in known)) for item in items]
    gloss = conversion(before).get("summary", {}).get("label_gloss", {})
    summary = {
        "dropped_labels": {label: counts[label] for label in sorted(dropped & counts.keys())},
        "label_gloss": {label: gloss[label] for label in vocabulary if label in gloss},
        **label_summary(items, vocabulary),
    }
    info = replace(
        before,
        label_vocabulary=tuple(vocabulary),
        normal_label=normal if normal in known else None,
        settings=relabeled_settings(before, how, summary),
        splits={},
    )
    return info, items


def _finished(out: Path, info: DatasetInfo) -> DatasetInfo | None:
    """Return the entry of ``out`` if this command has finished it before."""
    if not (out / DATASET_FILE).exists():
        return None
    found = DatasetInfo.load(out)
    return found if replace(found, splits={}) == replace(info, splits={}) else None


def _report(before: DatasetInfo, info: DatasetInfo, folder: str, out: Path) -> None:
    """Print what was written, what did not match, and the labels."""
    settings = conversion(info)
    how, summary = settings["relabeled"], settings["summary"]
    total = sum(entry.pairs for entry in info.splits.values())
    say(f"{out}: the {total:,} pairs of {folder} with {info.num_labels:,} labels ({before.num_labels:,} before)")
    if how["table"] is not None:
        missing, unknown = how["pairs_without_row"], how["rows_without_pair"]
        say(f"{how['table']}: pairs without a row, which have no labels: {missing:,}; rows left out: {unknown:,}")
    chance, counts = summary["share_probability"]["all"], summary["label_pairs"]
    say(f"chance that two pairs of different groups share a label: {chance:.3f}")
    table = Table("label", Column("pairs", justify="right"), Column("share", justify="right"))
    for label in info.label_vocabulary[:_TOP_LABELS]:
        table.add_row(Text(without_controls(label)), f"{counts[label]:,}", f"{counts[label] / total:.1%}")
    console = Console()
    console.print(table)
    if len(counts) > _TOP_LABELS:
        say(f"... and {len(counts) - _TOP_LABELS:,} more labels: mcmfh-data stats {out}")
    shares = {label: count / total for label, count in counts.items()}
    if broad := describe_broad_labels(chance, shares, info.normal_label):
        console.print(Text(without_controls(broad)))

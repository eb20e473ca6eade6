"""New labels for pairs that are converted or encoded already: a copy of their shards, without encoding again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console

from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.datasets.convert import label_summary, require_normal
from mcmfh_lightning.datasets.label_map import LabelMap, describe_label_map, read_label_map
from mcmfh_lightning.datasets.table.files import read_table
from mcmfh_lightning.datasets.table.label_hints import label_rules, look_at_labels
from mcmfh_lightning.datasets.table.problems import by_kind, rows_of
from mcmfh_lightning.datasets.table.read import columns_there, refuse_one_column
from mcmfh_lightning.datasets.table.rows import Manifest, Problem, Reading
from mcmfh_lightning.datasets.table.values import BadValueError, read_id
from mcmfh_lightning.errors import DataError, say
from mcmfh_lightning.files import check_folder, sha256_of
from mcmfh_lightning.nearest import did_you_mean, nearest
from mcmfh_lightning.shards import DATASET_FILE, SPLITS, DatasetInfo, FeatureShardReader, PairShardReader, unpack_bits
from mcmfh_lightning.shards.folder import ShardFolder, only_writer
from mcmfh_lightning.shards.labels import NORMAL, build_vocabulary, describe_broad_labels, read_drop_labels
from mcmfh_lightning.shards.relabel import conversion, relabeled_settings, write_relabeled
from mcmfh_lightning.tables import counted, make_table, paragraph, quoted, show

_TOP_LABELS = 10
_MOST_COMPARED = 10_000  # ids, for the nearest one
_FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
_EXAMPLES = 3
_DECISIVE = ("columns", "label_columns", "encoding", "label_separator", "uncertain_is_present", "normal_labels")
"""What of a reading decides labels."""
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
    label_map: str | None = None,
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
        label_map: Map of the labels to another vocabulary: chest for the shipped one of the collection, or a CSV with
            the columns raw_label and canonical_label.
        allow_missing: Give pairs without a row no labels. Default: they are an error.
        allow_unknown: Leave out rows of ids that no pair has. Default: they are an error.
    """
    if labels is None:
        if drop_labels is None and label_map is None and min_label_count == 1:
            raise DataError(
                "nothing to change: pass --labels TABLE, or --drop-labels FILE for fewer labels, or --label-map MAP"
            )
        if label_columns or normal_label or allow_missing or allow_unknown or labels_column != "labels":
            raise DataError("without --labels TABLE the labels stay: leave out the options about the table, or name it")
    if label_columns and labels_column != "labels":
        raise DataError("--labels-column and --label-columns: pass one of them, with all columns of labels")
    check_folder(out, "--out")
    source = ShardFolder(folder)
    before = DatasetInfo.load(source.path)
    # Labels of a table need not be those of the collection.
    chosen_map = read_label_map(label_map, conversion(before).get("converter", "") if labels is None else "")
    reader: _Reader
    reader = PairShardReader(source, SPLITS) if before.format == "mcmfh-pairs" else FeatureShardReader(source, SPLITS)
    console = Console(stderr=True)
    items, normal = _items(reader), before.normal_label or NORMAL
    how: dict[str, Any] = {"table": None}
    if labels is not None:
        reading = Reading(
            columns={"id": id_column, **({} if label_columns else {"labels": labels_column})},
            label_columns=label_columns or [],
            encoding=encoding,
            delimiter=delimiter,
            label_separator=label_separator,
            uncertain_is_present=uncertain_is_present,
            normal_labels=normal_label or [],
        )
        new = _read_labels(labels, reading, items)
        new.check_match(folder, allow_missing=allow_missing, allow_unknown=allow_unknown)
        former, normal = before.normal_label, reading.normal_label
        if former not in (None, normal) and any(former in row for row in new.labels.values()):
            new.hints.insert(
                0,
                f"{former!r} is the normal label of {folder}, and would be a finding from here on; if it still says "
                f"that nothing was found, pass --normal-label {quote(str(former))}",
            )
        for hint in new.hints:
            say(f"hint: {labels}: {hint}", console)
        items = [replace(item, labels=new.labels.get(item.id, ())) for item in items]
        kept = {name: value for name, value in reading.settings().items() if name in (*_DECISIVE, "delimiter")}
        how = {"table": labels.name, "table_sha256": sha256_of(labels), "reading": kept}
        how |= {"pairs_without_row": len(new.missing), "rows_without_pair": len(new.unknown)}
    how |= {"min_label_count": min_label_count, "drop_labels": sorted(read_drop_labels(drop_labels))}
    info, items = _entry(before, items, normal, how, chosen_map, console)
    finished = DatasetInfo.load(out) if (out / DATASET_FILE).exists() else None
    if finished is not None and replace(finished, splits={}) == replace(info, splits={}):  # by this command
        if lack := finished.lacks(out):
            raise DataError(lack)
        say(f"{out} is already complete", console)
        info = finished
    else:
        with only_writer(out):
            info = write_relabeled(reader, [item.labels for item in items], info, out, console)
    _report(before, info, folder, out)


def _items(reader: _Reader) -> list[Candidate]:
    """List the pairs with the labels that they have."""
    info = reader.info
    names = sorted(info.label_vocabulary)
    columns = [info.label_vocabulary.index(name) for name in names]
    hot = unpack_bits(reader.labels, info.num_labels)[:, columns]
    split_of = [split for split in SPLITS for _ in range(info.split(split).pairs)]
    labels = [tuple(label for label, has in zip(names, row, strict=True) if has) for row in hot.tolist()]
    known = zip(reader.ids, labels, reader.groups.tolist(), split_of, reader.group_names, strict=True)
    return [
        Candidate(name, None, None, held, group, info.source, info.licence, split=split, group_name=group_name)
        for name, held, group, split, group_name in known
    ]


@dataclass
class _NewLabels:
    """Labels that a table gives to pairs.

    Attributes:
        path: The table.
        labels: Labels by id, of the pairs that have a row.
        missing: Ids of the pairs that have none.
        unknown: Ids of rows that no pair has.
        hints: What may be wrong with the labels.
    """

    path: Path
    labels: dict[str, tuple[str, ...]]
    missing: list[str]
    unknown: list[str]
    hints: list[str]

    def check_match(self, folder: str, *, allow_missing: bool, allow_unknown: bool) -> None:
        """Refuse ids that do not match.

        Args:
            folder: Name of the folder of the pairs, for the message.
            allow_missing: Whether pairs may be without a row.
            allow_unknown: Whether rows may be of no pair.

        Raises:
            DataError: If there are such pairs or rows, or no pair has a row.
        """
        pairs = len(self.labels) + len(self.missing)
        missing = [] if allow_missing and self.labels else self.missing
        unknown = [] if allow_unknown and self.labels else self.unknown
        complaints, options = [], []
        if missing:
            have = "pair has" if len(missing) == 1 else "pairs have"
            complaints.append(f"{len(missing):,} of the {pairs:,} {have} no row ({_examples(missing)})")
            options.append("--allow-missing (such pairs get no labels)")
        if unknown:
            near = nearest(unknown[0], missing[:_MOST_COMPARED], 1)
            hint = f"; the nearest to the first is {near[0]!r}" if near else ""
            complaints.append(f"{counted(len(unknown), 'row is', 'rows are')} of no pair ({_examples(unknown)}{hint})")
            options.append("--allow-unknown (such rows are left out)")
        if complaints:
            fix = f"correct the ids, or pass {' and '.join(options)}"
            if not self.labels:
                fix = "write the ids of the pairs into the table, or name the column that holds them by --id-column"
            raise DataError(f"{self.path} does not fit {folder}: {' and '.join(complaints)}; {fix}")


def _read_labels(path: Path, reading: Reading, items: Sequence[Candidate]) -> _NewLabels:
    """Read the labels of each row whose id a pair has.

    Args:
        path: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``.
        reading: Names of columns and so on; those of ids and of labels are read.
        items: The pairs.

    Raises:
        DataError: If the file cannot be read, a column is missing, a row is bad or no row has a label; the message
            counts each kind of problem and shows the first.
    """
    if path.suffix.lower() not in _FORMATS:
        raise DataError(f"--labels {path}: tables of labels end in {', '.join(_FORMATS)}; save it as one of these")
    if not path.is_file():
        raise DataError(f"--labels {path}: no such file; correct its name")
    table = read_table(path, reading.encoding, reading.wanted(), reading.delimiter)
    reading = reading.of_table(table.columns)
    _check_columns(path, table.columns, reading)
    if not table.rows and not table.problems:
        raise DataError(f"{path}: no row; write one for each pair, with its id and its labels")
    rules = label_rules(path, table, reading)
    manifest = Manifest(path, reading, "given", unread=[], problems=list(table.problems))
    by_id = {item.id: item for item in items}
    rows: dict[str, int] = {}
    unknown, ids = [], reading.columns["id"]
    for row in table.rows:
        try:
            name = read_id(row.values.get(ids))
            if (first := rows.setdefault(name, row.number)) != row.number:
                detail = f"{name!r} is in row {first}"
                manifest.problems.append(Problem(row.number, "duplicate id", "keep one row for each pair", detail, ids))
            elif name in by_id:
                cells = {column: row.values.get(column) for column in reading.columns_of_labels}
                labels = rules.read(cells, lambda note: None)
                manifest.candidates[row.number] = replace(by_id[name], labels=labels)
            else:
                unknown.append(name)
        except BadValueError as error:
            column = error.column or ids
            manifest.problems.append(Problem(row.number, error.reason, error.fix, error.detail, column))
    if manifest.problems:
        kinds = ", ".join(f"{reason}: {len(held):,}" for reason, held in by_kind(manifest.problems).items())
        bad = counted(len(rows_of(manifest.problems)), "row is", "rows are")
        line = min(manifest.problems, key=lambda problem: problem.row).line(path)
        raise DataError(f"{path}: {bad} bad ({kinds}), so nothing was written; the first: {line}")
    found = {item.id: item.labels for item in manifest.candidates.values()}
    if found and not any(found.values()):
        raise DataError(
            f"{path}: no row has a label in {quoted(reading.columns_of_labels)}; fill it in, or read others by "
            "--labels-column or --label-columns"
        )
    hints = look_at_labels(manifest, table, rules) if found else []
    return _NewLabels(path, found, sorted(by_id.keys() - found.keys()), unknown, hints)


def _check_columns(path: Path, found: Sequence[str], reading: Reading) -> None:
    refuse_one_column(path, found)
    option = "--label-columns" if reading.label_columns else "--labels-column"
    options = {**dict.fromkeys(reading.columns_of_labels, option), reading.columns["id"]: "--id-column"}
    for name, flag in options.items():
        if name not in found:
            there = columns_there(path, found, reading.encoding)
            near = f"({there}){did_you_mean(name, found) or ';'}"
            raise DataError(f"{path}, row 1: no column {name!r} {near} name the right one by {flag}")
        if found.count(name) > 1:
            raise DataError(f"{path}, row 1: column {name!r} occurs twice; rename or remove one")


def _examples(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_EXAMPLES])) + ", ..." * (len(names) > _EXAMPLES)


def _entry(
    before: DatasetInfo,
    items: Sequence[Candidate],
    normal: str,
    how: Mapping[str, Any],
    label_map: LabelMap | None,
    console: Console,
) -> tuple[DatasetInfo, list[Candidate]]:
    """Choose the vocabulary as a conversion does; return the entry of the copy and the items with its labels."""
    dropped = frozenset(how["drop_labels"])
    former = conversion(before).get("summary", {})
    # What an earlier map lost says nothing about the labels of a table.
    account: dict[str, Any] = {"label_map": None} if "label_map" in former and how["table"] is not None else {}
    counts = Counter(label for item in items for label in item.labels)
    if label_map is not None:
        if how["table"] is None and (former.get("label_map") or {}).get("sha256") == label_map.sha256:
            raise DataError(f"--label-map {label_map.name}: the labels are those of this map already; leave it out")
        label_map.check(items)
        normal = label_map.normal_label(normal)
        items, account["label_map"] = label_map.apply(items, dropped, console)
        how = {**how, "label_map_sha256": label_map.sha256}
        counts |= Counter(label for item in items for label in item.labels)
    for label in sorted(dropped - counts.keys()):
        say(f"hint: label {label!r} of --drop-labels is on no pair{did_you_mean(label, counts)}", console)
    kept = [[label for label in item.labels if label not in dropped] for item in items]
    vocabulary = build_vocabulary(kept, how["min_label_count"])
    require_normal(Collection(normal_label=normal), vocabulary, how["min_label_count"], dropped)
    known = frozenset(vocabulary)
    items = [replace(item, labels=tuple(label for label in item.labels if label in known)) for item in items]
    gloss = former.get("label_gloss", {})
    named = (*vocabulary, *((account.get("label_map") or {}).get("lost", ())))
    summary = {
        **account,
        "dropped_labels": {label: counts[label] for label in sorted(dropped & counts.keys())},
        "label_gloss": {label: gloss[label] for label in named if label in gloss},
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
    shares = {label: count / total for label, count in counts.items()}
    top = [(label, f"{counts[label]:,}", f"{shares[label]:.1%}") for label in info.label_vocabulary[:_TOP_LABELS]]
    more = f"... and {len(counts) - _TOP_LABELS:,} more labels: mcmfh-data stats {out}"
    remarks = [more] if len(counts) > _TOP_LABELS else []
    remarks += filter(None, [describe_label_map(info), describe_broad_labels(chance, shares, info.normal_label)])
    table = make_table("", ("label", "pairs", "share"), top, numbers=("pairs", "share"))
    show(table, *map(paragraph, remarks))

"""Options of ``mcmfh-data manifest``: what they mean, and which of them contradict each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from mcmfh_lightning.datasets.splits import SplitPlan, parse_shares
from mcmfh_lightning.datasets.table.rows import BadImages, BadTexts, Reading, SplitBy
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards.info import SPLITS, Split

FIELDS = ("id", "image", "text", "labels", "group", "date", "split", "source", "licence")
"""What the columns of a manifest hold. Each is also the name of its column, unless ``--FIELD-column`` names another."""


@dataclass(frozen=True, kw_only=True)
class ManifestOptions:
    """Options of how a manifest is read and split.

    Args:
        source: Source of rows that have none. Default: the name.
        licence: License of rows that have none.
        id_column: An id for each row; 1 to 200 printable characters.
        image_column: Path of the image; empty where there is only a text.
        text_column: The text; empty where there is only an image.
        labels_column: A list of strings, or one string with separators.
        label_columns: Column of labels, one of several in place of --labels-column; repeat it for each. A column holds
            words, or 1, 0, -1 or nothing where it says whether the finding that it is named after is present, absent,
            uncertain or not mentioned. COLUMN=PREFIX puts a word before its labels: "Body part=location" makes
            "location: brain" of brain.
        prefix_labels: Put its name before the words of each of several columns of labels, unless it has a PREFIX.
        group_column: Study or patient: an integer or any string. If each row stands alone, the column of ids.
        date_column: Day of the item: 2011-11-22 or 20111122; a year or a month alone is its first day.
        split_column: Split of the row: train, val or test.
        source_column: Source of the row.
        licence_column: License of the row.
        label_separator: Separator of the labels of a string.
        uncertain_is_present: Let -1 in a column of a finding count as present.
        normal_label: Name of the label that says that nothing was found; repeat it for each name, and all become the
            first. Default: normal.
        no_labels: Convert without labels, for training with supervision pairs; evaluation then has no relevance.
        date_format: Format of dates that are not ISO, as Python's strptime writes it, such as '%B %d, %Y'; repeat it
            for each. Default: a date that cannot be read is left out, and its row kept, unless the split is by date.
        encoding: Encoding of .csv and .jsonl, with or without a byte order mark.
        delimiter: Character between the fields of a .csv, such as ';'. Default: the comma, and of .tsv the tab.
        split_by: Source of the splits: given takes the column split, group draws groups, date cuts in time. Default:
            given if there is a column split, else group.
        split_names: Split of the column by another name, such as dev=val; repeat it for each.
        resplit: Per cent of train, val and test when splits are not given. Default: 80/10/10.
        no_stratify: Draw each group by itself, so that its split stays when rows are added. By default groups are
            drawn so that each split has its share of each label.
        no_column: Field that is not read, although the table has a column of its name: image, text, labels, group,
            date, split, source or licence; repeat it for each.
        bad_images: A row whose image is missing or cannot be used is bad (error), or its text is converted alone
            (keep-text), counted and listed.
        bad_texts: A row whose text cannot be used is bad (error), or its image is converted alone (keep-image).
    """

    source: str | None = None
    licence: str = "licence not stated"
    id_column: str = "id"
    image_column: str = "image"
    text_column: str = "text"
    labels_column: str = "labels"
    label_columns: list[str] | None = None
    prefix_labels: bool = False
    group_column: str = "group"
    date_column: str = "date"
    split_column: str = "split"
    source_column: str = "source"
    licence_column: str = "licence"
    label_separator: str = ";"
    uncertain_is_present: bool = False
    normal_label: list[str] | None = None
    no_labels: bool = False
    date_format: list[str] | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    split_by: SplitBy | None = None
    split_names: list[str] | None = None
    resplit: str | None = None
    no_stratify: bool = False
    no_column: list[str] | None = None
    bad_images: BadImages = "error"
    bad_texts: BadTexts = "error"

    def reading(self, name: str) -> Reading:
        """Return the settings by which the table is read.

        Args:
            name: Source of rows that have none, unless the options name one.

        Raises:
            DataError: If options contradict each other.
        """
        off = self.no_column or []
        no_labels = self.no_labels or "labels" in off
        if self.label_columns and self.labels_column != "labels":
            raise DataError("--labels-column and --label-columns: pass one of them, with all columns of labels")
        if no_labels and (self.label_columns or self.normal_label or self.labels_column != "labels"):
            raise DataError("--no-labels reads no labels; leave out the options that say where they are")
        if self.resplit is not None and self.split_by == "given":
            raise DataError(
                "--resplit draws new splits, --split-by given takes those of the manifest; drop one of them"
            )
        split_by = self.split_by if self.resplit is None else self.split_by or "group"
        if self.split_names and split_by in ("group", "date"):
            raise DataError(
                "--split-names is about the splits of the manifest, and new ones are drawn; drop one of them"
            )
        named = {field: getattr(self, f"{field}_column") for field in FIELDS}
        return Reading(
            columns=_choose_columns(named, off, labels=not (no_labels or self.label_columns)),
            label_columns=self.label_columns or [],
            encoding=self.encoding,
            label_separator=self.label_separator,
            uncertain_is_present=self.uncertain_is_present,
            normal_labels=self.normal_label or [],
            date_formats=self.date_format or [],
            split_names=_named_splits(self.split_names or ()),
            split_by=split_by,
            source=self.source or name,
            licence=self.licence,
            prefix_labels=self.prefix_labels,
            bad_images=self.bad_images,
            bad_texts=self.bad_texts,
            delimiter=self.delimiter,
        )

    def plan(self, by: SplitBy) -> SplitPlan:
        """Plan how the rows are split.

        Args:
            by: What splits are made of: as asked for, or as the columns suggest.

        Raises:
            DataError: If splits that are not drawn shall not be stratified: drawn ones may have been meant.
        """
        if self.no_stratify and by != "group":
            source = "the column of splits" if by == "given" else "dates"
            raise DataError(
                f"--no-stratify is about splits that are drawn, and these are taken from {source}; leave it out, or "
                "pass --split-by group"
            )
        stratify = by == "group" and not (self.no_stratify or self.no_labels or "labels" in (self.no_column or ()))
        return SplitPlan(by, parse_shares(self.resplit or "80/10/10"), stratify)


def _choose_columns(named: Mapping[str, str], off: Sequence[str], *, labels: bool) -> dict[str, str]:
    """Choose the columns that are read.

    A column is switched off by the name of its field and not by a word in place of its name, such as ``none``: a
    column may be called that.

    Args:
        named: Name of the column of each field.
        off: Fields that are switched off.
        labels: Whether one column holds labels.

    Returns:
        Name of the column of each field that is read.

    Raises:
        DataError: If a field is unknown or needed, or is switched off although its column is named.
    """
    for field in off:
        if field not in FIELDS:
            meant = next((known for known, column in named.items() if column == field), None)
            hint = f"; did you mean {meant!r}?" if meant else did_you_mean(field, FIELDS)
            raise DataError(f"--no-column {field!r}: write one of {', '.join(FIELDS[1:])}{hint}")
        if named[field] != field and field != "group":
            raise DataError(f"--no-column {field} and --{field}-column {named[field]!r}: leave out one of them")
    if "id" in off:
        raise DataError("--no-column id: each row needs an id; name the column of ids by --id-column")
    if "group" in off and named["group"] != named["id"]:
        raise DataError(
            "--no-column group: films of one patient could then be in train and in test, which raises every number; "
            f"if each row is a patient of its own, say so by --group-column {quote(named['id'])}"
        )
    if {"image", "text"} <= set(off):
        raise DataError("--no-column image and --no-column text: nothing is left to convert; leave out one of them")
    for field, column in named.items():
        if not column:
            instead = {"labels": ", or pass --no-labels", "id": "", "group": ""}
            other = instead.get(field, f", or pass --no-column {field}")
            raise DataError(f"--{field}-column is empty; name a column{other}")
    dropped = {*off, *([] if labels else ["labels"])} - {"group"}
    return {field: column for field, column in named.items() if field not in dropped}


def _named_splits(pairs: Sequence[str]) -> dict[str, Split]:
    """Read pairs such as ``dev=val``.

    Raises:
        DataError: If one is not a name and a split, or two give one name two splits.
    """
    splits: dict[str, Split] = {}
    for pair in pairs:
        name, _, target = (part.strip() for part in pair.rpartition("="))
        split = next((split for split in SPLITS if split == target), None)
        if not name or split is None:
            near = did_you_mean(target, SPLITS) if name else ""
            raise DataError(f"--split-names {pair!r}: write NAME=train, NAME=val or NAME=test, such as dev=val{near}")
        if splits.setdefault(name, split) != split:
            raise DataError(f"--split-names gives {name!r} two splits, {splits[name]} and {split}; drop one of them")
    return splits

"""Command ``mcmfh-data``: make and inspect data. Each public function is a subcommand; its arguments are the options.

A required argument is positional (``mcmfh-data verify DIR``), or keyword-only (``mcmfh-data openi --out DIR``).
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from mcmfh_lightning.cli.command_line import Commands, run_subcommand
from mcmfh_lightning.datasets.convert import convert, summary_table
from mcmfh_lightning.datasets.download import UPSTREAM, fetch_openi
from mcmfh_lightning.datasets.openi import LabelScheme, read_openi
from mcmfh_lightning.datasets.phantom.studies import IMAGES, REPORTS, SPLITS_CSV, write_phantom
from mcmfh_lightning.datasets.relabel import relabel
from mcmfh_lightning.datasets.roco import RocoOptions, convert_roco
from mcmfh_lightning.datasets.split_report import split_lines
from mcmfh_lightning.datasets.splits import SplitPlan, apply_rows, read_splits_csv
from mcmfh_lightning.datasets.table.columns import choose_columns
from mcmfh_lightning.datasets.table.problems import problems_file
from mcmfh_lightning.datasets.table.read import read_manifest, verify_images
from mcmfh_lightning.datasets.table.report import report
from mcmfh_lightning.datasets.table.rows import BadImages, BadTexts, Reading, SplitBy
from mcmfh_lightning.datasets.table.split_options import choose_split, named_splits, plan_split
from mcmfh_lightning.errors import DataError, say
from mcmfh_lightning.files import check_folder, default_cache, sha256_of, write_json
from mcmfh_lightning.images.png import ValueRange, check_value_range
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.labels import read_drop_labels
from mcmfh_lightning.shards.verify.report import verify_table
from mcmfh_lightning.shards.verify.run import verify as run
from mcmfh_lightning.tables import counted, show


def manifest(
    *,
    manifest: Path,
    images: Path,
    out: Path,
    name: str | None = None,
    source: str | None = None,
    licence: str = "licence not stated",
    id_column: str = "id",
    image_column: str = "image",
    text_column: str = "text",
    labels_column: str = "labels",
    label_columns: list[str] | None = None,
    prefix_labels: bool = False,
    group_column: str = "group",
    date_column: str = "date",
    split_column: str = "split",
    source_column: str = "source",
    licence_column: str = "licence",
    label_separator: str = ";",
    uncertain_is_present: bool = False,
    normal_label: list[str] | None = None,
    no_labels: bool = False,
    date_format: list[str] | None = None,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    split_by: SplitBy | None = None,
    split_names: list[str] | None = None,
    resplit: str | None = None,
    no_stratify: bool = False,
    seed: int = 0,
    min_label_count: int = 1,
    drop_labels: Path | None = None,
    no_column: list[str] | None = None,
    bad_images: BadImages = "error",
    bad_texts: BadTexts = "error",
    skip_bad_rows: bool = False,
    problems: Path | None = None,
    value_range: ValueRange | None = None,
) -> None:
    """Convert a table of your own, of ids, images, texts, labels and groups, into pair shards.

    If any row is bad nothing is converted, and each problem is listed with its row and its fix.

    Args:
        manifest: .csv, .tsv, .jsonl or .parquet with the columns id, image and/or text, labels, group, and if known
            date, split, source and licence.
        images: Folder below which all images are: JPEG, PNG, and with pydicom DICOM. Paths are relative to it.
        out: Folder of the pair shards to write; an interrupted conversion is completed.
        name: Name of the data set in dataset.json. Default: the manifest's, without its ending.
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
        seed: Seed of the split by group and of the order of items in the shards.
        min_label_count: Number of items that a label needs to enter the vocabulary.
        drop_labels: File of labels to leave out, one a line, such as a modality: it says nothing about a finding.
        no_column: Field that is not read, although the table has a column of its name: image, text, labels, group,
            date, split, source or licence; repeat it for each.
        bad_images: A row whose image is missing or cannot be used is bad (error), or its text is converted alone
            (keep-text), counted and listed.
        bad_texts: A row whose text cannot be used is bad (error), or its image is converted alone (keep-image).
        skip_bad_rows: Convert the good rows all the same, and list the bad ones in skipped.csv.
        problems: CSV file that lists all problems. Default: OUT-problems.csv next to the folder OUT.
        value_range: Values that become black and white, such as 0 4095, of images that have more than 8 bits and no
            window of their own. Default: by the depth of each image.
    """
    console = Console(stderr=True)
    check_folder(out, "--out")
    dropped = read_drop_labels(drop_labels)
    off = no_column or []
    no_labels = no_labels or "labels" in off
    if label_columns and labels_column != "labels":
        raise DataError("--labels-column and --label-columns: pass one of them, with all columns of labels")
    if no_labels and (label_columns or normal_label or labels_column != "labels"):
        raise DataError("--no-labels reads no labels; leave out the options that say where they are")
    split_by = choose_split(split_by, resplit, split_names)
    columns = {"id": id_column, "image": image_column, "text": text_column, "labels": labels_column}
    columns |= {"group": group_column, "date": date_column, "split": split_column}
    columns |= {"source": source_column, "licence": licence_column}
    columns = choose_columns(columns, off, labels=not (no_labels or label_columns))
    name = name or manifest.stem
    reading = Reading(
        columns=columns,
        label_columns=label_columns or [],
        encoding=encoding,
        delimiter=delimiter,
        label_separator=label_separator,
        uncertain_is_present=uncertain_is_present,
        normal_labels=normal_label or [],
        date_formats=date_format or [],
        split_names=named_splits(split_names or ()),
        split_by=split_by,
        source=source or name,
        licence=licence,
        prefix_labels=prefix_labels,
        bad_images=bad_images,
        bad_texts=bad_texts,
    )
    read = read_manifest(manifest, images, reading)
    split = plan_split(read.split_by, resplit, stratify=not no_stratify, labels=not no_labels)
    verify_images(read, console, check_value_range(value_range))
    report(read, console, problems or problems_file(out), skip_bad_rows=skip_bad_rows)
    collection = read.collection()
    info = convert(
        collection,
        out,
        name=name,
        split=split,
        min_label_count=min_label_count,
        drop_labels=dropped,
        seed=seed,
        settings={"converter": "manifest", "manifest_sha256": sha256_of(manifest), **reading.settings()},
        console=console,
        value_range=value_range,
    )
    _summarize(info)
    if single := sum(item.image is None or item.text is None for item in collection.candidates):
        has = counted(single, "item has one modality: it serves", "items have one modality: they serve")
        console.print(f"{has} in databases, never in training or as queries", soft_wrap=True)


def _summarize(info: DatasetInfo) -> None:
    """Print what a conversion read, kept and wrote, and how it split that."""
    show(summary_table(info))
    for line in split_lines(info):
        say(line)


OpeniSplit = Literal["csv", "study", "date"]
_PLANS: Mapping[OpeniSplit, Literal["given", "group", "date"]] = {"csv": "given", "study": "group", "date": "date"}


def openi(
    *,
    out: Path,
    reports: Path | None = None,
    images: Path | None = None,
    splits: Path | None = None,
    split_by: OpeniSplit | None = None,
    labels: LabelScheme = "mesh_major",
    min_label_count: int = 10,
    drop_labels: Path | None = None,
    seed: int = 0,
    name: str = "openi",
    mirror: str = UPSTREAM,
    cache: Path | None = None,
    images_sha256: str | None = None,
    value_range: ValueRange | None = None,
) -> None:
    """Convert Open-i's chest X-rays, or a collection of the same formats, into pair shards.

    With neither reports nor images both archives are downloaded.

    Args:
        out: Folder of the pair shards to write; an interrupted conversion is completed.
        reports: File NLMCXR_reports.tgz, or a folder of its .xml files.
        images: Folder of <parentImage id>.png, .jpg or .jpeg.
        splits: CSV with the columns image_id and split (train, val, test), and study_date if known.
        split_by: Source of the splits: csv takes the column split, study draws 80/10/10 % of the studies, date cuts in
            time and needs the column study_date. Default: csv when splits is given, else study.
        labels: Terms to take: mesh_major takes MeSH headings, mesh_automatic the automatic terms.
        min_label_count: Number of pairs that a label needs to enter the vocabulary.
        drop_labels: File of labels to leave out, one a line, such as a modality: it says nothing about a finding.
        seed: Seed of the split by study and of the order of pairs in the shards.
        name: Name of the data set in dataset.json.
        mirror: URL of a folder that serves NLMCXR_reports.tgz and NLMCXR_png.tgz.
        cache: Folder for downloads. Default: the user's cache folder.
        images_sha256: SHA-256 that a downloaded NLMCXR_png.tgz must have; see dataset.json of an earlier conversion.
        value_range: Values that become black and white, such as 0 4095, of images that have more than 8 bits and no
            window of their own. Default: by the depth of each image.
    """
    console = Console(stderr=True)
    check_folder(out, "--out")
    dropped = read_drop_labels(drop_labels)
    settings: dict[str, object] = {"converter": "openi", "labels": labels}
    if reports is None and images is None:
        files = fetch_openi(cache or default_cache(), console, base_url=mirror, images_sha256=images_sha256)
        reports, images = files.reports, files.images
        settings["downloads_sha256"] = files.sha256
    if reports is None or images is None:
        raise DataError("give both --reports and --images, or neither to download them")
    if split_by is None:
        split_by = "study" if splits is None else "csv"
    if split_by == "csv" and splits is None:
        raise DataError("--split-by csv needs --splits, the CSV to take the splits from")
    collection, settings["reports_sha256"] = read_openi(reports, images, labels)
    if splits is not None:
        collection = apply_rows(collection, read_splits_csv(splits))
    if split_by == "date" and collection.candidates and not any(c.date for c in collection.candidates):
        raise DataError(
            "--split-by date: no study has a date. Open-i's reports carry only their day of publication; pass study "
            "dates (from the DICOM files) as column study_date of --splits"
        )
    info = convert(
        collection,
        out,
        name=name,
        split=SplitPlan(_PLANS[split_by]),
        min_label_count=min_label_count,
        drop_labels=dropped,
        seed=seed,
        settings=settings,
        console=console,
        value_range=value_range,
    )
    _summarize(info)


def phantom(*, out: Path, studies: int = 1600, seed: int = 0) -> None:
    """Draw chest-film-like pictures and write reports about them, in Open-i's file formats.

    Args:
        out: Folder to write; must be empty or not exist yet.
        studies: Number of studies; about one in seven has two films.
        seed: Seed of everything; equal seeds give equal files.
    """
    console = Console(stderr=True)
    if studies < 1:
        raise DataError(f"--studies must be at least 1, got {studies}")
    write_phantom(out, studies, seed, console)
    console.print(
        f"Convert it with: mcmfh-data openi --name phantom --reports {out / REPORTS} --images {out / IMAGES} "
        f"--splits {out / SPLITS_CSV} --out ...",
        markup=False,
        soft_wrap=True,
    )


def roco(*, out: Path, options: Annotated[RocoOptions, Parameter(name="*")]) -> None:
    """Convert ROCO, figures of open-access articles with captions, into pair shards.

    Args:
        out: Folder of the pair shards to write; an interrupted conversion is completed.
        options: What to make of it.
    """
    check_folder(out, "--out")
    info = convert_roco(options, out, Console(stderr=True))
    _summarize(info)


def stats(folder: str, *, out: Path | None = None) -> None:
    """Describe a folder of shards: labels, groups, sizes, and rankings that learn nothing.

    Args:
        folder: Local path or URL of the folder.
        out: Folder for stats.json and the figures; without it, tables are printed and nothing is written.
    """
    from mcmfh_lightning.evaluation.data_report import plot_stats, stats_tables
    from mcmfh_lightning.evaluation.data_stats import read_split, summarize

    if out is not None:
        check_folder(out, "--out")
    shards = ShardFolder(folder)
    info = DatasetInfo.load(shards.path)
    progress = Console(stderr=True)
    tables = {split: read_split(shards, info, split, progress) for split in info.splits}
    numbers = summarize(info, tables)
    show(stats_tables(numbers))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "stats.json", numbers)
        plot_stats(out, numbers, tables)


def verify(folder: str) -> None:
    """Check everything in a folder of pair or feature shards; exit with 1 if a check failed.

    Args:
        folder: Local path or URL of the folder.
    """
    shards = ShardFolder(folder)
    if not shards.path.is_dir():
        raise DataError(f"{folder} is not a folder: give the one that a converter or `mcmfh predict` wrote")
    report = run(shards, Console(stderr=True))
    show(verify_table(report, folder))
    if report.failed:
        sys.exit(1)


COMMANDS: Commands = {command.__name__: command for command in (manifest, openi, phantom, relabel, roco, stats, verify)}


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    Args:
        args: The command line after the program's name, by default the process's own.
    """
    run_subcommand("mcmfh-data", COMMANDS, args)

"""Command ``mcmfh-data``: make and inspect data. Each public function is a subcommand; its arguments are the options.

A required argument is positional (``mcmfh-data verify DIR``), or keyword-only (``mcmfh-data openi --out DIR``).
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from mcmfh_lightning.cli.command_line import Commands, run_subcommand
from mcmfh_lightning.cli.data_sources import SOURCES, print_summary
from mcmfh_lightning.datasets.collection import apply_rows, read_splits_csv
from mcmfh_lightning.datasets.convert import convert
from mcmfh_lightning.datasets.download import UPSTREAM, fetch_openi
from mcmfh_lightning.datasets.join import join
from mcmfh_lightning.datasets.label_map import describe_label_map, read_label_map
from mcmfh_lightning.datasets.openi import LabelScheme, read_openi
from mcmfh_lightning.datasets.phantom.studies import IMAGES, REPORTS, SPLITS_CSV, write_phantom
from mcmfh_lightning.datasets.relabel import relabel
from mcmfh_lightning.datasets.roco import RocoOptions, convert_roco
from mcmfh_lightning.datasets.splits import SplitPlan
from mcmfh_lightning.datasets.table.options import ManifestOptions
from mcmfh_lightning.datasets.table.problems import problems_file, report
from mcmfh_lightning.datasets.table.read import read_manifest, verify_images
from mcmfh_lightning.errors import DataError, say
from mcmfh_lightning.files import check_folder, default_cache, sha256_of, write_json
from mcmfh_lightning.images.png import ValueRange, check_value_range
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.labels import read_drop_labels
from mcmfh_lightning.shards.verify.report import DATASET, verify_table
from mcmfh_lightning.shards.verify.run import verify as run
from mcmfh_lightning.tables import counted, paragraph, show


def manifest(
    *,
    manifest: Path,
    images: Path,
    out: Path,
    name: str | None = None,
    options: Annotated[ManifestOptions, Parameter(name="*")] = ManifestOptions(),  # noqa: B008  frozen: may be shared
    seed: int = 0,
    min_label_count: int = 1,
    drop_labels: Path | None = None,
    label_map: str | None = None,
    skip_bad_rows: bool = False,
    problems: Path | None = None,
    value_range: ValueRange | None = None,
) -> None:
    """Convert a table of your own (ids, images, texts, labels, groups) into pair shards.

    If any row is bad nothing is converted, and each problem is listed with its row and its fix.

    Args:
        manifest: .csv, .tsv, .jsonl or .parquet with the columns id, image and/or text, labels, group, and if known
            date, split, source and licence.
        images: Folder below which all images are: JPEG, PNG, and with pydicom DICOM. Paths are relative to it.
        out: Folder of the pair shards to write; an interrupted conversion is completed.
        name: Name of the data set in dataset.json. Default: the manifest's, without its ending.
        options: How it is read.
        seed: Seed of the split by group and of the order of items in the shards.
        min_label_count: Number of items that a label needs to enter the vocabulary.
        drop_labels: File of labels to leave out, one a line, such as a modality: it says nothing about a finding.
        label_map: Map of the labels to another vocabulary: the name of a shipped map, such as chest-chexpert, or a CSV
            with the columns raw_label and canonical_label.
        skip_bad_rows: Convert the good rows all the same, and list the bad ones in skipped.csv.
        problems: CSV file that lists all problems. Default: OUT-problems.csv next to the folder OUT.
        value_range: Values that become black and white, such as 0 4095, of images that have more than 8 bits and no
            window of their own. Default: by the depth of each image.
    """
    console = Console(stderr=True)
    check_folder(out, "--out")
    dropped, chosen_map = read_drop_labels(drop_labels), read_label_map(label_map, "manifest")
    name = name or manifest.stem
    reading = options.reading(name)
    read = read_manifest(manifest, images, reading)
    split = options.plan(read.split_by)
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
        label_map=chosen_map,
        seed=seed,
        settings={"converter": "manifest", "manifest_sha256": sha256_of(manifest), **reading.settings()},
        console=console,
        value_range=value_range,
    )
    print_summary(info)
    if single := sum(item.image is None or item.text is None for item in collection.candidates):
        has = counted(single, "item has one modality: it serves", "items have one modality: they serve")
        say(f"{has} in databases, never in training or as queries", console)


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
    label_map: str | None = None,
    seed: int = 0,
    name: str = "openi",
    mirror: str = UPSTREAM,
    cache: Path | None = None,
    images_sha256: str | None = None,
    value_range: ValueRange | None = None,
) -> None:
    """Convert Open-i's chest X-rays, or others in the same formats, into pair shards.

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
        label_map: Map of the headings to another vocabulary: chest for the shipped one, or a CSV with the columns
            raw_label and canonical_label.
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
    dropped, chosen_map = read_drop_labels(drop_labels), read_label_map(label_map, "openi")
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
        label_map=chosen_map,
        seed=seed,
        settings=settings,
        console=console,
        value_range=value_range,
    )
    print_summary(info)


def phantom(*, out: Path, studies: int = 1600, seed: int = 0) -> None:
    """Draw chest-film-like pictures and write reports about them, in Open-i's formats.

    Args:
        out: Folder to write; must be empty or not exist yet.
        studies: Number of studies; about one in seven has two films.
        seed: Seed of everything; equal seeds give equal files.
    """
    console = Console(stderr=True)
    if studies < 1:
        raise DataError(f"--studies must be at least 1, got {studies}")
    if seed < 0:
        raise DataError(f"--seed must be at least 0, got {seed}")
    write_phantom(out, studies, seed, console)
    say(
        f"Convert it with: mcmfh-data openi --name phantom --reports {out / REPORTS} --images {out / IMAGES} "
        f"--splits {out / SPLITS_CSV} --out ...",
        console,
    )


def roco(*, out: Path, options: Annotated[RocoOptions, Parameter(name="*")]) -> None:
    """Convert ROCO, figures of open-access articles with captions, into pair shards.

    Args:
        out: Folder of the pair shards to write; an interrupted conversion is completed.
        options: What to make of it.
    """
    check_folder(out, "--out")
    print_summary(convert_roco(options, out, Console(stderr=True)))


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
    show(stats_tables(numbers), *_label_map_remark(info))
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
    remark = _label_map_remark(DatasetInfo.load(shards.path)) if report.result(DATASET) == "ok" else []
    show(verify_table(report, folder), *remark)
    if report.failed:
        sys.exit(1)


def _label_map_remark(info: DatasetInfo) -> list[Text]:
    line = describe_label_map(info)
    return [paragraph(f"\n{line}")] if line else []


COMMANDS: Commands = {
    **{command.__name__: command for command in (manifest, openi, phantom, roco)},
    **SOURCES,
    **{command.__name__: command for command in (join, relabel, stats, verify)},
}


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    Args:
        args: The command line after the program's name, by default the process's own.
    """
    run_subcommand("mcmfh-data", COMMANDS, args)

"""``mcmfh-data manifest``."""

import hashlib
from pathlib import Path

from rich.console import Console

from mcmfh_lightning.datamodules.convert import convert
from mcmfh_lightning.datamodules.depth import ValueRange, check_value_range
from mcmfh_lightning.datamodules.manifest.columns import Columns
from mcmfh_lightning.datamodules.manifest.read import Manifest, Reading, SplitBy, read_manifest, verify_images
from mcmfh_lightning.datamodules.splits import SplitPlan, parse_shares
from mcmfh_lightning.datamodules.summary import summary_table
from mcmfh_lightning.errors import DataError

_TOLD = 20


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
    group_column: str = "group",
    date_column: str = "date",
    split_column: str = "split",
    source_column: str = "source",
    licence_column: str = "licence",
    label_separator: str = ";",
    encoding: str = "utf-8",
    split_by: SplitBy | None = None,
    resplit: str | None = None,
    seed: int = 0,
    min_label_count: int = 1,
    skip_bad_rows: bool = False,
    value_range: ValueRange | None = None,
) -> None:
    """Convert a collection of your own into pair shards: a table of ids, images, texts, labels and groups.

    If any row is bad nothing is written, and every problem is told with its row and its mend.

    Args:
        manifest: .csv, .jsonl or .parquet with the columns id, image and/or text, labels, group, and if known date,
            split, source and licence.
        images: folder below which all images lie: JPEG, PNG, and with pydicom DICOM. Paths are relative to it.
        out: folder of the pair shards to write; an interrupted conversion is completed.
        name: name of the data set in dataset.json. Default: the manifest's, without its ending.
        source: where rows come from that have no source. Default: the name.
        licence: of rows that have none.
        id_column: an id for each row; 1 to 200 printable characters.
        image_column: path of the image; empty where there is only a text.
        text_column: the text; empty where there is only an image.
        labels_column: a list of strings, or one string with separators.
        group_column: study or patient: an integer or any string. If each row stands alone, the column of ids.
        date_column: 2011-11-22 or 20111122.
        split_column: train, val or test.
        source_column: where the row comes from.
        licence_column: licence of the row.
        label_separator: between the labels of a string.
        encoding: of .csv and .jsonl, with or without a byte order mark.
        split_by: given takes the column split, group draws groups, date cuts in time. Default: given if there is a
            column split, else group.
        resplit: per cent of train, val and test when splits are not given. Default: 80/10/10.
        seed: of the split by group and of the order of items in the shards.
        min_label_count: items that a label needs to enter the vocabulary.
        skip_bad_rows: convert the good rows all the same, and list the bad ones in skipped.csv.
        value_range: values that become black and white, as [0, 4095], of images that have more than 8 bits and no
            window of their own. Default: by the depth of each image.
    """
    console = Console(stderr=True)
    columns = Columns(
        id_column,
        image_column,
        text_column,
        labels_column,
        group_column,
        date_column,
        split_column,
        source_column,
        licence_column,
    )
    if not label_separator:
        raise DataError("--label-separator is empty; give one or more characters")
    if resplit is not None and split_by is None:
        split_by = "group"
    if resplit is not None and split_by == "given":
        raise DataError("--resplit draws new splits, --split-by given takes those of the manifest; drop one of them")
    name = name or manifest.stem
    read = read_manifest(
        manifest, images, Reading(columns, encoding, label_separator, split_by, source or name, licence)
    )
    verify_images(read, console, check_value_range(value_range))
    _tell(read, console, skip_bad_rows=skip_bad_rows)
    collection = read.collection()
    info = convert(
        collection,
        out,
        name=name,
        split=SplitPlan(read.split_by, parse_shares(resplit or "80/10/10")),
        min_label_count=min_label_count,
        seed=seed,
        settings={
            "converter": "manifest",
            "manifest_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
            "columns": columns.names,
            "encoding": encoding,
            "label_separator": label_separator,
        },
        console=console,
        value_range=value_range,
    )
    Console().print(summary_table(info))
    if single := sum(item.image is None or item.text is None for item in collection.candidates):
        console.print(f"{single:,} items have one modality: they serve in databases, never in training or as queries")


def _tell(read: Manifest, console: Console, *, skip_bad_rows: bool) -> None:
    """Tell what is not as it should be, and stop if rows are bad and none may be skipped."""

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    if read.unread:
        tell(f"columns that are not read: {', '.join(read.unread)}")
    if read.hint:
        tell(f"hint: {read.hint}")
    problems = sorted(read.problems, key=lambda problem: problem.row)
    for problem in problems[:_TOLD]:
        tell(problem.told(read.path))
    if len(problems) > _TOLD:
        tell(f"... and {len(problems) - _TOLD:,} more problems")
    bad = len({problem.row for problem in problems})
    if bad and not skip_bad_rows:
        raise DataError(
            f"{read.path}: {bad:,} of {bad + len(read.candidates):,} rows are bad, so nothing was written; mend them "
            f"or pass --skip-bad-rows. The first: {problems[0].told(read.path)}"
        )

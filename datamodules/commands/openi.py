"""``mcmfh-data openi``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from rich.console import Console

from mcmfh_lightning.datamodules.convert import convert
from mcmfh_lightning.datamodules.depth import ValueRange
from mcmfh_lightning.datamodules.shards.files import default_cache
from mcmfh_lightning.datamodules.download import UPSTREAM, fetch_openi
from mcmfh_lightning.datamodules.labels import read_drop_labels
from mcmfh_lightning.datamodules.openi import LabelScheme, read_openi
from mcmfh_lightning.datamodules.splits import SplitPlan, apply_rows, read_splits_csv
from mcmfh_lightning.datamodules.summary import summary_table
from mcmfh_lightning.errors import DataError

OpeniSplit = Literal["csv", "study", "date"]
_PLANS: Mapping[OpeniSplit, SplitPlan] = {
    "csv": SplitPlan("given"),
    "study": SplitPlan("group"),
    "date": SplitPlan("date"),
}


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
    """Convert Open-i's chest X-ray collection, or one of the same file formats, into pair shards.

    With neither reports nor images both archives are downloaded.

    Args:
        out: folder of the pair shards to write; an interrupted conversion is completed.
        reports: NLMCXR_reports.tgz as it is, or a folder of its .xml files.
        images: folder of <parentImage id>.png, .jpg or .jpeg.
        splits: CSV with the columns image_id and split (train, val, test), and study_date if known.
        split_by: csv takes the column split, study draws 80/10/10 % of the studies, date cuts in time and needs the
            column study_date. Default: csv when splits is given, else study.
        labels: mesh_major takes MeSH headings, mesh_automatic the automatic terms.
        min_label_count: pairs that a label needs to enter the vocabulary.
        drop_labels: file of labels to leave out, one a line: those that are no findings, such as a modality.
        seed: of the split by study and of the order of pairs in the shards.
        name: name of the data set in dataset.json.
        mirror: URL of a folder that serves NLMCXR_reports.tgz and NLMCXR_png.tgz.
        cache: folder for downloads. Default: the user's cache folder.
        images_sha256: SHA-256 that a downloaded NLMCXR_png.tgz must have; see dataset.json of an earlier conversion.
        value_range: values that become black and white, as [0, 4095], of images that have more than 8 bits and no
            window of their own. Default: by the depth of each image.
    """
    console = Console(stderr=True)
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
        split=_PLANS[split_by],
        min_label_count=min_label_count,
        drop_labels=read_drop_labels(drop_labels),
        seed=seed,
        settings=settings,
        console=console,
        value_range=value_range,
    )
    Console().print(summary_table(info))

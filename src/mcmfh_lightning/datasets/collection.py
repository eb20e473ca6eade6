"""Items that a converter reads from a collection, their image files, and the CSV that names their splits."""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.decode import read_picture
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import FIXES, PictureError
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards.info import SPLITS, Split
from mcmfh_lightning.shards.labels import NORMAL
from mcmfh_lightning.shards.pair import ImageFormat
from mcmfh_lightning.tables import quoted

_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Decodable:
    """Image file that can be used, and how a shard stores it.

    Attributes:
        format: Format in which it is stored.
        unchanged: Whether the bytes of the file are stored.
        bits: Depth that it was scaled from; None where a window or a range decided.
        assumed: Decisions that the file leaves open.
    """

    format: ImageFormat
    unchanged: bool = True
    bits: int | None = 8
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unusable:
    """Image file that cannot be used, why, and what exactly is wrong with it."""

    reason: str
    detail: str = field(default="", compare=False)


@dataclass(frozen=True)
class Candidate:
    """Item as the collection describes it; its image file exists.

    Attributes:
        id: Name of the item in the collection.
        image: The image file, or None.
        text: The text, or None; an item has at least one of both.
        labels: Its labels, before the vocabulary is chosen.
        group: Number of its study, article or patient.
        source: Where it comes from.
        licence: Its license.
        date: What a split by date sorts by, or None; stored with the pair.
        split: The split that the collection names, then the one it is put into; None without one.
        group_name: Name of the group in the collection; by default the number in digits.
        stored: How a shard stores the image; None before it is decoded.
    """

    id: str
    image: Path | None
    text: str | None
    labels: tuple[str, ...]
    group: int
    source: str
    licence: str
    date: str | None = None
    split: Split | None = None
    group_name: str = ""
    stored: Decodable | None = None

    def __post_init__(self) -> None:
        if not self.group_name:
            object.__setattr__(self, "group_name", str(self.group))


@dataclass
class Collection:
    """All items that were found, and an account of everything that was left out.

    Attributes:
        candidates: The items.
        skipped: Ids left out, by reason; each named item of the collection is a candidate or in here.
        read: What was read, in the order in which the summary shows it.
        kept: Number of items that are candidates but worth knowing about, by trait.
        gloss: What a label stands for, where its name does not say it.
        normal_label: The label that says that nothing was found, if an item has it.
        labeled: Whether items have labels at all; without any, no item is relevant to another.
    """

    candidates: list[Candidate] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    gloss: dict[str, str] = field(default_factory=dict)
    normal_label: str = NORMAL
    labeled: bool = True

    def copy(self) -> "Collection":
        """Return a collection whose account can be continued without changing this one."""
        return replace(self, skipped=deepcopy(self.skipped), kept=dict(self.kept))

    def skip(self, reason: str, item: str) -> None:
        """Account for an item that is left out."""
        self.skipped.setdefault(reason, []).append(item)

    def note(self, trait: str) -> None:
        """Account for an item that is kept."""
        self.kept[trait] = self.kept.get(trait, 0) + 1


def index_images(folder: Path) -> dict[str, Path]:
    """Map the stem of each ``.png``, ``.jpg`` or ``.jpeg`` directly in ``folder`` to its path.

    Raises:
        DataError: If the folder is missing or two files have one stem (``a.png`` next to ``a.jpg``).
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _SUFFIXES:
            if path.stem in found:
                raise DataError(f"{folder}: both {found[path.stem].name} and {path.name}; keep one file per image id")
            found[path.stem] = path
    return found


def image_bytes(path: Path, value_range: ValueRange | None = None) -> bytes:
    """Return what a shard stores of an image file: the file itself, or a PNG of the picture.

    Args:
        path: JPEG, PNG or DICOM.
        value_range: See `mcmfh_lightning.images.decode.decode_picture`.

    Raises:
        DataError: If no picture can be made of it.
    """
    try:
        picture, data = read_picture(path, value_range)
    except PictureError as error:
        raise DataError(f"{path}: {error}; {FIXES[error.reason]}") from error
    return picture.stored(data)


def check_image(path: Path, value_range: ValueRange | None = None) -> Decodable | Unusable:
    """Decode the whole file; its first bytes decide the format, not its name."""
    try:
        picture, _ = read_picture(path, value_range)
    except PictureError as error:
        return Unusable(error.reason, error.detail)
    return Decodable(picture.format, picture.unchanged, picture.bits, picture.assumed)


def check_images(paths: Iterable[Path], value_range: ValueRange | None = None) -> Iterator[Decodable | Unusable]:
    """Run `check_image` on every core, results in the order of ``paths``. Threads: Pillow decodes outside the GIL."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(partial(check_image, value_range=value_range), paths)


@dataclass(frozen=True)
class SplitRow:
    """Line of a splits CSV: split and ISO date of an image, each None where the file does not say it."""

    split: Split | None
    date: str | None


def read_splits_csv(path: Path) -> dict[str, SplitRow]:
    """Read a CSV with a column ``image_id`` and ``split`` and/or ``study_date``; other columns are not read.

    Args:
        path: The file; dates are ``YYYYMMDD`` or ``YYYY-MM-DD``, empty where unknown.

    Returns:
        The row of each image id.

    Raises:
        DataError: If a column is missing, an image id is listed twice, or a split or date is impossible; with its line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if "image_id" not in columns or not columns & {"split", "study_date"}:
                raise DataError(
                    f"{path}: needs the columns image_id and split (or study_date), has {quoted(sorted(columns))}"
                )
            rows: dict[str, SplitRow] = {}
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                image_id = (row["image_id"] or "").strip()
                if image_id in rows:
                    raise DataError(f"{where}: image id {image_id!r} is listed twice; keep one line per image")
                rows[image_id] = SplitRow(_split(row.get("split"), where), _date(row.get("study_date"), where))
            return rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a CSV file ({error})") from error


def _split(text: str | None, where: str) -> Split | None:
    name = (text or "").strip()
    for split in SPLITS:
        if name == split:
            return split
    if name:
        raise DataError(f"{where}: unknown split {name!r}; valid are {', '.join(SPLITS)}{did_you_mean(name, SPLITS)}")
    return None


def _date(text: str | None, where: str) -> str | None:
    digits = (text or "").strip().replace("-", "")
    if not digits:
        return None
    try:
        return datetime.strptime(digits, "%Y%m%d").date().isoformat()
    except ValueError as error:
        raise DataError(f"{where}: {text!r} is not a date like 20111122 or 2011-11-22") from error


def apply_rows(collection: Collection, rows: Mapping[str, SplitRow]) -> Collection:
    """Give each candidate the split and the date of its row; those without a row are skipped."""
    result = collection.copy()
    result.candidates = []
    for candidate in collection.candidates:
        row = rows.get(candidate.id)
        if row is None:
            result.skip("not in the splits CSV", candidate.id)
        else:
            result.candidates.append(replace(candidate, split=row.split, date=row.date))
    return result

"""Which pairs are for training, validation and test: by a given table, by study or by date, never by single image.

Whatever the way, all pairs of a group (study, article, patient) land in one split: two films of one patient are
near-copies, and a query whose twin was trained on measures memory.
"""

import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mcmfh_lightning.datamodules.shards.info import SPLITS, Split
from mcmfh_lightning.errors import DataError


@dataclass(frozen=True)
class SplitRow:
    """One line of a splits CSV: the split and the ISO date of an image, each None where the file does not say."""

    split: Split | None
    date: str | None


def read_splits_csv(path: Path) -> dict[str, SplitRow]:
    """Read a CSV with a column ``image_id`` and ``split`` and/or ``study_date`` (other columns are not read).

    Args:
        path: the file; dates are ``YYYYMMDD`` or ``YYYY-MM-DD``, empty where unknown.

    Returns:
        The row of each image id.

    Raises:
        DataError: a missing column, a duplicate image id, an unknown split name or an impossible date, with its line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if "image_id" not in columns or not columns & {"split", "study_date"}:
                raise DataError(f"{path}: needs the columns image_id and split (or study_date), has {sorted(columns)}")
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
        raise DataError(f"{where}: unknown split {name!r}; valid are {', '.join(SPLITS)}")
    return None


def _date(text: str | None, where: str) -> str | None:
    digits = (text or "").strip().replace("-", "")
    if not digits:
        return None
    try:
        return datetime.strptime(digits, "%Y%m%d").date().isoformat()
    except ValueError as error:
        raise DataError(f"{where}: {text!r} is not a date like 20111122 or 2011-11-22") from error


def split_by_study(groups: Iterable[int], seed: int) -> dict[int, Split]:
    """Draw the split of each group from a hash of (seed, group).

    Each group's split depends on nothing but its own number, so a study never moves from test to train when the
    collection grows or when other studies are skipped. Shares are 80 / 10 / 10 % in expectation.
    """
    return {group: _hashed_split(group, seed) for group in set(groups)}


def _hashed_split(group: int, seed: int) -> Split:
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    uniform = int.from_bytes(digest[:8], "big") / 2**64
    return _split_at(uniform)


def _split_at(position: float) -> Split:
    """The split at a position in [0, 1) of a collection laid out as 80 % train, 10 % val, 10 % test."""
    if position < 0.8:
        return "train"
    return "val" if position < 0.9 else "test"


def split_by_date(date_of: Mapping[int, str], pairs_of: Mapping[int, int]) -> dict[int, Split]:
    """Cut the collection in time: the oldest 80 % of pairs train, the next 10 % validate, the latest 10 % test.

    Args:
        date_of: ISO date of each group.
        pairs_of: number of pairs of each group.

    Returns:
        The split of each group. A day is never cut, so every training date is before every validation date, and
        these before every test date.
    """
    pairs_on_day: dict[str, int] = {}
    for group, date in date_of.items():
        pairs_on_day[date] = pairs_on_day.get(date, 0) + pairs_of[group]
    total = sum(pairs_on_day.values())
    split_of_day: dict[str, Split] = {}
    seen = 0
    for day in sorted(pairs_on_day):
        split_of_day[day] = _split_at((seen + pairs_on_day[day] / 2) / total)
        seen += pairs_on_day[day]
    return {group: split_of_day[date] for group, date in date_of.items()}


def require_disjoint(split_of: Mapping[str, str], group_of: Mapping[str, int]) -> None:
    """Refuse a split that puts pairs of one group into two splits.

    Raises:
        DataError: naming the group and two of its images.
    """
    first: dict[int, str] = {}
    for image_id, split in split_of.items():
        other = first.setdefault(group_of[image_id], image_id)
        if split_of[other] != split:
            raise DataError(
                f"study {group_of[image_id]} is in two splits: image {other} in {split_of[other]}, image {image_id} "
                f"in {split}; put all images of a study into one split"
            )

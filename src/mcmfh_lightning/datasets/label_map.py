"""Maps from the label words of a collection to another vocabulary, as ``--label-map`` of the converters names them.

A map is a CSV with the columns ``raw_label`` and ``canonical_label``. A raw label may have several rows, and several
raw labels may share a canonical one; raw labels without a row are lost, and counted. The package ships a map for each
of several collections, all to one vocabulary of chest labels: ``chest_labels.yaml``.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Collection as Container
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from mcmfh_lightning.datasets.collection import Candidate
from mcmfh_lightning.datasets.table.files import read_records
from mcmfh_lightning.datasets.table.labels import check_labels
from mcmfh_lightning.datasets.table.values import BadValueError
from mcmfh_lightning.errors import DataError, reason, say
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.labels import NORMAL
from mcmfh_lightning.shards.relabel import conversion
from mcmfh_lightning.tables import counted, quoted

COLUMNS = ("raw_label", "canonical_label")
CHEST = "chest"
_MOST_STORED = 50
"""Lost labels that dataset.json names: captions of figures have thousands."""
_MOST_SHOWN = 6


@dataclass(frozen=True)
class LabelMap:
    """Map from raw labels to canonical ones.

    Attributes:
        name: Name of a shipped map, such as ``chest-openi``, or of the file.
        sha256: SHA-256 of the file, or of a shipped map as `to_csv` writes it.
        targets: Canonical labels of each raw label, sorted.
        path: The file; None for a shipped map.
    """

    name: str
    sha256: str
    targets: Mapping[str, tuple[str, ...]]
    path: Path | None = None

    def check(self, items: Iterable[Candidate]) -> None:
        """Refuse the map of other labels, before anything slow is done.

        Raises:
            DataError: If the items have no labels, or none of them is in the map.
        """
        raw = {label for item in items for label in item.labels}
        if not raw:
            raise DataError(f"--label-map {self.path or self.name}: the collection has no labels; leave it out")
        if not raw & self.targets.keys():
            raise DataError(
                f"--label-map {self.path or self.name}: none of the {counted(len(raw), 'raw label')} is in it "
                f"({quoted(sorted(raw), 3)}); name the map of these labels"
            )

    def normal_label(self, raw: str) -> str:
        """Return the canonical label that says that nothing was found.

        Args:
            raw: The raw one. That it is called normal may be an assumption: then another label may map to it.

        Raises:
            DataError: If a normal label with a name of its own is lost, or becomes several labels.
        """
        targets = self.targets.get(raw, (NORMAL,) if raw == NORMAL else ())
        if len(targets) == 1:
            return targets[0]
        raise DataError(
            f"--label-map {self.path or self.name}: the normal label {raw!r} has {len(targets)} canonical labels; "
            f"write one row for it, such as {raw},{NORMAL}"
        )

    def apply(
        self, items: Sequence[Candidate], dropped: Container[str], console: Console
    ) -> tuple[list[Candidate], dict[str, Any]]:
        """Replace the labels of items.

        Args:
            items: The items.
            dropped: Raw labels that are left out on purpose, and not counted as lost.
            console: Where to say which raw labels of a user's map no item has: they may be misspelled.

        Returns:
            The items with canonical labels, and an account of what was lost, for ``dataset.json``.
        """
        raw = [[label for label in item.labels if label not in dropped] for item in items]
        counts = Counter(chain.from_iterable(raw))
        lost = {label: counts[label] for label in sorted(counts.keys() - self.targets.keys())}
        mapped = [
            replace(item, labels=tuple(sorted({new for label in labels for new in self.targets.get(label, ())})))
            for item, labels in zip(items, raw, strict=True)
        ]
        absent = sorted(self.targets.keys() - counts.keys() - set(dropped))
        if self.path is not None and absent:
            near = did_you_mean(absent[0], counts)
            are = "raw label is" if len(self.targets) == 1 else "raw labels are"
            say(
                f"hint: {self.path}: {len(absent)} of {len(self.targets)} {are} on no pair: {quoted(absent, 3)}{near}",
                console,
            )
        account = {
            "name": self.name,
            "sha256": self.sha256,
            "raw_labels": len(counts),
            "raw_labels_lost": len(lost),
            "lost": dict(Counter(lost).most_common(_MOST_STORED)),
            "pairs_left_without_label": sum(
                bool(labels) and not item.labels for labels, item in zip(raw, mapped, strict=True)
            ),
        }
        return mapped, account


def read_label_map(value: str | None, converter: str) -> LabelMap | None:
    """Read the map that the option ``--label-map`` names.

    Args:
        value: ``chest`` for the shipped map of the converter's collection, the whole name of a shipped map, or a CSV of
            the user's own. None without the option.
        converter: Converter of the labels, as ``dataset.json`` names it.

    Raises:
        DataError: If there is no such map or file, or the file is not a map; with its row and the fix.
    """
    if value is None:
        return None
    collections: Mapping[str, Any] = chest_labels()["collections"]
    shipped = {f"{CHEST}-{name}": name for name in collections}
    if value == CHEST:
        mine = [name for name, entry in collections.items() if converter in entry["converters"]]
        if not mine:
            raise DataError(
                f"--label-map {CHEST}: it is not known which collection the labels are of; name the map, "
                f"{', '.join(shipped)}, or a CSV of your own"
            )
        return shipped_map(mine[0])
    if value in shipped:
        return shipped_map(shipped[value])
    path = Path(value)
    if not path.exists():
        near = did_you_mean(value, (CHEST, *shipped))
        raise DataError(
            f"--label-map {value}: no such file, and the shipped maps are {', '.join((CHEST, *shipped))}{near or ';'} "
            "correct the name"
        )
    return LabelMap(path.name, *_read_map(path), path)


@cache
def chest_labels() -> Mapping[str, Any]:
    """Read the shipped vocabulary: its collections, and what of each maps to each label."""
    shipped: Mapping[str, Any] = yaml.safe_load((files(__package__) / "chest_labels.yaml").read_text("utf-8"))
    return shipped


def shipped_map(collection: str) -> LabelMap:
    """Return the shipped map of a collection of `chest_labels`."""
    targets: dict[str, list[str]] = {}
    for canonical, entry in chest_labels()["labels"].items():
        found = entry.get(collection, [])
        # CUIs stand below the words of the captions that they echo.
        for raw in chain.from_iterable(found.values()) if isinstance(found, dict) else found:
            targets.setdefault(raw, []).append(canonical)
    sorted_targets = {raw: tuple(sorted(targets[raw])) for raw in sorted(targets)}
    return LabelMap(f"{CHEST}-{collection}", hashlib.sha256(to_csv(sorted_targets)).hexdigest(), sorted_targets)


def to_csv(targets: Mapping[str, Iterable[str]]) -> bytes:
    """Write a map as the content of a CSV that `read_label_map` reads."""
    content = io.StringIO(newline="")
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((raw, canonical) for raw, all_of_it in targets.items() for canonical in all_of_it)
    return content.getvalue().encode()


def _read_map(path: Path) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return SHA-256 and canonical labels of a file."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, row {row}: byte {error.start} is not UTF-8; save the file as CSV in UTF-8") from error
    except OSError as error:
        raise DataError(f"--label-map {path}: cannot be read ({reason(error)}); correct the path") from error
    header, *records = read_records(path, text, ",") or [[]]
    header = [name.strip() for name in header]
    if any(header.count(name) != 1 for name in COLUMNS):
        sign = " and commas between them" if len(header) == 1 else ""
        raise DataError(
            f"{path}, row 1: the columns are {quoted(header) or 'missing'}; write {' and '.join(COLUMNS)} once each"
            f"{sign}"
        )
    rows: dict[tuple[str, str], int] = {}
    for row, cells in enumerate(records, 2):
        if not any(cell.strip() for cell in cells):  # spreadsheets leave them below a table
            continue
        where = f"{path}, row {row}"
        if len(cells) != len(header):
            raise DataError(
                f"{where}: {len(cells)} fields, not {len(header)}; put a label that holds a comma in quotes"
            )
        raw, canonical = (cells[header.index(name)].strip() for name in COLUMNS)
        _check_row(where, raw, canonical)
        if (first := rows.setdefault((raw, canonical), row)) != row:
            raise DataError(f"{where}: {raw!r} to {canonical!r} is in row {first} already; remove one of them")
    if not rows:
        raise DataError(f"{path}: no row; write one for each raw label and its canonical label")
    targets: dict[str, list[str]] = {}
    for raw, canonical in sorted(rows):
        targets.setdefault(raw, []).append(canonical)
    return hashlib.sha256(content).hexdigest(), {raw: tuple(canonical) for raw, canonical in targets.items()}


def _check_row(where: str, raw: str, canonical: str) -> None:
    if not raw:
        raise DataError(f"{where}: no raw label for {canonical!r}; write it, or remove the row")
    if not canonical:
        raise DataError(
            f"{where}: {raw!r} has no canonical label; write one, or remove the row: labels without a row are left out"
        )
    try:
        check_labels([canonical])
    except BadValueError as error:
        raise DataError(f"{where}: {error.reason} ({error.detail}); {error.fix}") from error


def describe_label_map(info: DatasetInfo) -> str:
    """Say which map gave a folder of pairs or features its labels, and what was lost; nothing without a map."""
    summary = conversion(info).get("summary", {})
    account = summary.get("label_map")
    if account is None:
        return ""
    gloss = summary["label_gloss"]
    shown = [
        f"{label}{f' ({gloss[label]})' if label in gloss else ''} {pairs:,}"
        for label, pairs in Counter(account["lost"]).most_common(_MOST_SHOWN)
    ]
    total, lost = account["raw_labels"], account["raw_labels_lost"]
    left = account["pairs_left_without_label"]
    return (
        f"label map {account['name']} (SHA-256 {account['sha256'][:12]}...): {total - lost:,} of "
        f"{counted(total, 'raw label')} mapped, {lost:,} lost"
        + (f" (pairs with each: {'; '.join(shown)}{'; ...' if lost > len(shown) else ''})" if shown else "")
        + f"; {counted(left, 'pair')} left without a label by it"
    )

"""Items that a converter reads from a collection, and their image files, before splits, vocabulary and shards."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.decode import read_picture
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import FIXES, PictureError
from mcmfh_lightning.shards.info import Split
from mcmfh_lightning.shards.labels import NORMAL
from mcmfh_lightning.shards.pair import ImageFormat

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

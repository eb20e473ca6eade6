"""Content of ``dataset.json``: what a shard folder holds, where it comes from and under which license."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

import mcmfh_lightning
from mcmfh_lightning.errors import DataError, check_choice
from mcmfh_lightning.files import read_json, write_json

DATASET_FILE = "dataset.json"
FORMAT_VERSION = 3
READ_VERSIONS = (2, FORMAT_VERSION)
"""Version 2 lacks the names of groups; nothing else differs."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
"""The splits in the order in which they are written, read and listed."""

DatasetFormat = Literal["mcmfh-pairs", "mcmfh-features"]

_SHARD_NAME = re.compile(r"(train|val|test)-\d{3}-\d{5}\.tar")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_SHOWN = 100


@dataclass(frozen=True)
class ShardInfo:
    """One tar file of a split.

    Attributes:
        name: File name, relative to the folder.
        pairs: Number of pairs inside.
        bytes: Size of the file.
        sha256: Checksum of the file, 64 hexadecimal digits.
    """

    name: str
    pairs: int
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not _SHARD_NAME.fullmatch(self.name):
            raise DataError(
                f"shard name {self.name!r}: only plain names such as train-000-00000.tar are read"
                " (no folders, no URLs, no pipes); correct dataset.json or write the folder again"
            )
        if self.pairs < 1 or self.bytes < 1 or not _SHA256.fullmatch(self.sha256):
            raise DataError(
                f"shard {self.name}: pairs, bytes or sha256 cannot be right in dataset.json; write the folder again"
            )

    def is_present(self, folder: Path) -> bool:
        """Say whether this shard is in a folder, at its full size."""
        path = folder / self.name
        return path.is_file() and path.stat().st_size == self.bytes

    def check_present(self, folder: Path) -> Path:
        """Return the path of this shard after a cheap check that all of it is there.

        Raises:
            DataError: If the file is missing or has another size than dataset.json says.
        """
        path = folder / self.name
        if not path.is_file():
            raise DataError(f"shard {path} is missing: copy it from where {DATASET_FILE} comes from, or write it again")
        size = path.stat().st_size
        if size != self.bytes:
            raise DataError(
                f"shard {path} has {size} bytes, {DATASET_FILE} says {self.bytes}:"
                " the copy is incomplete or the file was changed; copy or write it again"
            )
        return path


@dataclass(frozen=True)
class SplitInfo:
    """The shards of a split, in the order of their pairs.

    Attributes:
        pairs: Number of pairs of all shards together.
        shards: The shards.
    """

    pairs: int
    shards: tuple[ShardInfo, ...]

    @classmethod
    def of(cls, shards: Sequence[ShardInfo]) -> Self:
        """Make the entry of a split from its shards."""
        return cls(pairs=sum(shard.pairs for shard in shards), shards=tuple(shards))


@dataclass(frozen=True)
class DatasetInfo:
    """Content of ``dataset.json``.

    Attributes:
        format: ``mcmfh-pairs`` or ``mcmfh-features``.
        name: Short name of the collection.
        source: Where the collection comes from.
        licence: Its license.
        settings: Arguments of the program that wrote the folder; plain JSON.
        label_vocabulary: The labels; bit ``i`` of a packed label set is the ``i``-th.
        normal_label: The label that says "nothing found", or None.
        splits: Shards by split; a split without pairs is left out.
        skipped: How many items were left out, by reason.
        skipped_examples: Up to 20 of their ids, by reason.
        encoder: Features only: identity of the encoder; plain JSON.
        image_dim: Features only: width of the image embeddings.
        text_dim: Features only: width of the text embeddings.

    Raises:
        DataError: If an entry contradicts another.
    """

    format: DatasetFormat
    name: str
    source: str
    licence: str
    settings: Mapping[str, Any]
    label_vocabulary: tuple[str, ...]
    normal_label: str | None
    splits: Mapping[str, SplitInfo]
    skipped: Mapping[str, int] = field(default_factory=dict)
    skipped_examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    encoder: Mapping[str, Any] | None = None
    image_dim: int | None = None
    text_dim: int | None = None

    def __post_init__(self) -> None:
        for complaint in self._complaints():
            raise DataError(f"{DATASET_FILE} of {self.name!r}: {complaint}")

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that are equal for equal shards."""
        shards = [shard for split in SPLITS for shard in self.split(split).shards]
        return hashlib.sha256("\n".join(f"{one.name} {one.sha256}" for one in shards).encode()).hexdigest()[:16]

    def _complaints(self) -> Iterator[str]:
        vocabulary = self.label_vocabulary
        if self.format not in get_args(DatasetFormat):
            yield f"format {self.format!r} is not one of {', '.join(get_args(DatasetFormat))}"
        if len(set(vocabulary)) != len(vocabulary):
            yield "the label vocabulary names a label twice"
        if self.normal_label is not None and self.normal_label not in vocabulary:
            yield f"normal_label {self.normal_label!r} is not in the label vocabulary"
        for split, entry in self.splits.items():
            yield from _split_complaints(split, entry)
        if self.format == "mcmfh-features":
            if self.encoder is None:
                yield "features need the identity of their encoder"
            if not self.image_dim or not self.text_dim or min(self.image_dim, self.text_dim) < 1:
                yield "features need image_dim and text_dim"

    def lacks(self, folder: Path) -> str | None:
        """Say which shards are missing in a folder, or are not whole, and the fix; None if all are there.

        Args:
            folder: The folder of this ``dataset.json``.
        """
        shards = [shard for entry in self.splits.values() for shard in entry.shards]
        absent = [shard.name for shard in shards if not shard.is_present(folder)]
        if not absent:
            return None
        names = ", ".join(absent[:3]) + ", ..." * (len(absent) > 3)
        return (
            f"{folder} is not complete: {len(absent):,} of {len(shards):,} shards missing or of another size "
            f"({names}); copy them there again, or delete this folder and repeat the command"
        )

    @property
    def num_labels(self) -> int:
        """Number of labels."""
        return len(self.label_vocabulary)

    def split(self, split: str) -> SplitInfo:
        """Return the entry of a split; one without pairs if the folder does not have it.

        Raises:
            ValueError: If ``split`` is not one of train, val, test.
        """
        check_choice("split", split, Split)
        return self.splits.get(split, SplitInfo(pairs=0, shards=()))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read ``dataset.json`` of a folder.

        Args:
            folder: A folder of pair or feature shards.

        Raises:
            DataError: If the file is missing, of another format version, or contradicts itself.
        """
        path = Path(folder) / DATASET_FILE
        content = read_json(path)
        version = content.get("format_version") if isinstance(content, dict) else None
        if not isinstance(content, dict) or version not in READ_VERSIONS:
            raise DataError(
                f"{path}: format_version {version!r}, this release reads {' and '.join(map(str, READ_VERSIONS))}:"
                " write the folder again, or install the release that wrote it"
            )
        del content["format_version"]
        content.pop("created_by", None)
        try:
            content["label_vocabulary"] = tuple(content["label_vocabulary"])
            content["splits"] = {
                split: SplitInfo(entry["pairs"], tuple(ShardInfo(**shard) for shard in entry["shards"]))
                for split, entry in content["splits"].items()
            }
            return cls(**content)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: an entry is missing or unknown ({error}); write the folder again") from error

    def write(self, folder: str | Path) -> None:
        """Write ``dataset.json``, atomically.

        Args:
            folder: An existing folder.
        """
        created_by = f"mcmfh-lightning {mcmfh_lightning.__version__}"
        head = {"format": self.format, "format_version": FORMAT_VERSION, "created_by": created_by}
        # Optional entries that a pair folder does not have are left out rather than written as null.
        body = {k: v for k, v in asdict(self).items() if v is not None or k == "normal_label"}
        write_json(Path(folder) / DATASET_FILE, head | body)


def _split_complaints(split: str, entry: SplitInfo) -> Iterator[str]:
    names = [shard.name for shard in entry.shards]
    if split not in SPLITS:
        yield f"split {split!r} is not one of {', '.join(SPLITS)}"
    yield from (f"shard {name} is listed in split {split}" for name in names if not name.startswith(f"{split}-"))
    if len(set(names)) != len(names):
        yield f"split {split} lists a shard twice"
    if (total := SplitInfo.of(entry.shards).pairs) != entry.pairs:
        yield f"split {split} says {entry.pairs} pairs, its shards hold {total}"


def encoder_name(encoder: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Name an encoder by its identity, with its other differences if two have one name."""
    name = repr(encoder.get("name"))
    if encoder.get("name") != other.get("name"):
        return name
    odd = [key for key in encoder.keys() | other.keys() if encoder.get(key) != other.get(key)]
    return f"{name} with " + ", ".join(f"{key} {shortened(encoder.get(key))}" for key in sorted(odd))


def shortened(value: object) -> str:
    """Write a value for a message, at most 100 characters of it."""
    text = str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."

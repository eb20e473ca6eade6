"""What goes into an archive: splits of feature or pair shards, as batches of features with what else is known."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.fabric.utilities import suggested_max_num_workers
from numpy.typing import NDArray
from torch import Tensor

from mcmfh_lightning.archive.identity import named
from mcmfh_lightning.datamodules.loader import BatchLoader
from mcmfh_lightning.datamodules.streams import EvaluationStream
from mcmfh_lightning.datamodules.tables import FeatureTable, PairTable
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.encoders.base import embed_pairs
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.images.dicom_values import STRETCHED
from mcmfh_lightning.images.png import ValueRange, check_value_range
from mcmfh_lightning.shards import SPLITS, DatasetInfo, FeatureShardReader, PairShardReader, unpack_bits
from mcmfh_lightning.shards.folder import ShardFolder, without_password
from mcmfh_lightning.types import FeatureBatch

_FEATURE_ROWS = 1024
_ENCODER_ROWS = 32
"""As `PairDataModule` has it."""
_FEW = 1024
"""Pairs for which processes that decode pictures are not worth their start."""


class Place(NamedTuple):
    """Where a pair lies: the number of its reader and its position there."""

    reader: int
    position: int


@dataclass(frozen=True)
class Source:
    """Shards whose items are added.

    Args:
        features: Feature shards, or None: then pairs are encoded.
        pairs: Pair shards, which say of each item its date, licence and content; or None.
        splits: Which splits; all that have items if empty.

    Raises:
        DataError: If neither is given, a folder is of the other kind, or the features were made of other pairs.
    """

    features: ShardFolder | None
    pairs: ShardFolder | None
    splits: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.features is None and self.pairs is None:
            raise DataError("nothing to add: pass --features DIR, --pairs DIR, or both")
        for folder, format_name in ((self.features, "mcmfh-features"), (self.pairs, "mcmfh-pairs")):
            found = None if folder is None else DatasetInfo.load(folder.path)
            if found is not None and found.format != format_name:
                raise DataError(f"{folder} holds {found.format}, not {format_name}: pass it as the other flag")
        if self.features is not None and self.pairs is not None:
            made_of = self.info.settings.get("pairs_sha256")
            if made_of is not None and made_of != _pairs_sha256(DatasetInfo.load(self.pairs.path)):
                raise DataError(f"{self.features} was not made of {self.pairs}: pass the pairs that were encoded")
        missing = [split for split in self.splits if not self.info.split(split).pairs]
        if missing:
            raise DataError(f"{self.folder} has no pairs in {', '.join(missing)}: correct --splits")

    @classmethod
    def of(cls, features: str | None, pairs: str | None, splits: tuple[str, ...] = ()) -> "Source":
        """From the flags of a command."""
        return cls(
            None if features is None else ShardFolder(features),
            None if pairs is None else ShardFolder(pairs),
            splits,
        )

    @property
    def folder(self) -> ShardFolder:
        """What is read for the codes."""
        folder = self.pairs if self.features is None else self.features
        assert folder is not None  # noqa: S101  # see above
        return folder

    @cached_property
    def info(self) -> DatasetInfo:
        """``dataset.json`` of the same."""
        return DatasetInfo.load(self.folder.path)

    def check_encoder(self, encoder: Mapping[str, Any]) -> None:
        """Refuse features of another encoder.

        Args:
            encoder: Identity of the encoder of the archive.

        Raises:
            CheckpointError: If they are; the message names both.
        """
        found = self.info.encoder
        if self.features is not None and found is not None and found != encoder:
            raise CheckpointError(
                f"{self.features} holds features of the encoder {named(found, encoder)}, the archive's hasher was "
                f"trained on those of {named(encoder, found)}: encode the pairs with that (`mcmfh predict`)"
            )

    @property
    def value_range(self) -> ValueRange | None:
        """Values that became black and white when the pictures were converted; None if each had its own.

        Raises:
            DataError: If ``dataset.json`` holds something else.
        """
        try:
            return check_value_range(self._converted.get("value_range"))
        except (ConfigError, TypeError, ValueError) as error:
            raise DataError(f"{self.folder}: dataset.json holds no value_range ({error}); convert again") from error

    def check_value_range(self, value_range: ValueRange | None) -> None:
        """Refuse pictures that were scaled in another way than the archive reads queries.

        Args:
            value_range: That of the archive.

        Raises:
            ConfigError: If a value range decided about pictures of either, and the other has a different one.
        """
        summary = self._converted.get("summary", {})
        deep = self.value_range is not None or "image_bits" in summary or STRETCHED in summary.get("kept", {})
        if deep and self.value_range != value_range:
            raise ConfigError(
                f"{self.folder} was converted with --value-range {_shown(self.value_range)}, the archive reads queries "
                f"with {_shown(value_range)}: convert the collection again with that of the archive, or build another "
                "archive"
            )

    @property
    def _converted(self) -> Mapping[str, Any]:
        """Settings of the conversion; features hold those of their pairs."""
        settings = self.info.settings
        return settings if self.features is None else settings.get("pairs") or {}

    def load_columns(self) -> None:
        """Read what is known of all items, so that threads need not."""
        _ = self.ids, self._starts, [(reader.groups, reader.group_names) for reader in self.readers]
        if self.pairs is not None:
            _ = self._pair_readers

    @property
    def pairs_address(self) -> str | None:
        """What items remember of where their content lies."""
        if self.pairs is None:
            return None
        shown = without_password(str(self.pairs))
        return shown if "://" in shown else str(Path(shown).resolve())

    @cached_property
    def readers(self) -> "list[FeatureShardReader] | list[PairShardReader]":
        """One a split, in order."""
        names = [split for split in SPLITS if self.info.split(split).pairs and split in (self.splits or SPLITS)]
        if self.features is None:
            return [PairShardReader(self.folder, split) for split in names]
        return [FeatureShardReader(self.folder, split, self.info) for split in names]

    @cached_property
    def ids(self) -> list[str]:
        """Ids of all items, in order."""
        return [name for reader in self.readers for name in reader.ids]

    def place(self, row: int) -> Place:
        """Where the item of a row lies."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return Place(number, row - int(self._starts[number]))

    def split(self, row: int) -> str:
        """Split of an item."""
        return self.readers[self.place(row).reader].split

    def group(self, row: int) -> tuple[int, str]:
        """Number and name of an item's group; features of version 2 of the format know the number only."""
        number, position = self.place(row)
        reader = self.readers[number]
        return int(reader.groups[position]), reader.group_names[position]

    def pair_place(self, row: int) -> tuple[PairShardReader, int] | None:
        """Where the pair of an item lies; None without pair shards.

        Raises:
            DataError: If there is no pair of that id.
        """
        if self.pairs is None:
            return None
        number, position = self.place(row)
        reader, positions = self._pair_readers[number]
        if positions is not None:
            name = self.ids[row]
            if name not in positions:
                raise DataError(f"{self.pairs} has no pair {name}, {self.folder} has: pass the pairs that were encoded")
            position = positions[name]
        return reader, position

    def labels(self, packed: NDArray[np.uint8]) -> list[list[str]]:
        """Names of packed label sets."""
        vocabulary = self.info.label_vocabulary
        return [[vocabulary[i] for i in np.flatnonzero(row)] for row in unpack_bits(packed, len(vocabulary))]

    def batches(self, rows: NDArray[np.int64], encoder: Encoder | None, device: str) -> Iterator[FeatureBatch]:
        """Features of rows, ascending; ``index`` is the row.

        Embeddings of pairs are rounded to half precision as in feature shards, so that either way gives one code.

        Args:
            rows: (N,) which items.
            encoder: Needed for pairs.
            device: Where the encoder runs.
        """
        if self.features is not None:
            table = FeatureTable(self.readers)  # type: ignore[arg-type]  # of features, as there are some
            stream = EvaluationStream(table, rows, _FEATURE_ROWS)
            yield from BatchLoader(stream, "archive")  # type: ignore[misc]  # batches of that table
            return
        assert encoder is not None  # noqa: S101  # see above
        encoder = encoder.to(device)
        pairs = PairTable(self.readers, encoder.preprocess, encoder.tokenize)  # type: ignore[arg-type]  # of pairs
        workers = 0 if len(rows) <= _FEW else suggested_max_num_workers(1)
        # Not forked: LanceDB's threads run already.
        context = "spawn" if workers else None
        loader = BatchLoader(
            EvaluationStream(pairs, rows, _ENCODER_ROWS),
            "archive",
            fix="encode the pairs with `mcmfh predict --data.num_workers 0` and add those features",
            num_workers=workers,
            multiprocessing_context=context,
        )
        for batch in loader:
            with torch.inference_mode():
                features = embed_pairs(encoder, _moved(batch, device))
            features["image"] = self._halved(features["image"], batch["index"])
            features["text"] = self._halved(features["text"], batch["index"])
            yield _moved(features, "cpu")

    def _halved(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        halved = embeddings.half().float()
        finite = halved.isfinite().all(1).cpu()
        if not finite.all():
            place = self.place(int(rows[~finite][0]))
            raise DataError(
                f"{self.readers[place.reader].where(place.position)}: its embedding is not finite in half precision; "
                "check the encoder's weights and its precision"
            )
        return halved

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *map(len, self.readers)])

    @cached_property
    def _pair_readers(self) -> list[tuple[PairShardReader, Mapping[str, int] | None]]:
        """Of each split; positions by id where features and pairs are two folders."""
        found: list[tuple[PairShardReader, Mapping[str, int] | None]] = []
        for reader in self.readers:
            if isinstance(reader, PairShardReader):
                found.append((reader, None))
                continue
            assert self.pairs is not None  # noqa: S101  # who calls has looked
            pairs = PairShardReader(self.pairs, reader.split)
            found.append((pairs, {name: position for position, name in enumerate(pairs.ids)}))
        return found


def _shown(value_range: ValueRange | None) -> str:
    return "none" if value_range is None else f"[{value_range[0]:g}, {value_range[1]:g}]"


def _moved(value: Any, device: str) -> Any:  # noqa: ANN401  # tensors, or mappings of them
    if isinstance(value, Mapping):
        return {name: _moved(part, device) for name, part in value.items()}
    return value.to(device)


def _pairs_sha256(info: DatasetInfo) -> str:
    """As `FeatureWriter` notes it in ``settings``."""
    shards = [shard.sha256 for split in info.splits.values() for shard in split.shards]
    return hashlib.sha256("".join(shards).encode()).hexdigest()

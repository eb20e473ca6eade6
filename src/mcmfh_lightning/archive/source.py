"""Shards whose items go into an archive: batches of features with what else is known of the items."""

import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device, suggested_max_num_workers
from numpy.typing import NDArray
from torch import Tensor

from mcmfh_lightning.archive.info import TRAINED_FROM
from mcmfh_lightning.datamodules.loader import BatchLoader
from mcmfh_lightning.datamodules.streams import EvaluationStream
from mcmfh_lightning.datamodules.tables import FeatureTable, PairTable
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.encoders.base import embed_pairs
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.images.dicom_values import STRETCHED
from mcmfh_lightning.images.png import ValueRange, check_value_range
from mcmfh_lightning.shards import SPLITS, DatasetInfo, FeatureShardReader, PairShardReader, unpack_bits
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.info import encoder_name
from mcmfh_lightning.shards.relabel import conversion, items_sha256, labels_of, relabeling
from mcmfh_lightning.types import FeatureBatch

_log = logging.getLogger(__name__)
_FEATURE_ROWS = 1024
_ENCODER_ROWS = 32  # as in `PairDataModule`
_FEW = 1024  # pairs for which processes that decode pictures are not worth their start


class Source:
    """Shards whose items are added, in the order of their splits.

    Args:
        features: Folder or URL of feature shards, or None: then pairs are encoded.
        pairs: Folder or URL of pair shards, which have the date, licence and content of each item, or None.
        splits: Splits to add; all that have items if empty.

    Raises:
        DataError: If neither is given, a folder is of the other kind, the features were made of other pairs, or their
            labels are of two tables.
    """

    def __init__(self, features: str | None, pairs: str | None, splits: tuple[str, ...] = ()) -> None:
        self.features = None if features is None else ShardFolder(features)
        self.pairs = None if pairs is None else ShardFolder(pairs)
        infos = {}
        for place, name in ((self.features, "mcmfh-features"), (self.pairs, "mcmfh-pairs")):
            if place is not None:
                infos[name] = DatasetInfo.load(place.path)
                if infos[name].format != name:
                    raise DataError(f"{place} holds {infos[name].format}, not {name}: pass it as the other flag")
        folder = self.features or self.pairs
        if folder is None:
            raise DataError("nothing to add: pass --features DIR, --pairs DIR, or both")
        self.folder = folder
        self.info = next(iter(infos.values()))
        if len(infos) == 2:
            _check_same_pairs(str(self.features), str(self.pairs), *infos.values())
        if missing := [split for split in splits if not self.info.split(split).pairs]:
            raise DataError(f"{folder} has no pairs in {', '.join(missing)}: correct --splits")
        self._splits = [split for split in SPLITS if self.info.split(split).pairs and split in (splits or SPLITS)]

    def check_encoder(self, encoder: Mapping[str, Any]) -> None:
        """Refuse features of another encoder.

        Args:
            encoder: Identity of the encoder of the archive.

        Raises:
            CheckpointError: If they are of another, and the message names both; or the archive's was trained with its
                hasher, and any features are of another.
        """
        if self.features is not None and TRAINED_FROM in encoder:
            raise CheckpointError(
                f"{self.features} holds features, and the hasher was trained end to end, with an encoder of its own: "
                "pass --pairs DIR alone, which are encoded by that"
            )
        found = self.info.encoder
        if self.features is not None and found is not None and found != encoder:
            raise CheckpointError(
                f"{self.features} holds features of the encoder {encoder_name(found, encoder)}, the archive's hasher "
                f"was trained on those of {encoder_name(encoder, found)}: encode the pairs with that (`mcmfh predict`)"
            )

    @property
    def value_range(self) -> ValueRange | None:
        """Values that became black and white when the pictures were converted; None if each had its own.

        Raises:
            DataError: If ``dataset.json`` holds something else.
        """
        try:
            return check_value_range(self._conversion.get("value_range"))
        except (ConfigError, TypeError, ValueError) as error:
            raise DataError(
                f"{self.folder}: value_range of dataset.json cannot be used ({error}); convert again"
            ) from error

    def check_value_range(self, value_range: ValueRange | None) -> None:
        """Refuse pictures that were scaled in another way than the archive reads queries.

        Args:
            value_range: That of the archive.

        Raises:
            ConfigError: If a value range decided about pictures of either, and the other has a different one.
        """
        summary = self._conversion.get("summary", {})
        deep = self.value_range is not None or "image_bits" in summary or STRETCHED in summary.get("kept", {})
        if deep and self.value_range != value_range:
            ours, theirs = (
                "none" if values is None else f"{values[0]:g} {values[1]:g}"
                for values in (self.value_range, value_range)
            )
            raise ConfigError(
                f"{self.folder} was converted with --value-range {ours}, the archive reads queries with {theirs}: "
                "convert the collection again with that of the archive, or build another archive"
            )

    @property
    def _conversion(self) -> Mapping[str, Any]:
        """Settings of the conversion; features hold those of their pairs."""
        return conversion(self.info)

    @property
    def pairs_address(self) -> str | None:
        """Address of their content that items remember."""
        if self.pairs is None:
            return None
        shown = str(self.pairs)
        return shown if "://" in shown else str(Path(shown).resolve())

    @cached_property
    def reader(self) -> FeatureShardReader | PairShardReader:
        """Reader of the items, split after split."""
        if self.features is None:
            return PairShardReader(self.folder, self._splits)
        return FeatureShardReader(self.folder, self._splits, self.info)

    @property
    def ids(self) -> list[str]:
        """Ids of all items, in order."""
        return self.reader.ids

    def load_columns(self) -> None:
        """Read the columns of all items, so that threads need not."""
        _ = self.reader.ids, self.reader.groups, self.reader.group_names, self._pairs

    def columns(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Read what shards of both kinds know of items, by the columns of an archive.

        Args:
            rows: (n,) items.
        """
        ids, names = self.ids, self.reader.group_names
        ends = np.cumsum([self.info.split(split).pairs for split in self._splits])
        return {
            "id": [ids[row] for row in rows.tolist()],
            "group": self.reader.groups[rows],
            "group_name": [names[row] for row in rows.tolist()],  # features of version 2 of the format have the number
            "split": [self._splits[place] for place in np.searchsorted(ends, rows, side="right").tolist()],
            "licence": [self.info.licence] * len(rows),
            "source": [self.info.source] * len(rows),
            "folder": [self.pairs_address] * len(rows),
        }

    def pair_place(self, row: int) -> tuple[PairShardReader, int]:
        """Find the pair of an item; there are pair shards.

        Raises:
            DataError: If there is no pair of that id.
        """
        assert self._pairs is not None  # noqa: S101  # the caller has asked
        reader, positions = self._pairs
        if positions is None:
            return reader, row
        key = self.reader.split_of(row), self.ids[row]
        if key not in positions:
            raise DataError(f"{self.pairs} has no pair {key[1]}, {self.folder} has: pass the pairs that were encoded")
        return reader, positions[key]

    def labels(self, packed: NDArray[np.uint8]) -> list[list[str]]:
        """Name the labels of packed label sets."""
        vocabulary = self.info.label_vocabulary
        rows, columns = np.nonzero(unpack_bits(packed, len(vocabulary)))
        names = [vocabulary[column] for column in columns.tolist()]
        ends = np.searchsorted(rows, np.arange(len(packed) + 1)).tolist()
        return [names[start:end] for start, end in pairwise(ends)]

    def batches(self, rows: NDArray[np.int64], encoder: Encoder | None, device: str) -> Iterator[FeatureBatch]:
        """Read or compute features of rows, ascending; ``index`` is the row.

        Embeddings of pairs are rounded to half precision as in feature shards, so that either way gives one code.

        Args:
            rows: (N,) items.
            encoder: Encoder, needed for pairs.
            device: Where the encoder runs.
        """
        if self.features is not None:
            table = FeatureTable(self.reader)  # type: ignore[arg-type]  # of features, as there are some
            stream = EvaluationStream(table, rows, _FEATURE_ROWS)
            yield from BatchLoader(stream, "archive")  # type: ignore[misc]  # batches of that table
            return
        assert encoder is not None  # noqa: S101  # see above
        encoder = encoder.to(device)
        pairs = PairTable(self.reader, encoder.preprocess, encoder.tokenize)  # type: ignore[arg-type]  # of pairs
        workers = 0 if len(rows) <= _FEW else suggested_max_num_workers(1)
        loader = BatchLoader(
            EvaluationStream(pairs, rows, _ENCODER_ROWS),
            "archive",
            fix="encode the pairs with `mcmfh predict --data.num-workers 0` and add those features",
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,  # not forked: LanceDB's threads run already
        )
        cut = texts = 0
        for batch in loader:
            truncated = batch["text"].get("truncated", torch.zeros(0, dtype=torch.bool))
            cut, texts = cut + int(truncated.sum()), texts + len(truncated)
            with torch.inference_mode():
                features = embed_pairs(encoder, move_data_to_device(batch, device))
            features["image"] = self._halved(features["image"], batch["index"])
            features["text"] = self._halved(features["text"], batch["index"])
            yield move_data_to_device(features, "cpu")
        if cut:
            _log.warning("%s", encoder.say_cut(f"{cut} of {texts}"))

    def _halved(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        halved = embeddings.half().float()
        finite = halved.isfinite().all(1).cpu()
        if not finite.all():
            raise DataError(
                f"{self.reader.where(int(rows[~finite][0]))}: its embedding is not finite in half precision; check the "
                "encoder's weights and its precision"
            )
        return halved

    @cached_property
    def _pairs(self) -> tuple[PairShardReader, Mapping[tuple[str, str], int] | None] | None:
        """Reader of the pairs, with positions by split and id where features and pairs are two folders."""
        if self.pairs is None:
            return None
        if isinstance(self.reader, PairShardReader):
            return self.reader, None
        pairs = PairShardReader(self.pairs, self._splits)
        return pairs, {(pairs.split_of(position), name): position for position, name in enumerate(pairs.ids)}


def _check_same_pairs(features: str, pairs: str, of_features: DatasetInfo, of_pairs: DatasetInfo) -> None:
    """Refuse features that were not made of the pairs, and labels of two tables.

    Labels are read from the features. Whoever relabeled the pairs alone means the labels of the pairs.
    """
    made_of = items_sha256(of_features)
    if made_of is not None and made_of != items_sha256(of_pairs):
        raise DataError(f"{features} was not made of {pairs}: pass the pairs that were encoded")
    if relabeling(of_pairs) is not None and labels_of(of_features) != labels_of(of_pairs):
        raise DataError(
            f"{features} and {pairs} have different labels: relabel both by the same table (mcmfh-data relabel), or "
            "pass the pairs as they were converted"
        )

"""Shards to rows of an archive."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcmfh_lightning.archive.content import thumbnail
from mcmfh_lightning.archive.identity import ArchiveInfo
from mcmfh_lightning.archive.results import Side
from mcmfh_lightning.archive.schema import binary_column, item_schema
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.metrics.functional import pack_signs
from mcmfh_lightning.types import FeatureBatch

_DOUBT = 1e-5
"""How near to 0 a relaxed code may be before rounding could decide its sign: products of matrices differ by 1e-7 or so
with the number of rows, and where experts are routed to, with the other rows."""


class _Content(NamedTuple):
    text: str | None
    thumbnail: bytes | None


class _Known(NamedTuple):
    """What shards say of an item."""

    group: int
    group_name: str
    date: str | None
    licence: str
    source: str
    shard: str | None
    content: _Content


class ItemEncoder:
    """Makes the rows of items.

    Args:
        info: Of the archive.
        hasher: That of the archive, in evaluation mode.
        source: Shards.
        encoder: Needed where the source has no features.
        device: Where hasher and encoder run.

    Raises:
        DataError: If content is to be stored and the source has no pairs.
    """

    def __init__(
        self, info: ArchiveInfo, hasher: Hasher, source: Source, encoder: Encoder | None, device: str = "cpu"
    ) -> None:
        if info.store_content and source.pairs is None:
            raise DataError("the archive stores texts and pictures, which features do not have: pass --pairs DIR too")
        self._info = info
        self._hasher = hasher.to(device)
        self._source = source
        self._encoder = encoder
        self._device = device
        self._schema = item_schema(info.num_bits)

    def rows(self, rows: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Rows of the table, in batches as they come.

        Args:
            rows: (N,) which items of the source, ascending.

        Raises:
            DataError: If an item is damaged, or its code is not finite.
        """
        self._source.load_columns()
        with ThreadPoolExecutor() as pool:  # Pillow decodes outside of Python's lock
            for batch in self._source.batches(rows, self._encoder, self._device):
                yield self._table(batch, pool)

    def _table(self, batch: FeatureBatch, pool: ThreadPoolExecutor) -> pa.Table:
        source, info = self._source, self._info
        numbers = batch["index"].tolist()
        has_image, has_text = batch["present"].numpy().T
        known = list(pool.map(self._known, numbers))
        columns: dict[str, Any] = {
            "id": [source.ids[number] for number in numbers],
            "group": [one.group for one in known],
            "group_name": [one.group_name for one in known],
            "split": [source.split(number) for number in numbers],
            "has_image": has_image,
            "has_text": has_text,
            "labels": source.labels(batch["labels"].numpy()),
            "date": [one.date for one in known],
            "licence": [one.licence for one in known],
            "source": [one.source for one in known],
            "text": [one.content.text for one in known],
            "thumbnail": [one.content.thumbnail for one in known],
            "folder": [source.pairs_address] * len(known),
            "shard": [one.shard for one in known],
        }
        present: Mapping[Side, NDArray[np.bool_]] = {
            "image": has_image,
            "text": has_text,
            "case": np.ones(len(known), dtype=np.bool_),
        }
        for side, relaxed in item_codes(self._hasher, batch, self._device).items():
            finite = relaxed.isfinite().all(1)
            if not finite.all():
                name = columns["id"][int(finite.logical_not().nonzero()[0])]
                raise DataError(
                    f"item {name}: its code is not finite; the checkpoint's weights have diverged, fit anew"
                )
            columns[f"{side}_code"] = binary_column(pack_signs(relaxed).numpy(), present[side])
            kept = present[side] & info.keep_relaxed
            columns[f"{side}_relaxed"] = binary_column(relaxed.half().numpy(), kept)
        arrays = [pa.array(columns[field.name], field.type) for field in self._schema]
        return pa.table(arrays, schema=self._schema)

    def _known(self, row: int) -> _Known:
        place = self._source.pair_place(row)
        group, name = self._source.group(row)
        if place is None:
            source = self._source.info
            return _Known(group, name, None, source.licence, source.source, None, _Content(None, None))
        reader, position = place
        shard = reader.shard_of(position)
        pair = reader[position] if self._info.store_content else reader.describe(position)
        if pair.group != group:
            raise DataError(
                f"{reader.where(position)}: is of group {pair.group_name}, its features are of {name}: pass the pairs "
                "that were encoded"
            )
        known = group, pair.group_name, pair.date, pair.licence, pair.source, shard
        if not self._info.store_content:
            return _Known(*known, _Content(None, None))
        try:
            picture = None if pair.image is None else thumbnail(pair.image)
        except DataError as error:
            raise DataError(f"{reader.where(position)}: {error}; convert the collection again") from error
        return _Known(*known, _Content(pair.text, picture))


@torch.inference_mode()
def item_codes(hasher: Hasher, batch: FeatureBatch, device: str = "cpu") -> dict[Side, Tensor]:
    """Relaxed codes of items.

    The code of an image or a text is that of the protocol ``unimodal``. The code of a case sees what there is: both
    modalities (protocol ``asymmetric``), or the one that the item has. No sign depends on the batch: items for which
    rounding could decide are hashed once more, each alone, as a query is.

    Args:
        hasher: In evaluation mode.
        batch: B items.
        device: Where the hasher is.

    Returns:
        (B, num_bits) float32 on the CPU for each side; without a meaning where an item lacks the modality.
    """
    codes = _codes(hasher, batch, device)
    doubtful = torch.stack([relaxed.abs() < _DOUBT for relaxed in codes.values()]).any(2).any(0)
    for row in doubtful.nonzero()[:, 0].tolist():
        for side, relaxed in _codes(hasher, _rows(batch, slice(row, row + 1)), device).items():
            codes[side][row] = relaxed[0]
    return codes


def _codes(hasher: Hasher, batch: FeatureBatch, device: str) -> dict[Side, Tensor]:
    output = hasher.evaluate(_moved(batch, device))
    has_image, has_text = batch["present"].to(device).unbind(1)
    alone = torch.where(has_image[:, None], output["image"], output["text"])
    case = torch.where((has_image & has_text)[:, None], output["case"], alone)
    return {"image": _kept(output["image"]), "text": _kept(output["text"]), "case": _kept(case)}


def _rows(batch: FeatureBatch, rows: slice) -> FeatureBatch:
    return cast("FeatureBatch", {name: cast("Tensor", column)[rows] for name, column in batch.items()})


def _moved(batch: FeatureBatch, device: str) -> FeatureBatch:
    return cast("FeatureBatch", {name: cast("Tensor", column).to(device) for name, column in batch.items()})


def _kept(relaxed: Tensor) -> Tensor:
    return relaxed.float().cpu()

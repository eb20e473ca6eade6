"""Items of shards as rows of an archive's table."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from lightning.fabric.utilities import move_data_to_device
from numpy.typing import NDArray
from torch import Tensor

from mcmfh_lightning.archive.info import ArchiveInfo
from mcmfh_lightning.archive.results import Side
from mcmfh_lightning.archive.schema import binary_column, item_schema, thumbnail
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.metrics.functional import pack_signs
from mcmfh_lightning.types import FeatureBatch

# Rounding could decide the sign of a relaxed code that is so near to 0: products of matrices differ by about 1e-7 with
# the number of rows, and where tokens are routed to experts, with the other rows.
_DOUBT = 1e-5


class ItemEncoder:
    """Maker of an archive's rows.

    Args:
        info: Description of the archive.
        hasher: Hasher of the archive, in evaluation mode.
        source: Shards.
        encoder: Encoder, needed where the source has no features.
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
        """Make rows of the table, batch by batch.

        Args:
            rows: (N,) items of the source, ascending.

        Raises:
            DataError: If an item is damaged, or its code is not finite.
        """
        self._source.load_columns()
        with ThreadPoolExecutor() as pool:  # Pillow decodes outside of Python's lock
            for batch in self._source.batches(rows, self._encoder, self._device):
                known = list(pool.map(self._describe, batch["index"].tolist()))
                yield self._table(batch, known)

    def _table(self, batch: FeatureBatch, known: list[dict[str, Any]]) -> pa.Table:
        has_image, has_text = batch["present"].numpy().T
        columns: dict[str, Any] = {name: [row[name] for row in known] for name in known[0]}
        columns |= {"has_image": has_image, "has_text": has_text}
        columns["labels"] = self._source.labels(batch["labels"].numpy())
        present = {"image": has_image, "text": has_text, "case": np.ones(len(known), dtype=np.bool_)}
        for side, relaxed in item_codes(self._hasher, batch, self._device).items():
            finite = relaxed.isfinite().all(1)
            if not finite.all():
                name = columns["id"][int(finite.logical_not().nonzero()[0])]
                raise DataError(
                    f"item {name}: its code is not finite; the checkpoint's weights have diverged, fit again"
                )
            columns[f"{side}_code"] = binary_column(pack_signs(relaxed).numpy(), present[side])
            columns[f"{side}_relaxed"] = binary_column(relaxed.half().numpy(), present[side] & self._info.keep_relaxed)
        arrays = [pa.array(columns[field.name], field.type) for field in self._schema]
        return pa.table(arrays, schema=self._schema)

    def _describe(self, row: int) -> dict[str, Any]:
        """Read the columns of an item that shards have."""
        source = self._source
        group, name = int(source.reader.groups[row]), source.reader.group_names[row]
        known: dict[str, Any] = {
            "id": source.ids[row],
            "group": group,
            "group_name": name,  # features of version 2 of the format have the number only
            "split": source.reader.split_of(row),
            "date": None,
            "licence": source.info.licence,
            "source": source.info.source,
            "folder": source.pairs_address,
            "shard": None,
            "text": None,
            "thumbnail": None,
        }
        place = source.pair_place(row)
        if place is None:
            return known
        reader, position = place
        pair = reader[position] if self._info.store_content else reader.describe(position)
        if pair.group != group:
            raise DataError(
                f"{reader.where(position)}: is of group {pair.group_name}, its features are of {name}: pass the pairs "
                "that were encoded"
            )
        known |= {key: getattr(pair, key) for key in ("group_name", "date", "licence", "source")}
        known["shard"] = reader.shard_of(position)
        if self._info.store_content:
            known["text"] = pair.text
            try:
                known["thumbnail"] = None if pair.image is None else thumbnail(pair.image)
            except DataError as error:
                raise DataError(f"{reader.where(position)}: {error}; convert the collection again") from error
        return known


@torch.inference_mode()
def item_codes(hasher: Hasher, batch: FeatureBatch, device: str = "cpu") -> dict[Side, Tensor]:
    """Compute relaxed codes of items.

    The code of an image or a text is that of the protocol ``unimodal``. The code of a case sees what there is: both
    modalities (protocol ``asymmetric``), or the one that the item has. No sign depends on the batch: items for which
    rounding could decide are hashed once more, each alone, as a query is.

    Args:
        hasher: Hasher in evaluation mode.
        batch: B items.
        device: Where the hasher is.

    Returns:
        (B, num_bits) float32 on the CPU for each side; not defined where an item lacks the modality.
    """
    codes = _codes(hasher, batch, device)
    doubtful = torch.stack([relaxed.abs() < _DOUBT for relaxed in codes.values()]).any(2).any(0)  # (B,)
    for row in doubtful.nonzero()[:, 0].tolist():
        alone = cast("FeatureBatch", {name: cast("Tensor", column)[row : row + 1] for name, column in batch.items()})
        for side, relaxed in _codes(hasher, alone, device).items():
            codes[side][row] = relaxed[0]
    return codes


def _codes(hasher: Hasher, batch: FeatureBatch, device: str) -> dict[Side, Tensor]:
    moved: FeatureBatch = move_data_to_device(batch, device)
    output = hasher.evaluate(moved)
    has_image, has_text = moved["present"].unbind(1)  # (B,) each
    alone = torch.where(has_image[:, None], output["image"], output["text"])  # (B, num_bits)
    case = torch.where((has_image & has_text)[:, None], output["case"], alone)
    codes: dict[Side, Tensor] = {"image": output["image"], "text": output["text"], "case": case}
    return {side: relaxed.float().cpu() for side, relaxed in codes.items()}

"""Writer of feature shards: predictions batch by batch, from any number of ranks."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from mcmfh_lightning.callbacks.evaluation import is_dry
from mcmfh_lightning.datamodules.pairs import PairDataModule
from mcmfh_lightning.errors import DataError, say
from mcmfh_lightning.shards import DATASET_FILE, DatasetInfo, FeatureShardWriter, merge_feature_parts
from mcmfh_lightning.shards.relabel import shards_sha256
from mcmfh_lightning.types import PairBatch

_log = logging.getLogger(__name__)
_OUTPUT_DIR = "output_dir (--model.output-dir)"


class _Encoder(Protocol):
    """Description of an encoder in a data set of features; `mcmfh_lightning.encoders.Encoder` has it."""

    identity: dict[str, Any]
    image_dim: int
    text_dim: int

    def say_cut(self, counts: str) -> str: ...


class FeatureWriter(BasePredictionWriter):
    """Writer of what `mcmfh_lightning.encoders.FeatureExtractor` predicts.

    Memory holds one block of pairs: predictions are written as they come and not kept, whatever
    ``return_predictions`` says. ``dataset.json`` is written last, by rank 0, when every rank has finished; until then
    the folder is not a data set. An encoding that was interrupted is not continued: its folder is refused.

    A ``fast_dev_run`` encodes its batches and writes nothing.

    Args:
        output_dir: Folder of the feature shards, shared by all ranks.
        encoder: The encoder of the predictions.
    """

    def __init__(self, output_dir: str, encoder: _Encoder) -> None:
        super().__init__(write_interval="batch")
        self.output_dir = Path(output_dir)
        self._encoder = encoder
        self._writer: FeatureShardWriter | None = None
        self._truncated: Counter[str] = Counter()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse, on every rank alike, what could not end in a complete data set.

        Raises:
            ValueError: If the data are not a ``PairDataModule``, or the trainer would leave out batches.
            DataError: If the folder holds features already, whole or half-written, or there are more ranks than pairs.
        """
        super().setup(trainer, pl_module, stage)
        data = _pairs(trainer)
        if is_dry(trainer):
            return
        # The number 1 is one batch, the number 1.0 is all of them.
        if not isinstance(trainer.limit_predict_batches, float) or trainer.limit_predict_batches < 1.0:
            raise ValueError("limit_predict_batches would leave pairs without features: leave it out")
        if all(split.pairs < trainer.world_size for split in data.info.splits.values()):
            raise DataError(f"{data.root} has fewer pairs than there are processes: use fewer devices")
        # Only one rank looks: another may already have begun to write when the last one comes to look.
        complaint = self._complaint(data.info) if trainer.is_global_zero else None
        complaint = trainer.strategy.broadcast(complaint)
        if complaint is not None:
            raise DataError(complaint)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open this rank's shards."""
        if not is_dry(trainer):
            self._writer = FeatureShardWriter(self.output_dir, rank=trainer.global_rank)
            self._truncated.clear()

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: dict[str, Tensor],
        batch_indices: Sequence[int] | None,
        batch: PairBatch,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write one batch with the ids of its pairs and what else is known of them.

        Raises:
            DataError: If an embedding is not finite or too large for half precision; the message names the pair.
        """
        if self._writer is not None:
            data = _pairs(trainer)
            split = data.splits[dataloader_idx]
            reader, rows = data.reader(split), batch["index"].tolist()
            self._writer.write(
                split,
                ids=[reader.ids[row] for row in rows],
                image=prediction["image"].cpu().numpy(),
                text=prediction["text"].cpu().numpy(),
                labels=batch["labels"].cpu().numpy(),
                groups=batch["group"].cpu().numpy(),
                text_hashes=batch["text_hash"].cpu().numpy(),
                present=batch["present"].cpu().numpy(),
                group_names=[reader.group_names[row] for row in rows],
            )
            self._truncated[split] += int(prediction["truncated"].sum())
        # With return_predictions the trainer would keep this very dict of every batch: leave nothing in it.
        prediction.clear()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close this rank's shards; rank 0 makes one data set of all ranks'."""
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        splits = _pairs(trainer).splits
        truncated = torch.tensor([self._truncated[split] for split in splits], device=pl_module.device)
        truncated = trainer.strategy.reduce(truncated, reduce_op="sum")
        trainer.strategy.barrier("all shards written")
        if trainer.is_global_zero:
            self._merge(_pairs(trainer), trainer.world_size, dict(zip(splits, truncated.tolist(), strict=True)))
        trainer.strategy.barrier("features merged")

    def _merge(self, data: PairDataModule, world_size: int, truncated: dict[str, int]) -> None:
        pairs = data.info
        info = replace(
            pairs,
            format="mcmfh-features",
            settings={**_origin(pairs), "texts_truncated": truncated},
            splits={},
            encoder=self._encoder.identity,
            image_dim=self._encoder.image_dim,
            text_dim=self._encoder.text_dim,
        )
        expected = {split: data.reader(split).ids for split in data.splits}
        merge_feature_parts(self.output_dir, info, world_size, expected_ids=expected)
        items = ", ".join(f"{split} {len(ids):,}" for split, ids in expected.items())
        say(f"features of {items} items: {self.output_dir}")
        if any(truncated.values()):
            cut = ", ".join(f"{count} of {split}" for split, count in truncated.items() if count)
            _log.warning("%s", self._encoder.say_cut(cut))

    def _complaint(self, pairs: DatasetInfo) -> str | None:
        """Say why nothing can be written to the folder, None if it can."""
        folder = self.output_dir
        if (folder / DATASET_FILE).exists():
            found = DatasetInfo.load(folder)
            same = found.encoder == self._encoder.identity and found.settings.items() >= _origin(pairs).items()
            if same and (lack := found.lacks(folder)):
                return lack
            what = "the features of these pairs by this encoder" if same else "another data set"
            fix = f"choose another {_OUTPUT_DIR}"
            if same:
                fix = "use it as it is, or delete the folder to encode again"
            return f"{folder} already holds {what}: {fix}"
        leftover = next(chain(folder.glob("*.tar*"), folder.glob("part-*.json")), None)
        if leftover is not None:
            return (
                f"{leftover} is left over from an encoding that did not finish, which cannot be continued: "
                f"delete {folder} and run again, or choose another {_OUTPUT_DIR}"
            )
        return None


def _pairs(trainer: Trainer) -> PairDataModule:
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, PairDataModule):
        raise ValueError(f"features are made of pairs: set data to PairDataModule (found {type(data).__name__})")  # noqa: TRY004  # of a config
    return data


def _origin(pairs: DatasetInfo) -> dict[str, Any]:
    """Describe what the features were made of: the settings of the converter, and a checksum of all pair shards."""
    return {"pairs": dict(pairs.settings), "pairs_sha256": shards_sha256(pairs)}

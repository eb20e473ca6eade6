"""Writer of codes: what a hasher predicts, in files that ``mcmfh-bench rank`` reads."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from mcmfh_lightning.callbacks.evaluation import is_dry
from mcmfh_lightning.datamodules.base import ShardDataModule
from mcmfh_lightning.errors import DataError, say
from mcmfh_lightning.evaluation.codes_files import write_codes
from mcmfh_lightning.metrics.functional import pack_signs, unpack_bits
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch

SIDES: Mapping[str, tuple[int, ...]] = {"image": (0,), "text": (1,), "case": (0, 1)}
"""Codes that are written, by name, and what an item needs for each: its image (0), its text (1)."""


class CodeWriter(BasePredictionWriter):
    """Writer of the codes of every split: of the image alone, of the text alone, and of the case that has both.

    ``<split>-image.npz``, ``<split>-text.npz`` and ``<split>-case.npz`` hold, a row an item, in the order of the split:

    - ``codes``: (n, num_bits) uint8, bits 0 and 1;
    - ``labels``: (n, num_labels) uint8, 0 and 1;
    - ``groups``: (n,) int64, study, article or patient;
    - ``ids``: (n,) strings.

    An item without an image is not in the file of images, nor one without a text in that of texts. Codes are those of
    ``mcmfh test``: ranked by ``mcmfh-bench rank`` they give its numbers (protocols ``unimodal`` and ``asymmetric``, the
    split of the queries as the database, where every item has both an image and a text).

    A ``fast_dev_run`` writes nothing.

    Args:
        folder: Folder of the files; those of an earlier call are replaced.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self._parts: dict[str, list[dict[str, Tensor]]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what has no codes, or not all of them.

        Raises:
            DataError: If the method ranks real-valued vectors, the data name no splits, batches would be left out, or
                a split has fewer items than there are processes.
        """
        super().setup(trainer, pl_module, stage)
        if getattr(pl_module, "distance", "hamming") != "hamming":
            raise DataError(
                f"{type(pl_module).__name__} makes real-valued vectors, not codes: `mcmfh test` evaluates it; choose "
                "another method to write codes"
            )
        data = _data(trainer)
        if any(data.info.split(split).pairs < trainer.world_size for split in data.splits):
            raise DataError(f"{data.root} has a split of fewer items than there are processes: use fewer devices")
        limit = trainer.limit_predict_batches
        if not is_dry(trainer) and (not isinstance(limit, float) or limit < 1.0):  # 1 is one batch, 1.0 all of them
            raise DataError("--trainer.limit-predict-batches would leave items without codes: leave it out")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._parts = {split: [] for split in _data(trainer).splits}

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: EvaluationOutput,
        batch_indices: Sequence[int] | None,
        batch: FeatureBatch,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Take the codes of a batch."""
        relaxed: Mapping[str, Any] = prediction
        part = {name: pack_signs(relaxed[name]) for name in SIDES if name in relaxed}
        part |= {"index": batch["index"], "present": batch["present"]}
        part["width"] = torch.tensor([relaxed["image"].shape[1]], device=batch["index"].device)
        self._parts[_data(trainer).splits[dataloader_idx]].append(part)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the files, on the first process."""
        if is_dry(trainer):
            return
        if trainer.is_global_zero:
            self._remove_earlier()
        written = {split: self._write(trainer, split, parts) for split, parts in self._parts.items()}
        self._parts = {}
        if trainer.is_global_zero:
            for line in self._lines(written, _data(trainer).num_labels):
                say(line)

    def _remove_earlier(self) -> None:
        earlier = [path for side in SIDES for path in self.folder.glob(f"*-{side}.npz")]
        if earlier:
            say(f"{self.folder}: replaces the earlier codes")
        for path in earlier:
            path.unlink()

    def _write(self, trainer: Trainer, split: str, parts: Sequence[dict[str, Tensor]]) -> int:
        """Write the files of a split; return the number of its items."""
        joined = _joined(parts, trainer.world_size)
        if not trainer.is_global_zero:
            return 0
        data = _data(trainer)
        reader = data.reader(split)
        rows = joined["index"].numpy()
        num_bits = int(joined["width"][0])
        labels = np.unpackbits(reader.labels, axis=1, count=data.num_labels)
        ids = np.array(reader.ids, dtype=str)
        self.folder.mkdir(parents=True, exist_ok=True)
        for side in SIDES.keys() & joined.keys():
            has = joined["present"][:, list(SIDES[side])].all(1)
            mine = rows[has.numpy()]
            if not len(mine):
                continue
            codes = unpack_bits(joined[side][has])[:, :num_bits].numpy().astype(np.uint8)
            path = self.folder / f"{split}-{side}.npz"
            write_codes(path, codes, labels[mine], reader.groups[mine], ids[mine])
        return len(rows)

    def _lines(self, written: Mapping[str, int], num_labels: int) -> list[str]:
        items = ", ".join(f"{split} {number:,}" for split, number in written.items())
        lines = [f"codes of {items} items: {self.folder}/SPLIT-image.npz, SPLIT-text.npz and SPLIT-case.npz"]
        last = list(written)[-1]
        query, database = (shlex.quote(str(self.folder / f"{last}-{side}.npz")) for side in ("image", "text"))
        one = " --num-labels 1" if num_labels == 1 else ""
        if num_labels and Path(self.folder / f"{last}-image.npz").is_file():
            lines.append(f"rank them: mcmfh-bench rank --query {query} --database {database}{one}")
        return lines


def _joined(parts: Sequence[dict[str, Tensor]], world_size: int) -> dict[str, Tensor]:
    """Join the batches of all processes, on the CPU, in the order of the split."""
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if world_size > 1:
        joined = {name: torch.cat(gather_all_tensors(tensor)) for name, tensor in sorted(joined.items())}
    order = joined["index"].argsort()
    width = joined.pop("width")
    return {name: tensor[order].cpu() for name, tensor in joined.items()} | {"width": width.cpu()}


def _data(trainer: Trainer) -> ShardDataModule[Any]:
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, ShardDataModule):
        raise DataError(f"codes are written for FeatureDataModule or PairDataModule; --data is {type(data).__name__}")
    return data

"""Writer of codes: what a hasher predicts, in files that ``mcmfh-bench rank`` reads."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from mcmfh_lightning import __version__
from mcmfh_lightning.callbacks.evaluation import is_dry
from mcmfh_lightning.datamodules.base import ShardDataModule
from mcmfh_lightning.errors import DataError, say
from mcmfh_lightning.evaluation.codes import NAMED
from mcmfh_lightning.evaluation.codes_files import write_codes
from mcmfh_lightning.evaluation.remarks import provenance_of
from mcmfh_lightning.evaluation.report import write_json
from mcmfh_lightning.metrics.functional import pack_signs, unpack_bits
from mcmfh_lightning.searches import SEARCHES
from mcmfh_lightning.shards.info import SPLITS
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch

SIDES: Mapping[str, tuple[int, ...]] = {"image": (0,), "text": (1,), "case": (0, 1)}
"""Codes of items, by name, and what an item needs for each: its image (0), its text (1)."""
WRITTEN: Mapping[str, tuple[int, ...]] = dict(SIDES) | {name: SIDES[one.query] for name, one in SEARCHES.items()}
"""All codes that are written, by name: those of items, and those of the queries of each search."""


class CodeWriter(BasePredictionWriter):
    """Writer of the codes of every split: of the image alone, of the text alone, and of the case that has both.

    ``<split>-image.npz``, ``<split>-text.npz`` and ``<split>-case.npz`` hold, a row an item, in the order of the split:

    - ``codes``: (n, num_bits) uint8, bits 0 and 1;
    - ``labels``: (n, num_labels) uint8, 0 and 1;
    - ``groups``: (n,) int64, study, article or patient;
    - ``ids``: (n,) strings.

    An item without an image is not in the file of images, nor one without a text in that of texts.

    Where the code of a query depends on what it searches, there are the same files of queries, named by their search:
    ``<split>-i2t.npz`` has the codes by which images search texts (``i2t``, ``t2i``, ``i2i``, ``t2t``, ``i2case``,
    ``t2case``). Of other methods the codes of images and texts are those of queries, too.

    Codes are those of ``mcmfh test``: ranked by ``mcmfh-bench rank`` they give its numbers (protocols ``unimodal`` and
    ``asymmetric``, the split of the queries as the database, where every item has both an image and a text).

    ``codes.json`` names the weights and the data as ``metrics.json`` of a test does, and counts the rows of each file.

    A ``fast_dev_run`` writes nothing.

    Args:
        folder: Folder of the files; those of an earlier call are replaced once the new ones are written.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder
        self._parts: dict[str, list[dict[str, Tensor]]] = {}
        self._epoch: int | None = None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note the epoch of the weights."""
        self._epoch = checkpoint.get("epoch")

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
        self._parts = {split: [] for split in data.splits}

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
        everything: tuple[Mapping[Any, Any], ...] = (prediction, prediction.get("queries", {}))
        relaxed = {name: codes for one in everything for name, codes in one.items()}
        part = {name: pack_signs(relaxed[name]) for name in WRITTEN if name in relaxed}
        part |= {"index": batch["index"], "present": batch["present"]}
        part["width"] = torch.tensor([relaxed["image"].shape[1]], device=batch["index"].device)
        self._parts[_data(trainer).splits[dataloader_idx]].append(part)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the files, on the first process."""
        if is_dry(trainer):
            return
        report, data = self.folder / NAMED, _data(trainer)
        names = (f"{split}-{name}.npz" for split in SPLITS for name in WRITTEN)  # a file of another name is the user's
        earlier = [self.folder / name for name in names if (self.folder / name).exists()]
        if trainer.is_global_zero:
            if earlier and not report.exists():
                say(f"{self.folder}: replaces earlier codes, which do not name their weights and data")
            report.unlink(missing_ok=True)  # if this call is interrupted, nothing names the wrong weights
        rows: dict[str, int] = {}
        for split, parts in self._parts.items():
            rows |= self._write(trainer, split, parts)
        self._parts = {}
        if trainer.is_global_zero:
            entry = provenance_of(pl_module, trainer.ckpt_path, self._epoch, data)
            write_json(report, {"package": f"mcmfh-lightning {__version__}", **entry, "rows": rows})
            for path in earlier:
                if path.name not in rows:
                    path.unlink()
            for line in self._lines(rows, entry, data):
                say(line)

    def _write(self, trainer: Trainer, split: str, parts: Sequence[dict[str, Tensor]]) -> dict[str, int]:
        """Write the files of a split; return the number of rows of each."""
        joined = _joined(parts, trainer.world_size)
        if not trainer.is_global_zero:
            return {}
        data = _data(trainer)
        reader = data.reader(split)
        rows = joined["index"].numpy()
        num_bits = int(joined["width"][0])
        labels = np.unpackbits(reader.labels, axis=1, count=data.num_labels)
        ids = np.array(reader.ids, dtype=str)
        self.folder.mkdir(parents=True, exist_ok=True)
        written = {}
        for name, needed in WRITTEN.items():
            has = joined["present"][:, list(needed)].all(1)
            mine = rows[has.numpy()]
            if name not in joined or not len(mine):
                continue
            codes = unpack_bits(joined[name][has])[:, :num_bits].numpy().astype(np.uint8)
            path = self.folder / f"{split}-{name}.npz"
            write_codes(path, codes, labels[mine], reader.groups[mine], ids[mine])
            written[path.name] = len(mine)
        return written

    def _lines(self, rows: Mapping[str, int], entry: Mapping[str, Any], data: ShardDataModule[Any]) -> Iterator[str]:
        """Yield what names weights, data and files, and the command that ranks the codes."""
        splits = list(dict.fromkeys(name.rpartition("-")[0] for name in rows))
        checkpoint = entry["checkpoint"] or {}
        weights = f"{checkpoint.get('path', 'weights in memory')}, epoch {checkpoint.get('epoch', '?')}"
        yield f"codes of {entry['data']['name']} ({data.root}) by {weights}, in {self.folder}:"
        for split in splits:
            counts = ((f"{split}-{side}.npz", side) for side in SIDES)
            yield "  " + ", ".join(f"{name} {rows[name]:,} {side}s" for name, side in counts if name in rows)
            if searches := [search for search in SEARCHES if f"{split}-{search}.npz" in rows]:
                yield f"  queries of each search in {split}-{{{','.join(searches)}}}.npz"
        query, database = (f"{splits[-1] if splits else ''}-{name}.npz" for name in ("i2t", "text"))
        query = query if query in rows else query.replace("-i2t", "-image")
        one = " --num-labels 1" if data.num_labels == 1 else ""
        if data.num_labels and query in rows and database in rows:
            query, database = (shlex.quote(str(self.folder / name)) for name in (query, database))
            note = "" if data.normal_label is None else " (all queries; `mcmfh test` prints the abnormal ones)"
            yield f"rank them{note}: mcmfh-bench rank --query {query} --database {database}{one}"


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

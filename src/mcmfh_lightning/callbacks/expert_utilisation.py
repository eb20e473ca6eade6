"""Which experts a tested model used, and for which modality."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics import Metric

from mcmfh_lightning.layers import utilisation
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch

_MODALITIES = ("image", "text")
_CSV_NAME = "expert_utilisation.csv"
_PLOT_NAME = "expert_utilisation.png"


class RoutingCounts(Metric):
    """Sum of tokens per layer, modality and expert over batches and ranks, in integers.

    Args:
        shape: (layers, 2, num_experts).
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, routing: Tensor) -> None:
        """Add the counts of a batch."""
        self.counts += routing

    def compute(self) -> Tensor:
        """The sum, (layers, 2, num_experts) int64."""
        return self.counts


class ExpertUtilisation(Callback):
    """Counts, over the databases of a test, the tokens that each expert received.

    Every process encodes all queries but only its share of the databases, so queries are left out: the counts are the
    same for any number of processes. Logs ``test/utilisation/layer<l>/<modality>``
    (`mcmfh_lightning.layers.utilisation`; the hasher itself logs it as ``train/utilisation/...``) and writes
    ``expert_utilisation.csv`` and a heat map into the run's folder (not in a ``fast_dev_run``). Does nothing for a
    hasher without experts.
    """

    def __init__(self) -> None:
        self._counts: RoutingCounts | None = None

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        shape = getattr(pl_module, "routing_shape", None)
        self._counts = None if shape is None else RoutingCounts(shape).to(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: FeatureBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a database batch."""
        if self._counts is not None and not _is_query_loader(trainer, dataloader_idx):
            self._counts.update(cast(EvaluationOutput, outputs)["routing"])

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sum over ranks, log and write."""
        if self._counts is None:
            return
        counts = self._counts.compute().cpu()
        self._counts = None
        if not counts.any():
            return
        even = utilisation(counts)
        for layer, row in enumerate(even.tolist()):
            for modality, value in zip(_MODALITIES, row, strict=True):
                # Every rank holds the sum over ranks already.
                pl_module.log(f"test/utilisation/layer{layer}/{modality}", value, rank_zero_only=True)
        folder = trainer.log_dir or trainer.default_root_dir  # log_dir speaks to all processes
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set at run time
            write_utilisation(Path(folder), counts)


def write_utilisation(folder: Path, counts: Tensor) -> list[Path]:
    """Write the counts as a table and as a heat map.

    Args:
        folder: Created if missing.
        counts: (layers, 2, num_experts) int64.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    totals = counts.sum(dim=-1, keepdim=True).clamp(min=1)
    shares = counts / totals
    paths = [folder / _CSV_NAME, folder / _PLOT_NAME]
    with paths[0].open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("layer", "modality", "expert", "tokens", "share"))
        for layer, modality, expert in torch.ones_like(counts).nonzero().tolist():
            tokens, share = counts[layer, modality, expert].item(), shares[layer, modality, expert].item()
            writer.writerow((layer, _MODALITIES[modality], expert, tokens, f"{share:.6f}"))
    _heat_map(shares.tolist()).savefig(paths[1], dpi=150)
    return paths


def _heat_map(shares: Sequence[Sequence[Sequence[float]]]) -> Figure:
    """One panel a modality, layers down, experts across; (layers, 2, num_experts) shares."""
    figure = Figure(figsize=(10, 1.5 + 0.7 * len(shares)), layout="constrained")
    panels = figure.subplots(1, len(_MODALITIES), sharey=True)
    for index, (panel, modality) in enumerate(zip(panels, _MODALITIES, strict=True)):
        rows = [layer[index] for layer in shares]
        image = panel.imshow(rows, vmin=0.0, vmax=1.0, cmap="viridis", aspect="auto")
        for y, row in enumerate(rows):
            for x, share in enumerate(row):
                panel.text(x, y, f"{share:.0%}", ha="center", va="center", color="white" if share < 0.6 else "black")
        panel.set(title=f"{modality} tokens", xlabel="expert", xticks=range(len(rows[0])), yticks=range(len(rows)))
    panels[0].set_ylabel("layer")
    figure.colorbar(image, ax=panels, label="share of the layer's tokens")
    return figure


def _is_query_loader(trainer: Trainer, dataloader_idx: int) -> bool:
    data = getattr(trainer, "datamodule", None)
    loaders = getattr(data, "evaluation_loaders", None)
    return loaders is not None and loaders("test")[dataloader_idx] == "query"

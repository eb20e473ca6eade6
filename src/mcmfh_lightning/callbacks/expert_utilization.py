"""Counts of the tokens that each expert received, by modality: over the epochs of a fit, and in a test."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from matplotlib.figure import Figure
from torch import Tensor

from mcmfh_lightning.callbacks.evaluation import EvaluationCallback, Stage, is_query_loader, log_figure, report_folder
from mcmfh_lightning.layers import utilization
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch

_MODALITIES = ("image", "text")
_CSV_NAME = "expert_utilisation.csv"
_PLOT_NAME = "expert_utilisation.png"


class ExpertUtilization(EvaluationCallback):
    """Counter of the tokens that each expert received, over the databases of a validation or test.

    Every process encodes all queries but only its share of the databases, so queries are left out: the counts are the
    same for any number of processes. Logs ``val|test/utilisation/layer<l>/<modality>``
    (`mcmfh_lightning.layers.utilization`; the hasher itself logs it as ``train/utilisation/...``). A fit ends with the
    shares of all its validations, a test with its own: ``expert_utilisation.csv`` and a heat map in the run's folder
    (not in a ``fast_dev_run``). Checkpoints keep the validations, so that a resumed fit shows all of them. Does nothing
    for a hasher without experts.
    """

    def __init__(self) -> None:
        self._counts: Tensor | None = None  # of this process, (layers, 2, num_experts) int64
        self._epochs: list[int] = []
        self._history: list[Tensor] = []

    @property
    def state_key(self) -> str:
        """Name of the state in checkpoints, as earlier releases wrote it."""
        return "ExpertUtilisation"

    def state_dict(self) -> dict[str, Any]:
        """Return the validations so far, as plain numbers."""
        return {"epochs": self._epochs, "counts": [counts.tolist() for counts in self._history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        self._epochs = list(state_dict["epochs"])
        self._history = [torch.tensor(counts) for counts in state_dict["counts"]]

    def begin(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Begin to count."""
        shape = getattr(pl_module, "routing_shape", None)
        self._counts = None if shape is None else torch.zeros(shape, dtype=torch.int64, device=pl_module.device)

    def add(
        self, trainer: Trainer, outputs: STEP_OUTPUT, batch: FeatureBatch, stage: Stage, dataloader_idx: int
    ) -> None:
        """Add a database batch."""
        if self._counts is not None and not is_query_loader(trainer, stage, dataloader_idx):
            self._counts += cast(EvaluationOutput, outputs)["routing"]

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Sum over ranks and log; keep the counts of a validation, write those of a test."""
        counts = self._log(trainer, pl_module, "val" if stage == "validate" else "test")
        if counts is None:
            return
        if stage == "validate":
            self._epochs.append(trainer.current_epoch)
            self._history.append(counts)
        elif folder := report_folder(trainer):
            write_counts(folder / _CSV_NAME, [counts])
            log_figure(trainer, folder / _PLOT_NAME, heat_map(counts))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what all validations counted."""
        if self._history and (folder := report_folder(trainer)):
            write_counts(folder / _CSV_NAME, self._history, self._epochs)
            log_figure(trainer, folder / _PLOT_NAME, history_map(self._history, self._epochs))

    def _log(self, trainer: Trainer, pl_module: LightningModule, prefix: str) -> Tensor | None:
        """Log and return the counts of all ranks, (layers, 2, num_experts); None without any."""
        if self._counts is None:
            return None
        counts = trainer.strategy.reduce(self._counts, reduce_op="sum").cpu()
        self._counts = None
        if not counts.any():
            return None
        values = {
            f"{prefix}/utilisation/layer{layer}/{modality}": value
            for layer, row in enumerate(utilization(counts).tolist())
            for modality, value in zip(_MODALITIES, row, strict=True)
        }
        # Every rank holds the sum over ranks already, so that their maximum is exact.
        pl_module.log_dict(values, sync_dist=True, reduce_fx="max")
        return counts


def shares_of(counts: Tensor) -> Tensor:
    """Compute the share of each expert in the tokens of its layer and modality; 0 without tokens."""
    return counts / counts.sum(dim=-1, keepdim=True).clamp(min=1)


def write_counts(path: Path, history: Sequence[Tensor], epochs: Sequence[int] = ()) -> None:
    """Write counts as a table.

    Args:
        path: The file; its folder is created if missing.
        history: (layers, 2, num_experts) int64 each.
        epochs: When each was counted, as a first column; empty for a single one of no epoch.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*(["epoch"] if epochs else []), "layer", "modality", "expert", "tokens", "share"))
        for number, counts in enumerate(history):
            shares = shares_of(counts)
            for layer, modality, expert in torch.ones_like(counts).nonzero().tolist():
                tokens, share = counts[layer, modality, expert].item(), shares[layer, modality, expert].item()
                row = (layer, _MODALITIES[modality], expert, tokens, f"{share:.6f}")
                writer.writerow((*epochs[number : number + 1], *row))


def heat_map(counts: Tensor) -> Figure:
    """Draw one panel a modality, layers down, experts across.

    Args:
        counts: (layers, 2, num_experts).
    """
    shares = shares_of(counts).tolist()
    figure = Figure(figsize=(10, 1.5 + 0.7 * len(shares)), dpi=150, layout="constrained")
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


def history_map(history: Sequence[Tensor], epochs: Sequence[int]) -> Figure:
    """Draw one panel a layer and modality, experts down, validations across.

    Args:
        history: (layers, 2, num_experts) each.
        epochs: When each was counted.
    """
    shares = torch.stack([shares_of(counts) for counts in history], dim=-1)  # (layers, 2, num_experts, T)
    figure = Figure(figsize=(10, 0.5 + 2.0 * len(shares)), dpi=150, layout="constrained")
    panels = figure.subplots(len(shares), len(_MODALITIES), squeeze=False, sharex=True, sharey=True)
    ticks = range(0, len(epochs), max(1, len(epochs) // 10))
    for layer, row in enumerate(panels):
        for index, (panel, modality) in enumerate(zip(row, _MODALITIES, strict=True)):
            image = panel.imshow(shares[layer, index].numpy(), vmin=0.0, vmax=1.0, cmap="viridis", aspect="auto")
            panel.set(title=f"layer {layer}, {modality} tokens", yticks=range(shares.shape[2]), ylabel="expert")
            panel.set_xticks(ticks, [str(epochs[tick]) for tick in ticks])
    for panel in panels[-1]:
        panel.set_xlabel("epoch")
    figure.colorbar(image, ax=panels, label="share of the layer's tokens")
    return figure

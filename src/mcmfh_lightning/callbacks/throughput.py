"""Speed of training: samples per second, and torch.compile for the layers of a hasher."""

import time
from collections.abc import Iterator

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import nn

from mcmfh_lightning.layers import QueryHeads
from mcmfh_lightning.types import FeatureBatch, PairBatch


class Throughput(Callback):
    """Meter of ``train/samples_per_second`` of every epoch: all ranks together, loading included, validation left out.

    Lightning's ``ThroughputMonitor`` waits for the GPU after every batch and asks for the operations of a forward pass;
    this one looks at a clock twice a step. The first epoch holds what happens once: compilation, first reads.
    """

    def __init__(self) -> None:
        self._samples = 0
        self._seconds = 0.0
        self._since: float | None = None
        self._until = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock: the epoch's first batch is fetched from here on."""
        self._samples, self._seconds = 0, 0.0
        self._since = self._until = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: FeatureBatch | PairBatch, batch_idx: int
    ) -> None:
        """Start the clock again after a validation amid the epoch."""
        if self._since is None:
            self._since = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: FeatureBatch | PairBatch,
        batch_idx: int,
    ) -> None:
        """Count a batch."""
        self._samples += len(batch["index"])
        self._until = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock at the last batch, until the next one."""
        if not trainer.sanity_checking:
            self._stop()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log; the ranks' rates add up."""
        self._stop()
        if self._seconds > 0:
            rate = self._samples / self._seconds
            pl_module.log("train/samples_per_second", rate, sync_dist=True, reduce_fx="sum")

    def _stop(self) -> None:
        if self._since is not None:
            self._seconds += max(0.0, self._until - self._since)
            self._since = None


class CompileLayers(Callback):
    """Compiler of the layers of a hasher, and of the towers of an encoder that it trains, before training.

    Layers are compiled in place, one by one: names in checkpoints stay what they are. What comes between them (the
    losses, the masks that are keyed by sample) runs as before. A mixture of experts looks at how many tokens each
    expert got, at which a graph breaks; benchmarks/training.py counts the breaks.

    Compiled sums may be rounded differently: a run gives the same numbers again only with the same setting.

    Args:
        backend: Backend of ``torch.compile``; its ``inductor`` needs a C++ compiler on a CPU, and Triton on a GPU.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.backend = backend

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile; nothing runs before the first batch."""
        for layer in _layers(pl_module):
            layer.compile(backend=self.backend)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts that are called as modules: those of a hasher, of a hasher within it and of an encoder."""
    for child in module.children():
        # An encoder is called by its methods; its towers are called as modules. Query heads only choose one: compiled
        # as a whole they are a graph for each search, in training and in validation, which is more than torch keeps.
        if isinstance(child, (LightningModule, QueryHeads, nn.ModuleDict)) or hasattr(child, "identity"):
            yield from _layers(child)
        else:
            yield child

"""torch.compile for the layers of a hasher."""

from collections.abc import Iterator

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from mcmfh_lightning.encoders.base import Encoder


class CompileLayers(Callback):
    """Compiles the layers of a hasher, and the towers of an encoder that it trains, before training.

    Layers are compiled in place, one by one: names in checkpoints stay what they are. What lies between them (the
    losses, the masks that are keyed by sample) runs as before. A mixture of experts looks at how many tokens each
    expert got, at which a graph breaks; benchmarks/training.py counts the breaks.

    Compiled sums may be rounded differently: a run gives the same numbers again only with the same setting.

    Args:
        backend: Of ``torch.compile``; its ``inductor`` needs a C++ compiler on a CPU, and Triton on a GPU.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.backend = backend

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile; nothing runs before the first batch."""
        for layer in _layers(pl_module):
            layer.compile(backend=self.backend)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The parts that are called as modules: those of a hasher, of a hasher within it and of an encoder."""
    for child in module.children():
        if isinstance(child, LightningModule | Encoder):
            yield from _layers(child)
        else:
            yield child

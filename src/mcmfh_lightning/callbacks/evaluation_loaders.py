"""Which loader of an evaluation holds the queries."""

from typing import Literal

from lightning.pytorch import Trainer

Stage = Literal["validate", "test"]


def is_query_loader(trainer: Trainer, stage: Stage, dataloader_idx: int) -> bool:
    """Whether a loader gives queries, which every process sees in full; False if the datamodule does not say."""
    loaders = getattr(getattr(trainer, "datamodule", None), "evaluation_loaders", None)
    return loaders is not None and loaders(stage)[dataloader_idx] == "query"

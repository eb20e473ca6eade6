"""The module that ``mcmfh predict`` runs: pairs in, features out."""

from typing import cast

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor

from mcmfh_lightning.callbacks.feature_writer import FeatureWriter
from mcmfh_lightning.encoders.base import Encoder, embed_pairs
from mcmfh_lightning.encoders.weights import check_tuned_on
from mcmfh_lightning.types import PairBatch


class FeatureExtractor(LightningModule):
    """Encodes pairs with a frozen encoder and writes them as feature shards, on any number of devices.

    Args:
        encoder: The encoder.
        output_dir: Folder of the feature shards; must not hold any yet.
    """

    def __init__(self, encoder: Encoder, output_dir: str = "features") -> None:
        super().__init__()
        self.encoder = encoder
        self.output_dir = output_dir

    def setup(self, stage: str) -> None:
        """Refuse a trainer that would change the precision behind the encoder's back, and a tower tuned elsewhere.

        Raises:
            ValueError: The trainer's precision is not 32 bits.
            DataError: See `mcmfh_lightning.encoders.weights.check_tuned_on`.
        """
        check_tuned_on(self.encoder.identity, getattr(self.trainer, "datamodule", None))
        if self.trainer.precision != "32-true":
            raise ValueError(
                f"trainer.precision is {self.trainer.precision!r}: the features would not be what the encoder "
                f"says they are; leave it at 32-true and set the encoder's own precision"
            )

    def configure_callbacks(self) -> list[Callback]:
        """Attach the writer."""
        return [FeatureWriter(self.output_dir, self.encoder)]

    def predict_step(self, batch: PairBatch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Encode the pictures and texts of a batch, however many its B items have.

        Returns:
            ``image`` (B, image_dim), ``text`` (B, text_dim) float32, zeros for what an item does not have, and
            ``truncated`` (B_t,) bool: which of the texts did not fit the encoder's context.
        """
        features = embed_pairs(self.encoder, batch)
        tokens = cast("dict[str, Tensor]", batch["text"])
        truncated = tokens.get("truncated", torch.zeros(0, dtype=torch.bool))
        return {"image": features["image"], "text": features["text"], "truncated": truncated}

"""Module of ``mcmfh predict`` for encoders: pairs in, features out."""

from typing import cast

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor

from mcmfh_lightning.callbacks.feature_writer import FeatureWriter
from mcmfh_lightning.encoders.base import Encoder, embed_pairs
from mcmfh_lightning.encoders.weights import check_tuned_on
from mcmfh_lightning.types import PairBatch


class FeatureExtractor(LightningModule):
    """Module that encodes pairs with a frozen encoder and writes feature shards, on any number of devices.

    Args:
        encoder: The encoder.
        output_dir: Folder of the feature shards, which must not contain any.
    """

    def __init__(self, encoder: Encoder, output_dir: str = "features") -> None:
        super().__init__()
        self.encoder = encoder
        self.output_dir = output_dir

    def setup(self, stage: str) -> None:
        """Refuse a trainer that changes the precision of the encoder, and a tower that was tuned on other splits.

        Raises:
            ValueError: If the trainer's precision is not 32 bits.
            DataError: See `check_tuned_on`.
        """
        check_tuned_on(self.encoder.identity, getattr(self.trainer, "datamodule", None))
        if self.trainer.precision != "32-true":
            raise ValueError(
                f"trainer.precision is {self.trainer.precision!r}: the features would not match the identity of "
                f"the encoder; leave it at 32-true and set the precision of the encoder"
            )

    def configure_callbacks(self) -> list[Callback]:
        """Add the callback that writes the features."""
        return [FeatureWriter(self.output_dir, self.encoder)]

    def predict_step(self, batch: PairBatch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Encode the pictures and texts of a batch of B items.

        Returns:
            ``image`` (B, image_dim), ``text`` (B, text_dim) float32, zeros for a missing one, and
            ``truncated`` (B_t,) bool: which of the texts did not fit the context of the encoder.
        """
        features = embed_pairs(self.encoder, batch)
        tokens = cast("dict[str, Tensor]", batch["text"])
        truncated = tokens.get("truncated", torch.zeros(0, dtype=torch.bool))
        return {"image": features["image"], "text": features["text"], "truncated": truncated}

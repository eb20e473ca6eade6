"""Pairs to embeddings."""

from typing import cast

import torch
from torch import Tensor

from mcmfh_lightning.encoders.base import Encoder
from mcmfh_lightning.types import FeatureBatch, PairBatch


def embed_pairs(encoder: Encoder, batch: PairBatch) -> FeatureBatch:
    """Embed the pictures and texts of a batch, however many its B items have.

    Gradients reach what the encoder trains.

    Args:
        encoder: The encoder.
        batch: Pairs as its ``preprocess`` and ``tokenize`` prepared them.

    Returns:
        The embeddings, zeros for what an item does not have, with all else that is known of the pairs.
    """
    has_image, has_text = batch["present"].unbind(dim=1)
    image = torch.zeros(len(has_image), encoder.image_dim, device=has_image.device)
    text = torch.zeros(len(has_text), encoder.text_dim, device=has_text.device)
    if has_image.any():
        image[has_image] = encoder.encode_image(batch["image"]).float()
    if has_text.any():
        text[has_text] = encoder.encode_text(cast("dict[str, Tensor]", batch["text"])).float()
    return {
        "image": image,
        "text": text,
        "present": batch["present"],
        "labels": batch["labels"],
        "group": batch["group"],
        "text_hash": batch["text_hash"],
        "index": batch["index"],
    }

"""Pairs to embeddings."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mcmfh_lightning.encoders.base import Encoder
from mcmfh_lightning.types import FeatureBatch, PairBatch


def embed_pairs(encoder: Encoder, batch: PairBatch, micro_batch_size: int | None = None) -> FeatureBatch:
    """Embed the pictures and texts of a batch, however many its B items have.

    Gradients reach what the encoder trains.

    Args:
        encoder: The encoder.
        batch: Pairs as its ``preprocess`` and ``tokenize`` prepared them.
        micro_batch_size: Pictures, and texts, that are embedded at a time. Between the forward and the backward pass
            only embeddings are kept, and the backward pass embeds each part again: memory is that of a part, losses
            still see the whole batch, and gradients are those of the whole batch (Gao et al., RepL4NLP 2021,
            "Scaling deep contrastive learning batch size under memory limited setup"). None embeds all at once.

    Returns:
        The embeddings, zeros for what an item does not have, with all else that is known of the pairs.
    """
    has_image, has_text = batch["present"].unbind(dim=1)
    image = torch.zeros(len(has_image), encoder.image_dim, device=has_image.device)
    text = torch.zeros(len(has_text), encoder.text_dim, device=has_text.device)
    if has_image.any():
        image[has_image] = _in_parts(encoder.encode_image, batch["image"], micro_batch_size).float()
    if has_text.any():
        text[has_text] = _in_parts(
            encoder.encode_text, cast("dict[str, Tensor]", batch["text"]), micro_batch_size
        ).float()
    return {
        "image": image,
        "text": text,
        "present": batch["present"],
        "labels": batch["labels"],
        "group": batch["group"],
        "text_hash": batch["text_hash"],
        "index": batch["index"],
    }


def _in_parts(encode: Callable[[Any], Tensor], inputs: Tensor | dict[str, Tensor], size: int | None) -> Tensor:
    """What an encoder makes of its inputs, computed in parts of at most ``size`` rows."""
    if size is None:
        return encode(inputs)
    if isinstance(inputs, Tensor):
        parts: list[Any] = list(torch.split(inputs, size))
    else:
        columns = {name: torch.split(column, size) for name, column in inputs.items()}
        parts = [dict(zip(columns, part, strict=True)) for part in zip(*columns.values(), strict=True)]
    # Encoders draw nothing at random, so that no generator has to be wound back.
    return torch.cat([checkpoint(encode, part, use_reentrant=False, preserve_rng_state=False) for part in parts])

"""What every encoder offers to the datamodule, the extractor and the feature writer.

Which parts of an encoder are trained, and at which learning rate.

Pairs to embeddings.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, cast

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mcmfh_lightning.types import FeatureBatch, PairBatch


class Encoder(nn.Module, ABC):
    """A pretrained pair of towers: one embeds images, the other texts.

    The constructor loads the weights; an encoder is never left with random ones. ``preprocess`` and ``tokenize`` run
    in data loader workers and can be pickled. It is frozen unless a module trains it
    (`mcmfh_lightning.encoders.base`).
    """

    image_dim: int
    """Width of an image embedding."""
    text_dim: int
    """Width of a text embedding."""
    identity: dict[str, Any]
    """All that decides the features (weights, preprocessing, context length, precision) and nothing else, no paths.

    Goes into ``dataset.json``; two sets of features can be mixed only where it is equal. ``identity["name"]`` is for
    people.
    """
    preprocess: Callable[[Image.Image], Tensor]
    """Picture of any mode and size to (3, H, W) float32."""
    tokenize: Callable[[list[str]], dict[str, Tensor]]
    """B texts to tensors of B rows; ``truncated`` (B,) bool marks the texts that did not fit the context."""

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  # the signature of nn.Module
        """Stay in evaluation mode, where trained as well.

        So batch norms keep their pretrained statistics and nothing is dropped: an embedding never depends on its batch
        or on chance.
        """
        return super().train(mode=False)

    @abstractmethod
    def encode_image(self, image: Tensor) -> Tensor:
        """Embed pictures.

        Args:
            image: (B, 3, H, W), stacked results of ``preprocess``.

        Returns:
            (B, image_dim) float32.
        """

    @abstractmethod
    def encode_text(self, text: dict[str, Tensor]) -> Tensor:
        """Embed texts.

        Args:
            text: The result of ``tokenize`` for B texts.

        Returns:
            (B, text_dim) float32.
        """


def train_only(module: nn.Module, patterns: Sequence[str]) -> None:
    """Freeze a module except what the patterns name.

    A pattern is a regular expression of the whole name of a parameter, or of a part of the module that holds some:
    ``image_tower.blocks.[56]`` names all parameters of the stages 5 and 6.

    Args:
        module: The module.
        patterns: What to train; nothing if empty.

    Raises:
        ValueError: A pattern is no regular expression or names nothing; the message lists what there is.
    """
    parameters = dict(module.named_parameters())
    module.requires_grad_(requires_grad=False)
    for pattern in patterns:
        try:
            expression = re.compile(rf"(?:{pattern})(?:\..+)?")
        except re.error as error:
            raise ValueError(f"trainable {pattern!r} is no regular expression: {error}") from error
        named = [parameter for name, parameter in parameters.items() if expression.fullmatch(name)]
        if not named:
            raise ValueError(f"trainable {pattern!r} names nothing; there are {', '.join(_parts(parameters))}")
        for parameter in named:
            parameter.requires_grad_()


def add_trained(optimizer: torch.optim.Optimizer, module: nn.Module, lr_scale: float) -> None:
    """Let an optimiser train a module as well, at a learning rate of its own.

    Args:
        optimizer: Has a learning rate by default.
        module: The parameters that require gradients are added, as one group; none, if there are none.
        lr_scale: The group's learning rate, in units of the optimiser's.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if trained:
        optimizer.add_param_group({"params": trained, "lr": lr_scale * optimizer.defaults["lr"]})


def _parts(names: Iterable[str]) -> list[str]:
    """Parts worth naming: down to the first number (a stage, a layer), else to what holds the parameter."""
    parts = []
    for name in names:
        words = name.split(".")
        number = next((place for place, word in enumerate(words) if word.isdigit()), len(words) - 2)
        parts.append(".".join(words[: number + 1]) or name)
    return list(dict.fromkeys(parts))


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

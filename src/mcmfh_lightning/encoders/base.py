"""Base class of encoders, choice of their trained parts, and embedding of pairs."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, cast

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mcmfh_lightning.portable.token_count import TokenCount
from mcmfh_lightning.types import FeatureBatch, PairBatch


class Encoder(nn.Module, ABC):
    """A pretrained pair of towers: one embeds images, the other texts.

    The constructor loads the weights; an encoder never keeps random ones. ``preprocess`` and ``tokenize`` run
    in data loader workers and can be pickled. An encoder is frozen unless `train_only` says otherwise.
    """

    image_dim: int
    """Width of an image embedding."""
    text_dim: int
    """Width of a text embedding."""
    identity: dict[str, Any]
    """What decides the features (weights, preprocessing, context length, precision), without paths.

    It is written to ``dataset.json``. Features can be mixed only if it is equal. ``identity["name"]`` is for people.
    """
    preprocess: Callable[[Image.Image], Tensor]
    """Picture of any mode and size to (3, H, W) float32."""
    tokenize: Callable[[list[str]], dict[str, Tensor]]
    """B texts to tensors of B rows; ``truncated`` (B,) bool marks the texts that did not fit the context."""

    def count_tokens(self, text: str) -> TokenCount | None:
        """Count the tokens of a text, and those that fit the context; None if this encoder does not count."""
        return None

    def say_cut(self, counts: str) -> str:
        """Say that texts were cut, where, and what to do about it.

        Args:
            counts: How many texts, as in ``3 of train``.
        """
        limit = getattr(self.tokenize, "context_length", None)
        # Reports of Open-i take 1.8 tokens a word with the vocabulary of BERT.
        words = "" if limit is None else f"; it reads {limit} tokens, about {limit * 11 // 20} words of English"
        return (
            f"texts longer than the encoder's context were cut: {counts}{words}. If what matters comes last, take the "
            "column with the impression or conclusion, or put that first in each text; then convert and encode again"
        )

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  # the signature of nn.Module
        """Stay in evaluation mode, also while trained.

        Batch norms keep their pretrained statistics and nothing is dropped: an embedding depends neither on its batch
        nor on chance.
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
    """Freeze a module except the parts that patterns name.

    A pattern is a regular expression of the whole name of a parameter, or of a part of the module that holds some:
    ``image_tower.blocks.[56]`` names all parameters of the stages 5 and 6.

    Args:
        module: The module.
        patterns: What to train; nothing if empty.

    Raises:
        ValueError: If a pattern is not a regular expression or matches nothing; the message lists the parts.
    """
    parameters = dict(module.named_parameters())
    module.requires_grad_(requires_grad=False)
    for pattern in patterns:
        try:
            expression = re.compile(rf"(?:{pattern})(?:\..+)?")
        except re.error as error:
            raise ValueError(f"trainable {pattern!r} is not a regular expression: {error}") from error
        named = [parameter for name, parameter in parameters.items() if expression.fullmatch(name)]
        if not named:
            raise ValueError(f"trainable {pattern!r} matches nothing; there are {', '.join(_parts(parameters))}")
        for parameter in named:
            parameter.requires_grad_()


def add_trained(optimizer: torch.optim.Optimizer, module: nn.Module, lr_scale: float) -> None:
    """Add the trained parameters of a module to an optimizer, with their own learning rate.

    Args:
        optimizer: Optimizer with a default learning rate.
        module: Its parameters that require gradients become one group; without any, nothing is added.
        lr_scale: Learning rate of the group, relative to that of the optimizer.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if trained:
        optimizer.add_param_group({"params": trained, "lr": lr_scale * optimizer.defaults["lr"]})


def _parts(names: Iterable[str]) -> list[str]:
    """List the parts of a module: names up to the first number (a stage, a layer), or the owner of a parameter."""
    parts = []
    for name in names:
        words = name.split(".")
        number = next((place for place, word in enumerate(words) if word.isdigit()), len(words) - 2)
        parts.append(".".join(words[: number + 1]) or name)
    return list(dict.fromkeys(parts))


def embed_pairs(encoder: Encoder, batch: PairBatch, micro_batch_size: int | None = None) -> FeatureBatch:
    """Embed the pictures and texts of a batch of B items; each item may lack one of them.

    Gradients reach the trained parts of the encoder.

    Args:
        encoder: The encoder.
        batch: Pairs that its ``preprocess`` and ``tokenize`` prepared.
        micro_batch_size: Pictures, and texts, that are embedded at a time. Between the forward and the backward pass
            only embeddings are kept, and the backward pass embeds each part again: memory is that of a part, losses
            see the whole batch, and gradients are those of the whole batch (Gao et al., RepL4NLP 2021,
            "Scaling deep contrastive learning batch size under memory limited setup"). None embeds all at once.

    Returns:
        The embeddings, zeros for a missing picture or text, and the other columns of the batch.
    """
    has_image, has_text = batch["present"].unbind(dim=1)
    image = torch.zeros(len(has_image), encoder.image_dim, device=has_image.device)
    text = torch.zeros(len(has_text), encoder.text_dim, device=has_text.device)
    if has_image.any():
        image[has_image] = _in_parts(encoder.encode_image, batch["image"], micro_batch_size).float()
    if has_text.any():
        text[has_text] = _in_parts(encoder.encode_text, batch["text"], micro_batch_size).float()
    return cast("FeatureBatch", {**batch, "image": image, "text": text})


def _in_parts(encode: Callable[[Any], Tensor], inputs: Tensor | dict[str, Tensor], size: int | None) -> Tensor:
    """Encode inputs in parts of at most ``size`` rows."""
    if size is None:
        return encode(inputs)
    if isinstance(inputs, Tensor):
        parts: list[Any] = list(torch.split(inputs, size))
    else:
        columns = {name: torch.split(column, size) for name, column in inputs.items()}
        parts = [dict(zip(columns, part, strict=True)) for part in zip(*columns.values(), strict=True)]
    # Encoders draw no random numbers, so that the state of the generator can be ignored.
    return torch.cat([checkpoint(encode, part, use_reentrant=False, preserve_rng_state=False) for part in parts])

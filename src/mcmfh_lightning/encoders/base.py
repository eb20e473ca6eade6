"""What every encoder offers to the datamodule, the extractor and the feature writer."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

from PIL import Image
from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A pretrained pair of towers: one embeds images, the other texts.

    The constructor loads the weights; an encoder is never left with random ones. ``preprocess`` and ``tokenize`` run
    in data loader workers and can be pickled. It is frozen unless a module trains it
    (`mcmfh_lightning.encoders.trainable`).
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

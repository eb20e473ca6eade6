"""Methods that hash each modality by itself."""

from abc import ABC

from torch import Tensor, nn

from mcmfh_lightning.hashers.base import Codes, Hasher
from mcmfh_lightning.layers import HashHead, Projection
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch


class Towers(Hasher, ABC):
    """Projection, MLP and tanh per modality, the same for every method of this kind: they differ by their objective."""

    def build_towers(self, num_bits: int, image_dim: int, text_dim: int, d_model: int) -> None:
        """Make the weights.

        Args:
            num_bits: Bits of a code.
            image_dim: Width of the image embeddings.
            text_dim: Width of the text embeddings.
            d_model: Width of the projections and of the hash heads.
        """
        self.image_tower = nn.Sequential(Projection(image_dim, d_model), HashHead(d_model, num_bits, d_model))
        self.text_tower = nn.Sequential(Projection(text_dim, d_model), HashHead(d_model, num_bits, d_model))

    def encode(self, image: Tensor | None, text: Tensor | None) -> Codes:
        """Hash each modality that is given, alone."""
        if image is None and text is None:
            raise ValueError("encode needs an image, a text or both")
        return Codes(
            None if image is None else self.image_tower(image), None if text is None else self.text_tower(text)
        )

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Unimodal codes and, as the code of a case, the mean of both."""
        image, text = self.image_tower(batch["image"]), self.text_tower(batch["text"])
        return {"image": image, "text": text, "case": (image + text) / 2}

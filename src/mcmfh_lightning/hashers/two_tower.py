"""Methods that hash each modality by itself; TwoTower, the null for fusion and experts."""

from abc import ABC
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from mcmfh_lightning.hashers.base import Codes, Hasher, Objective, use_present_names
from mcmfh_lightning.layers import HashHead, Projection
from mcmfh_lightning.losses import ContrastiveLoss, gather_rows
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch


class Towers(Hasher, ABC):
    """Base of the methods with one tower a modality, ``image_tower`` and ``text_tower``."""

    image_tower: Callable[[Tensor], Tensor]
    text_tower: Callable[[Tensor], Tensor]

    def encode(self, image: Tensor | None, text: Tensor | None) -> Codes:
        """Hash each modality that is given, alone."""
        if image is None and text is None:
            raise ValueError("encode needs an image, a text or both")
        return Codes(
            None if image is None else self.image_tower(image), None if text is None else self.text_tower(text)
        )

    def global_codes(self, batch: FeatureBatch) -> tuple[Tensor, Tensor]:
        """Encode the images and texts of the global batch."""
        return gather_rows(self.image_tower(batch["image"])), gather_rows(self.text_tower(batch["text"]))

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Compute unimodal codes and, as the code of a case, the mean of both."""
        image, text = self.image_tower(batch["image"]), self.text_tower(batch["text"])
        return {"image": image, "text": text, "case": (image + text) / 2}


class HashTowers(Towers, ABC):
    """Projection, MLP and tanh per modality, the same for every method of this kind: they differ by their objective.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of the projections and of the hash heads.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
    """

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        sizes = {"num_bits": num_bits, "image_dim": image_dim, "text_dim": text_dim, "d_model": d_model}
        super().__init__(sizes, optimizer, lr_scheduler)
        self.image_tower = nn.Sequential(Projection(image_dim, d_model), HashHead(d_model, num_bits, d_model))
        self.text_tower = nn.Sequential(Projection(text_dim, d_model), HashHead(d_model, num_bits, d_model))


class TwoTower(HashTowers):
    """`HashTowers` with the objective of MCMFH; the modalities never meet.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of the projections and of the hash heads.
        seed: Seed of the input dropout.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
        objective: Fields of `ContrastiveLoss`.
    """

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int = 256,
        *,
        seed: int = 0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
        **objective: Any,  # noqa: ANN401  # typed by ContrastiveLoss
    ) -> None:
        super().__init__(num_bits, image_dim, text_dim, d_model, optimizer, lr_scheduler)
        use_present_names(objective)
        self.loss = ContrastiveLoss(**objective)
        self.supervision, self.seed = self.loss.supervision, seed
        self.save_hyperparameters()
        self.save_hyperparameters(asdict(self.loss))

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute hashing loss, quantization and bit balance between the modalities."""
        image, text = self.loss.drop_inputs(batch["image"], batch["text"], self.sample_key(batch), self.seed)
        codes = gather_rows(self.image_tower(image)), gather_rows(self.text_tower(text))  # (B, num_bits) each
        relations = self.loss.relations(gather_rows(batch["labels"]), gather_rows(batch["group"]), self.normal_label)
        return Objective(self.loss(*codes, *relations), {})

"""The null for fusion and experts: one MLP per modality, the same objective.

Methods that hash each modality by itself.
"""

from abc import ABC

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from mcmfh_lightning.hashers.base import Codes, Hasher, Objective
from mcmfh_lightning.hashers.contrastive import ContrastiveHasher, HashingLoss
from mcmfh_lightning.layers import HashHead, Projection
from mcmfh_lightning.losses import Supervision, gather_rows
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


class TwoTower(Towers, ContrastiveHasher):
    """`Towers` with the objective of MCMFH; the modalities never meet.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of the projections and of the hash heads.
        supervision: ``pairs`` (a pair and its group) or ``labels`` (pairs that share a label as well) are positives.
        hashing_loss: ``info_nce``, ``average_precision`` or ``both``.
        temperature: Of InfoNCE.
        normal_weight: How much normal pairs count as queries, see `ContrastiveHasher`.
        input_dropout: Chance that a number of an embedding is dropped in training.
        quantisation_weight: Weight of the pull towards -1 and +1.
        bit_balance_weight: Weight of the pull towards balanced bits.
        seed: Seed of the input dropout.
        optimizer: Makes the optimiser from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
    """

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int = 256,
        supervision: Supervision = "labels",
        hashing_loss: HashingLoss = "both",
        temperature: float = 0.5,
        normal_weight: float = 0.0,
        input_dropout: float = 0.3,
        quantisation_weight: float = 0.1,
        bit_balance_weight: float = 0.1,
        seed: int = 0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            {"num_bits": num_bits, "image_dim": image_dim, "text_dim": text_dim, "d_model": d_model},
            supervision,
            hashing_loss,
            temperature,
            normal_weight,
            input_dropout,
            quantisation_weight,
            bit_balance_weight,
            seed,
            optimizer,
            lr_scheduler,
        )
        self.save_hyperparameters()
        self.build_towers(num_bits, image_dim, text_dim, d_model)

    def objective(self, batch: FeatureBatch) -> Objective:
        """Hashing, quantisation and bit balance between the modalities."""
        image, text = self.dropped(batch)
        codes = gather_rows(self.image_tower(image)), gather_rows(self.text_tower(text))
        return Objective(self.code_losses(*codes, self.relations(batch)), {})

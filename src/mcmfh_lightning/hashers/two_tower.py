"""The null for fusion and experts: one MLP per modality, the same objective."""

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from mcmfh_lightning.hashers.base import Objective
from mcmfh_lightning.hashers.contrastive import ContrastiveHasher, HashingLoss
from mcmfh_lightning.hashers.towers import Towers
from mcmfh_lightning.losses import Supervision, gather_rows
from mcmfh_lightning.types import FeatureBatch


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

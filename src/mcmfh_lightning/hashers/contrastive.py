"""The training objective that MCMFH and its null, TwoTower, share."""

from abc import ABC
from typing import Literal, NamedTuple

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from mcmfh_lightning.errors import check_choice
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.losses import (
    Supervision,
    average_precision_loss,
    bit_balance,
    find_positives,
    gather_rows,
    info_nce,
    quantisation,
)
from mcmfh_lightning.metrics.functional import unpack_bits
from mcmfh_lightning.randomness import keyed_mask
from mcmfh_lightning.types import FeatureBatch

HashingLoss = Literal["info_nce", "average_precision", "both"]
_SALT = 0x494E50  # other masks than those of the voting MLP, which has the same seed


class Relations(NamedTuple):
    """How the rows of a global batch relate to each other."""

    positives: Tensor
    """(B, B) bool: belong together."""
    ignored: Tensor
    """(B, B) bool: unknown, neither positive nor negative."""
    weight: Tensor | None
    """(B,) how much each row counts as a query; None for all alike."""


class ContrastiveHasher(Hasher, ABC):
    """Hasher whose image and text codes of related pairs are drawn together.

    All terms are computed on the global batch: the rows of all ranks are gathered with gradients.

    Args:
        architecture: See `Hasher`.
        supervision: What counts as related, see `find_positives`.
        hashing_loss: ``info_nce`` (contrastive), ``average_precision`` (the relaxation of tie-aware mAP@all) or the sum
            of ``both``.
        temperature: Of every InfoNCE.
        normal_weight: How much a pair with the collection's normal label counts as a query of the hashing loss, where
            labels supervise: half of a collection may be normal, and nobody searches for it. As items of other
            queries' rankings these pairs count in full. Without effect where no label is normal.
        input_dropout: Chance that a number of an embedding is dropped in training, in [0, 1).
        quantisation_weight: Weight of `quantisation`.
        bit_balance_weight: Weight of `bit_balance`.
        seed: Seed of the input dropout.
        optimizer: See `Hasher`.
        lr_scheduler: See `Hasher`.

    Raises:
        ValueError: For an unknown word, a temperature that is not positive, a negative weight or a rate outside [0, 1).
    """

    def __init__(
        self,
        architecture: dict[str, int | float | str],
        supervision: Supervision,
        hashing_loss: HashingLoss,
        temperature: float,
        normal_weight: float,
        input_dropout: float,
        quantisation_weight: float,
        bit_balance_weight: float,
        seed: int,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        super().__init__(architecture, optimizer, lr_scheduler)
        check_choice("supervision", supervision, Supervision)
        check_choice("hashing_loss", hashing_loss, HashingLoss)
        if temperature <= 0.0:
            raise ValueError(f"temperature={temperature} is not positive")
        if normal_weight < 0.0:
            raise ValueError(f"normal_weight={normal_weight} is negative")
        if not 0.0 <= input_dropout < 1.0:
            raise ValueError(f"input_dropout={input_dropout} is outside [0, 1)")
        self.supervision = supervision
        self.hashing_loss = hashing_loss
        self.temperature = temperature
        self.normal_weight = normal_weight
        self.keep = 1.0 - input_dropout
        self.seed = seed
        self.quantisation_weight = quantisation_weight
        self.bit_balance_weight = bit_balance_weight

    def relations(self, batch: FeatureBatch) -> Relations:
        """Which pairs of the global batch belong together, and how much each counts as a query."""
        labels = gather_rows(batch["labels"])
        found = find_positives(labels, gather_rows(batch["group"]), self.supervision)
        normal = self._normal_position()
        if normal is None or self.supervision == "pairs":
            return Relations(*found, None)
        is_normal = unpack_bits(labels)[:, normal].float()
        return Relations(*found, 1.0 - (1.0 - self.normal_weight) * is_normal)

    def dropped(self, batch: FeatureBatch) -> tuple[Tensor, Tensor]:
        """Image and text embeddings of a training batch after dropout, drawn from (seed, step, sample id)."""
        image, text = batch["image"], batch["text"]
        if self.keep == 1.0:
            return image, text
        widths = [image.shape[1], text.shape[1]]
        mask = keyed_mask(
            self.keep, seed=self.seed + _SALT, step=self.global_step, ids=batch["index"], shape=(sum(widths),)
        )
        of_image, of_text = torch.split(mask.to(image.dtype) / self.keep, widths, dim=1)
        return image * of_image, text * of_text

    def code_losses(self, image: Tensor, text: Tensor, relations: Relations) -> dict[str, Tensor]:
        """Terms on relaxed codes of the global batch: hashing (weight 1), quantisation, bit balance."""
        both = (quantisation(image) + quantisation(text)) / 2, (bit_balance(image) + bit_balance(text)) / 2
        return {
            "hashing": self.match(image, text, relations),
            "quantisation": self.quantisation_weight * both[0],
            "bit_balance": self.bit_balance_weight * both[1],
        }

    def match(self, first: Tensor, second: Tensor, relations: Relations) -> Tensor:
        """The hashing loss between two sets of relaxed codes, in both directions."""
        positives, ignored, weight = relations
        loss = torch.zeros((), dtype=first.dtype, device=first.device)
        if self.hashing_loss != "average_precision":
            loss = loss + info_nce(first, second, positives, self.temperature, ignored, weight)
        if self.hashing_loss != "info_nce":
            there = average_precision_loss(first, second, positives, ignored, weight)
            loss = loss + (there + average_precision_loss(second, first, positives.T, ignored.T, weight)) / 2
        return loss

    def _normal_position(self) -> int | None:
        """Which label of the attached data says "nothing found"; None if none does."""
        normal = self._of_data("normal_label")
        return None if normal is None else list(self._of_data("label_vocabulary")).index(normal)

"""The training objective that MCMFH and its null, TwoTower, share."""

from abc import ABC
from typing import Literal

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from mcmfh_lightning.choices import check_choice
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.losses import (
    Positives,
    Supervision,
    average_precision_loss,
    bit_balance,
    find_positives,
    gather_rows,
    info_nce,
    quantisation,
)
from mcmfh_lightning.types import FeatureBatch

HashingLoss = Literal["info_nce", "average_precision"]


class ContrastiveHasher(Hasher, ABC):
    """Hasher whose image and text codes of related pairs are drawn together.

    All terms are computed on the global batch: the rows of all ranks are gathered with gradients.

    Args:
        architecture: See `Hasher`.
        supervision: What counts as related, see `find_positives`.
        hashing_loss: ``info_nce`` (contrastive) or ``average_precision`` (the relaxation of tie-aware mAP@all).
        temperature: Of every InfoNCE.
        quantisation_weight: Weight of `quantisation`.
        bit_balance_weight: Weight of `bit_balance`.
        optimizer: See `Hasher`.
        lr_scheduler: See `Hasher`.

    Raises:
        ValueError: For an unknown word or a temperature that is not positive.
    """

    def __init__(
        self,
        architecture: dict[str, int | float | str],
        supervision: Supervision,
        hashing_loss: HashingLoss,
        temperature: float,
        quantisation_weight: float,
        bit_balance_weight: float,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        super().__init__(architecture, optimizer, lr_scheduler)
        check_choice("supervision", supervision, Supervision)
        check_choice("hashing_loss", hashing_loss, HashingLoss)
        if temperature <= 0.0:
            raise ValueError(f"temperature={temperature} is not positive")
        self.supervision = supervision
        self.hashing_loss = hashing_loss
        self.temperature = temperature
        self.quantisation_weight = quantisation_weight
        self.bit_balance_weight = bit_balance_weight

    def relations(self, batch: FeatureBatch) -> Positives:
        """Which pairs of the global batch belong together."""
        return find_positives(gather_rows(batch["labels"]), gather_rows(batch["group"]), self.supervision)

    def code_losses(self, image: Tensor, text: Tensor, relations: Positives) -> dict[str, Tensor]:
        """Terms on relaxed codes of the global batch: hashing (weight 1), quantisation, bit balance."""
        both = (quantisation(image) + quantisation(text)) / 2, (bit_balance(image) + bit_balance(text)) / 2
        return {
            "hashing": self.match(image, text, relations),
            "quantisation": self.quantisation_weight * both[0],
            "bit_balance": self.bit_balance_weight * both[1],
        }

    def match(self, first: Tensor, second: Tensor, relations: Positives) -> Tensor:
        """The hashing loss between two sets of relaxed codes, in both directions."""
        positives, ignored = relations
        if self.hashing_loss == "info_nce":
            return info_nce(first, second, positives, self.temperature, ignored)
        one_way = average_precision_loss(first, second, positives, ignored)
        return (one_way + average_precision_loss(second, first, positives.T, ignored.T)) / 2

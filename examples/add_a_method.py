"""A method of your own, complete: DCMH (Jiang & Li, CVPR 2017) on frozen embeddings."""

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch.nn.functional import softplus

from mcmfh_lightning.hashers import HashTowers, Objective
from mcmfh_lightning.losses import bit_balance, quantization
from mcmfh_lightning.types import FeatureBatch


class DCMH(HashTowers):
    """Deep Cross-Modal Hashing: inner products of codes are the logits of "these two share a label".

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings, given by the data.
        text_dim: Width of the text embeddings, given by the data.
        d_model: Width of the towers.
        quantization_weight: Weight of the pull towards -1 and +1.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
    """

    supervision = "labels"  # data without labels are refused

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int = 256,
        quantization_weight: float = 0.1,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(num_bits, image_dim, text_dim, d_model, optimizer, lr_scheduler)
        self.save_hyperparameters()
        self.quantization_weight = quantization_weight

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute the negative log-likelihood of the similarities, quantization and bit balance."""
        image, text = self.global_codes(batch)  # (B, num_bits) each
        similar, ignored = self.related(batch)  # (B, B) each
        logits = image @ text.T / 2
        likelihood = (softplus(logits) - similar * logits)[~ignored].mean()
        error = quantization(image) + quantization(text)
        terms = {"likelihood": likelihood, "quantization": self.quantization_weight * error}  # the loss is their sum
        return Objective(terms, {"bit_balance": bit_balance(image) + bit_balance(text)})  # which is only logged

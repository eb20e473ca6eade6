"""Predicted labels instead of codes: a bound for what labels alone can give."""

from collections.abc import Mapping

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from mcmfh_lightning.hashers.base import Objective
from mcmfh_lightning.hashers.two_tower import Towers
from mcmfh_lightning.layers import Projection
from mcmfh_lightning.losses import gather_rows
from mcmfh_lightning.metrics.functional import unpack_bits
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch


class LabelClassifier(Towers):
    """A linear classifier of all labels per modality, ranked by the cosine of the predicted labels.

    The probability of a label weighs log(N / n), with n of N training pairs that carry it (idf, Spaerck Jones, 1972),
    so that frequent labels do not drown the others. No hashing: a bound for what codes can make of these features.

    Args:
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        num_labels: Labels. A model may be tested on data of other labels: it predicts its own.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
    """

    distance = "cosine"
    supervision = "labels"
    carriers: Tensor
    seen: Tensor

    def __init__(
        self,
        image_dim: int,
        text_dim: int,
        num_labels: int,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__({"image_dim": image_dim, "text_dim": text_dim}, optimizer, lr_scheduler)
        self.save_hyperparameters()
        self._dims = image_dim, text_dim
        self._build(num_labels)

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute the cross entropy of each modality, on the global batch; pairs without labels are not counted."""
        labels = unpack_bits(gather_rows(batch["labels"]))[:, : len(self.carriers)].float()  # (B, labels)
        known = labels.any(dim=1, keepdim=True).float()
        self.carriers += labels.sum(0)
        self.seen += known.sum()
        count = known.sum().clamp(min=1) * labels.shape[1]
        losses = [
            binary_cross_entropy_with_logits(logits, labels, known.expand_as(labels), reduction="sum") / count
            for logits in self.global_codes(batch)
        ]
        return Objective(dict(zip(("image", "text"), losses, strict=True)), {})

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Compute weighted predictions of length 1 and, for a case, their mean."""
        weight = (self.seen.clamp(min=1) / self.carriers.clamp(min=1)).log()
        image = normalize(self.image_tower(batch["image"]).sigmoid() * weight, dim=-1)
        text = normalize(self.text_tower(batch["text"]).sigmoid() * weight, dim=-1)
        return {"image": image, "text": text, "case": (image + text) / 2}

    def adapt(self, state: Mapping[str, Tensor]) -> None:
        """Take the labels of the checkpoint's training."""
        self._build(len(state["carriers"]))

    def _build(self, num_labels: int) -> None:
        image_dim, text_dim = self._dims
        self.image_tower = nn.Sequential(Projection(image_dim, num_labels))
        self.text_tower = nn.Sequential(Projection(text_dim, num_labels))
        self.register_buffer("carriers", torch.zeros(num_labels))
        self.register_buffer("seen", torch.zeros(()))

"""DDBH: codes on the right side of their boundary points."""

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from mcmfh_lightning.hashers.base import Objective
from mcmfh_lightning.hashers.two_tower import Towers
from mcmfh_lightning.losses import boundary_point_loss, find_positives, gather_rows, similarity_quantisation
from mcmfh_lightning.types import FeatureBatch


class DDBH(Towers):
    """Deep Discriminative Boundary Hashing (IEEE TCSVT 2025), supervised, on `Towers`.

    Loss terms: ``image``, ``text`` and ``cross``, the `boundary_point_loss` within each modality and from images to
    texts, and ``quantisation``, the `similarity_quantisation` of both modalities.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of the projections and of the hash heads.
        quantisation_weight: Weight of ``quantisation``.
        optimizer: Makes the optimiser from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
    """

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int = 256,
        quantisation_weight: float = 0.1,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            {"num_bits": num_bits, "image_dim": image_dim, "text_dim": text_dim, "d_model": d_model},
            optimizer,
            lr_scheduler,
        )
        self.save_hyperparameters()
        self.quantisation_weight = quantisation_weight
        self.build_towers(num_bits, image_dim, text_dim, d_model)

    @property
    def needs_labels(self) -> bool:
        """Always."""
        return True

    def objective(self, batch: FeatureBatch) -> Objective:
        """The terms of the class description, on the global batch."""
        image, text = gather_rows(self.image_tower(batch["image"])), gather_rows(self.text_tower(batch["text"]))
        similar, ignored = find_positives(gather_rows(batch["labels"]), gather_rows(batch["group"]), "labels")
        dissimilar = ~similar & ~ignored
        quantisation = similarity_quantisation(image, similar) + similarity_quantisation(text, similar)
        terms = {
            "image": boundary_point_loss(image, image, similar, dissimilar),
            "text": boundary_point_loss(text, text, similar, dissimilar),
            "cross": boundary_point_loss(image, text, similar, dissimilar),
            "quantisation": self.quantisation_weight * quantisation,
        }
        return Objective(terms, {})

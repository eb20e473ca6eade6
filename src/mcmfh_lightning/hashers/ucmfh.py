"""UCMFH: contrastive hashing of fused pairs."""

from typing import Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from mcmfh_lightning.errors import check_choice
from mcmfh_lightning.hashers.base import Codes, Hasher, Objective, project_given
from mcmfh_lightning.layers import ConcatFusion, KeyedDropout, Projection
from mcmfh_lightning.losses import gather_rows, nt_xent
from mcmfh_lightning.losses.contrastive import check_temperature
from mcmfh_lightning.randomness import SampleKey
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch

Views = Literal["paired", "all"]
HEAD_DROPOUT = 0.3
HASHING_WEIGHT = 0.5


class UCMFH(Hasher):
    """Unsupervised contrastive multi-modal fusion hashing (Xia et al., 2023): a fused pair becomes two codes.

    Projection per modality (none as published, where both embeddings are 512-d), `ConcatFusion`, and per modality an
    MLP with one hidden layer of 8 d_model units, tanh, and length 1. Loss terms: ``fusion``, `nt_xent` between the
    halves of the fused vectors, and ``hashing``, half of `nt_xent` between the relaxed codes.

    The method is paired by construction: a query sees its partner. A code of one modality has zeros in the place of
    the other; trained on pairs alone (``views="paired"``, as published) it has never seen these.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of a modality's half of the token; 512 as published.
        views: ``paired`` trains on fused pairs, ``all`` on images alone against texts alone as well, as MCMFH does
            (mean of both).
        temperature: Temperature of `nt_xent`.
        fusion_lr_scale: Learning rate of the fusion, in units of the others'.
        legacy_batch_attention: Reproduce published evaluation, in which the samples of a batch attend to each other
            and codes change with the batch. Such numbers depend on the batch size and on the order of the data.
        seed: Seed of dropout.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.

    Raises:
        ValueError: If the word is unknown or the temperature is not positive.
    """

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int = 512,
        views: Views = "paired",
        temperature: float = 0.5,
        fusion_lr_scale: float = 0.1,
        *,
        legacy_batch_attention: bool = False,
        seed: int = 0,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        sizes = {"num_bits": num_bits, "image_dim": image_dim, "text_dim": text_dim, "d_model": d_model}
        super().__init__(sizes, optimizer, lr_scheduler)
        check_choice("views", views, Views)
        check_temperature(temperature)
        self.save_hyperparameters()
        self.views = views
        self.temperature = temperature
        self.fusion_lr_scale = fusion_lr_scale
        self.legacy_batch_attention = legacy_batch_attention
        self.seed = seed
        self.image_projection = Projection(image_dim, d_model)
        self.text_projection = Projection(text_dim, d_model)
        self.fusion = ConcatFusion(d_model, seed)
        self.image_head = _Head(d_model, num_bits, seed, ConcatFusion.num_sites)
        self.text_head = _Head(d_model, num_bits, seed, ConcatFusion.num_sites + 1)

    def encode(self, image: Tensor | None, text: Tensor | None) -> Codes:
        """Hash samples from one modality or from both; with both, each code sees the pair. Never across the batch."""
        image_code, text_code = self._hash(*self._fuse(image, text))
        return Codes(None if image is None else image_code, None if text is None else text_code)

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute both terms; dropout in training mode is drawn from (seed, step, sample id) and differs by view."""
        image, text = batch["image"], batch["text"]
        keys = [self._key(batch, view) for view in range(3)]
        pairs = [self._fuse(image, text, keys[0])]
        codes = [self._hash(*pairs[0], keys[0])]
        if self.views == "all":
            image_only, text_only = self._fuse(image, None, keys[1]), self._fuse(None, text, keys[2])
            pairs.append((image_only[0], text_only[1]))
            codes.append(self._hash(*pairs[1], keys[1]))
        return Objective({"fusion": self._contrast(pairs), "hashing": HASHING_WEIGHT * self._contrast(codes)}, {})

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Compute the codes of all protocols; the missing half of a unimodal code's token is zeros."""
        legacy = self.legacy_batch_attention
        fused_image, fused_text = self._hash(*self._fuse(batch["image"], batch["text"], across_batch=legacy))
        image, _ = self._hash(*self._fuse(batch["image"], None, across_batch=legacy))
        _, text = self._hash(*self._fuse(None, batch["text"], across_batch=legacy))
        return {
            "image": image,
            "text": text,
            "case": (fused_image + fused_text) / 2,
            "fused_image": fused_image,
            "fused_text": fused_text,
        }

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Make the optimizer, with a rate of its own for the fusion."""
        fusion = list(self.fusion.parameters())
        others = [parameter for name, parameter in self.named_parameters() if not name.startswith("fusion.")]
        optimizer = self._make_optimizer([{"params": others}, {"params": fusion}])
        optimizer.param_groups[1]["lr"] *= self.fusion_lr_scale
        return optimizer

    def _fuse(
        self, image: Tensor | None, text: Tensor | None, key: SampleKey | None = None, *, across_batch: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Fuse into halves, (B, d_model) each."""
        tokens = project_given(image, text, self.image_projection, self.text_projection)
        halves: tuple[Tensor, Tensor] = self.fusion(*tokens, key, across_batch=across_batch)
        return halves

    def _hash(self, image: Tensor, text: Tensor, key: SampleKey | None = None) -> tuple[Tensor, Tensor]:
        """Hash fused halves, (B, d_model) each, to relaxed codes of length 1."""
        return (
            normalize(self.image_head(normalize(image, dim=-1), key), dim=-1),
            normalize(self.text_head(normalize(text, dim=-1), key), dim=-1),
        )

    def _contrast(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        losses = [nt_xent(gather_rows(image), gather_rows(text), self.temperature) for image, text in pairs]
        return torch.stack(losses).mean()

    def _key(self, batch: FeatureBatch, view: int) -> SampleKey | None:
        if not self.training:
            return None
        step, ids = self.sample_key(batch)
        return SampleKey(step, ids + (view << 40))


class _Head(nn.Module):
    """MLP with one hidden layer of 8 d_model units, dropout and tanh."""

    def __init__(self, d_model: int, num_bits: int, seed: int, site: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(d_model, 8 * d_model)
        self.dropout = KeyedDropout(HEAD_DROPOUT, seed, site)
        self.out = nn.Linear(8 * d_model, num_bits)

    def forward(self, halves: Tensor, key: SampleKey | None) -> Tensor:
        """Map (B, d_model) to (B, num_bits)."""
        return torch.tanh(self.out(self.dropout(relu(self.hidden(halves)), key)))

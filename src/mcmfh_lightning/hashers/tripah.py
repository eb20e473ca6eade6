"""TriPAH: codes that agree with the latest codes of all training items."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, gelu, mse_loss

from mcmfh_lightning.hashers.base import Objective
from mcmfh_lightning.hashers.code_bank import BankRows, CodeBank, hash_groups
from mcmfh_lightning.hashers.two_tower import Towers
from mcmfh_lightning.layers import KeyedDropout, Projection
from mcmfh_lightning.losses import (
    Positives,
    find_positives_between,
    gather_rows,
    in_full,
    info_nce,
    similarity_likelihood,
)
from mcmfh_lightning.metrics.functional import unpack_bits
from mcmfh_lightning.randomness import EVALUATION_STEP, SampleKey, keyed_mask
from mcmfh_lightning.types import FeatureBatch

BLOCKS = 2
DROPOUT = 0.5
AUXILIARY_BITS = 256
AUXILIARY_WEIGHT = 20.0  # mu: of the losses of the auxiliary code, and of the reconstruction
BETWEEN_WEIGHT, WITHIN_WEIGHT = 5.0, 0.005  # of the likelihood between the modalities, and within each
RECONSTRUCTION_WEIGHT = 0.005
TEMPERATURE = 0.07


class TriPAH(Towers):
    """Tri-Prompt Affinity Hashing (arXiv 2606.27010, 2026), supervised, without its fusion and its prompts.

    Published, a code is computed from the image, the text and a prompt of a pair, by a Mamba and a transformer that run
    across the items of a batch. So a query sees its partner and its neighbors, which no protocol here allows. The
    authors' code has switches for both parts, and here both are off (``--disable-fuse-mamba``, ``--disable-prompt``,
    ``--hyper-local 0``): feature shards hold no prompts. Their MetaCLIP is replaced by frozen embeddings, of any
    encoder, as for every method.

    What remains: a projection per modality, residual MLPs and hash layers that both modalities share, an auxiliary code
    of 256 bits, and a decoder from the code to it. Loss terms, with the latest codes of all training items from a
    `CodeBank`:

    - ``likelihood``: `similarity_likelihood` of the items' latest codes and the codes of the batch, within each
      modality and between them, of the code and of the auxiliary one.
    - ``quantization``: mean squared distance to the signs that an item had when it was last seen, as the sum of its
      image and text; random signs at first. The weight of the images rises to twice its value in the first third of the
      training, then falls back.
    - ``alignment``: `info_nce` of the features of image and text; the only positive of an item is its pair.
    - ``classification``: cross entropy of all labels, of which the positives weigh (n - n_c) / n_c.
    - ``reconstruction``: squared distance of the decoded code to the signs of the auxiliary one.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        num_labels: Labels. A model may be tested on data of other labels: codes do not depend on them.
        d_model: Width of the projections; 512 as published.
        quantization_weight: Weight of ``quantization``.
        alignment_weight: Weight of ``alignment``.
        classification_weight: Weight of ``classification``.
        annealing_epochs: Epochs over which the weight of the images' quantization rises and falls; the command line
            gives the epochs of the training.
        seed: Seed of dropout and of the first signs.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.

    Raises:
        ValueError: If ``annealing_epochs`` is less than 1.
    """

    supervision = "labels"

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        num_labels: int,
        d_model: int = 256,
        quantization_weight: float = 0.8,
        alignment_weight: float = 5.0,
        classification_weight: float = 0.3,
        annealing_epochs: int = 15,
        *,
        seed: int = 0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        sizes = {"num_bits": num_bits, "image_dim": image_dim, "text_dim": text_dim, "d_model": d_model}
        super().__init__(sizes, optimizer, lr_scheduler)
        if annealing_epochs < 1:
            raise ValueError(
                f"annealing_epochs={annealing_epochs} is less than 1; the command line takes trainer.max_epochs"
            )
        self.save_hyperparameters()
        self.quantization_weight = quantization_weight
        self.alignment_weight = alignment_weight
        self.classification_weight = classification_weight
        self.annealing_epochs = annealing_epochs
        self.seed = seed
        self.image_projection = Projection(image_dim, d_model)
        self.text_projection = Projection(text_dim, d_model)
        self.blocks = nn.ModuleList(_Block(d_model, seed, site) for site in range(BLOCKS))
        self.code = nn.Linear(d_model, num_bits)
        self.auxiliary = nn.Linear(d_model, AUXILIARY_BITS)
        self.decoder = nn.Sequential(
            nn.Linear(num_bits, AUXILIARY_BITS), nn.ReLU(), nn.Linear(AUXILIARY_BITS, AUXILIARY_BITS)
        )
        self._build_classifiers(num_labels)
        self._bank = CodeBank()

    def image_tower(self, embedding: Tensor) -> Tensor:
        """Hash images alone: (B, image_dim) to (B, num_bits)."""
        return torch.tanh(self.code(self._features(self.image_projection(embedding), None)))

    def text_tower(self, embedding: Tensor) -> Tensor:
        """Hash texts alone: (B, text_dim) to (B, num_bits)."""
        return torch.tanh(self.code(self._features(self.text_projection(embedding), None)))

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute the terms of the class description, on the global batch."""
        features = self._global_features(batch)  # (B, 2, d_model): image and text
        labels, index = gather_rows(batch["labels"]), gather_rows(batch["index"])
        groups = gather_rows(hash_groups(batch["group"]))
        codes = in_full(torch.tanh(self.code(features)))  # (B, 2, num_bits)
        auxiliary = in_full(torch.tanh(self.auxiliary(features)))  # (B, 2, AUXILIARY_BITS)
        latest = torch.cat([codes, auxiliary], dim=2).detach()
        rows = BankRows(latest, labels, groups, torch.ones_like(index, dtype=torch.bool))
        before, bank = self._bank.exchange(self._batch_number(), index, rows)
        targets = self._targets(before, index)  # (B, num_bits + AUXILIARY_BITS)
        relations = find_positives_between(bank.labels, bank.groups, labels, groups)  # (N, B) each
        short = codes.shape[2]
        likelihood, quantization = self._hashing(codes, bank.codes[..., :short], targets[:, :short], relations)
        of_auxiliary = self._hashing(auxiliary, bank.codes[..., short:], targets[:, short:], relations)
        image, text = features.unbind(1)
        own = torch.eye(len(index), dtype=torch.bool, device=index.device)
        alignment = info_nce(image, text, own, TEMPERATURE, ignored=groups[:, None] == groups)
        decoded = in_full(torch.tanh(self.decoder(codes.to(features.dtype)))).unbind(1)
        error = torch.stack([mse_loss(part, targets[:, short:]) for part in decoded]).sum() * AUXILIARY_BITS
        terms = {
            "likelihood": likelihood + AUXILIARY_WEIGHT * of_auxiliary[0],
            "quantization": self.quantization_weight * (quantization + AUXILIARY_WEIGHT * of_auxiliary[1]),
            "alignment": self.alignment_weight * alignment,
            "classification": self.classification_weight * self._classification(image, text, labels, bank),
            "reconstruction": AUXILIARY_WEIGHT * RECONSTRUCTION_WEIGHT * error,
        }
        return Objective(terms, {})

    def adapt(self, state: Mapping[str, Tensor]) -> None:
        """Take as many labels as the checkpoint has: they have no part in codes."""
        self._build_classifiers(len(state["image_classifier.bias"]))

    def save_training_state(self, checkpoint: dict[str, Any]) -> None:
        """Add the latest codes, which a resumed run goes by; they are not among the weights that are shared."""
        checkpoint["code_bank"] = self._bank.state()

    def load_training_state(self, checkpoint: Mapping[str, Any]) -> None:
        """Take the latest codes."""
        self._bank.load(checkpoint.get("code_bank"))

    def _build_classifiers(self, num_labels: int) -> None:
        width = self.code.in_features
        self.image_classifier = nn.Linear(width, num_labels)
        self.text_classifier = nn.Linear(width, num_labels)

    def _features(self, projected: Tensor, key: SampleKey | None) -> Tensor:
        for block in self.blocks:
            projected = block(projected, key)
        return projected

    def _global_features(self, batch: FeatureBatch) -> Tensor:
        """Compute the features of the images and texts of all processes; a text drops other units than its image."""
        step, ids = self.sample_key(batch)
        keys = (SampleKey(step, ids), SampleKey(step, ids + (1 << 40))) if self.training else (None, None)
        image = self._features(self.image_projection(batch["image"]), keys[0])
        text = self._features(self.text_projection(batch["text"]), keys[1])
        return gather_rows(torch.stack([image, text], dim=1))

    def _hashing(self, code: Tensor, old: Tensor, signs: Tensor, relations: Positives) -> tuple[Tensor, Tensor]:
        """Compute the likelihood of codes, (B, 2, K), against latest ones, (N, 2, K), and their quantization."""
        image, text = code.unbind(1)
        old_image, old_text = old.unbind(1)
        weighted = [
            (old_image, image, WITHIN_WEIGHT),
            (old_text, text, WITHIN_WEIGHT),
            (old_image, text, BETWEEN_WEIGHT),
            (old_text, image, BETWEEN_WEIGHT),
        ]
        terms = [weight * similarity_likelihood(first, second, *relations) for first, second, weight in weighted]
        quantization = image_weight(self._progress()) * mse_loss(image, signs) + mse_loss(text, signs)
        return torch.stack(terms).sum(), quantization

    def _targets(self, before: BankRows, index: Tensor) -> Tensor:
        """Return the signs of the items when they were last seen: (B, num_bits + AUXILIARY_BITS)."""
        shape = tuple(before.codes.shape[2:])
        drawn = keyed_mask(0.5, seed=self.seed, step=EVALUATION_STEP, ids=index, shape=shape).to(before.codes.dtype)
        return torch.where(before.seen[:, None], before.codes.sum(dim=1).sign(), 2 * drawn - 1)

    def _classification(self, image: Tensor, text: Tensor, labels: Tensor, bank: BankRows) -> Tensor:
        """Compute the cross entropy of both modalities, of pairs with labels; what is frequent is from all items."""
        num_labels = self.image_classifier.out_features
        dense, of_all = (unpack_bits(packed)[:, :num_labels].to(bank.codes.dtype) for packed in (labels, bank.labels))
        known, carriers = dense.any(dim=1, keepdim=True), of_all.sum(dim=0)
        positive_weight = ((of_all.any(dim=1).sum() - carriers) / (carriers + 1e-6)).clamp(min=0)
        counted = known.to(dense.dtype).expand_as(dense)
        totals = [
            binary_cross_entropy_with_logits(logits, dense, counted, reduction="sum", pos_weight=positive_weight)
            for logits in (in_full(self.image_classifier(image)), in_full(self.text_classifier(text)))
        ]
        return torch.stack(totals).sum() / counted.sum().clamp(min=1)

    def _progress(self) -> float:
        """Return the share of the annealing that is over after this batch; 0 where the length is not known."""
        if self._trainer is None:
            return 0.0
        return (self._batch_number() + 1) / (self.trainer.num_training_batches * self.annealing_epochs)

    def _batch_number(self) -> int:
        """Count the batches before this one; they are more than the steps where gradients are accumulated."""
        if self._trainer is None:  # each batch is the first one of a training
            return 0
        # As the loader of the training counts them: a run that resumes from within a step begins with that step.
        return int(self.trainer.fit_loop.epoch_loop.batch_progress.total.state_dict()["processed"])


def image_weight(progress: float) -> float:
    """Compute the weight of the images' quantization, in units of that of the texts.

    It rises from 1 to 2 in the first third of the training and falls back to 1 in the rest.

    Args:
        progress: Share of the training that is over.
    """
    return 1 + max(0.0, min(3 * progress, 1.5 * (1 - progress)))


class _Block(nn.Module):
    """Residual MLP behind a LayerNorm, with dropout that is keyed by sample."""

    def __init__(self, width: int, seed: int, site: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, 4 * width)
        self.dropout = KeyedDropout(DROPOUT, seed, site)
        self.out = nn.Linear(4 * width, width)

    def forward(self, features: Tensor, key: SampleKey | None) -> Tensor:
        """Map (B, width) to (B, width)."""
        result: Tensor = features + self.out(self.dropout(gelu(self.hidden(self.norm(features))), key))
        return result

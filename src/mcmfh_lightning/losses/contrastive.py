"""Contrastive losses of two views, and the training objective that MCMFH and TwoTower share."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from mcmfh_lightning.errors import check_choice
from mcmfh_lightning.losses.average_precision import average_precision_loss
from mcmfh_lightning.losses.batch import Positives, Supervision, find_positives, weighted_mean
from mcmfh_lightning.losses.regularizers import bit_balance, quantization
from mcmfh_lightning.randomness import SampleKey, keyed_mask

HashingLoss = Literal["info_nce", "average_precision", "both"]
_SALT = 0x494E50  # other masks than those of the voting MLP, which has the same seed


def info_nce(
    first: Tensor,
    second: Tensor,
    positives: Tensor,
    temperature: float,
    ignored: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    r"""Compute the symmetric multi-positive InfoNCE on cosine similarities.

    For row i of ``first`` with positives P(i) among the rows of ``second``,

    .. math:: L_i = -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac{\exp(s_{ip} / t)}{\sum_{k} \exp(s_{ik} / t)}

    averaged over rows that have positives, by their weights; then the same from ``second`` to ``first``, and the mean
    of both. k runs over all columns that are not ignored. InfoNCE: van den Oord et al., 2018, eq. 4; the average over
    positives outside the logarithm: Khosla et al. ("Supervised contrastive learning"), NeurIPS 2020, eq. 2; symmetric
    between modalities: Radford et al. (CLIP), ICML 2021.

    Args:
        first: (N, d).
        second: (M, d).
        positives: (N, M) bool.
        temperature: t > 0.
        ignored: (N, M) bool: entries that are neither positive nor negative. A positive is never ignored.
        weight: (N,) how much each row counts, in both directions, so that N = M; None for equal weights.

    Returns:
        Scalar; 0 (with a zero gradient) if no row that counts has a positive.
    """
    logits = normalize(first, dim=-1) @ normalize(second, dim=-1).T / temperature
    if ignored is not None:
        # The lowest finite number, not -inf: a row of which everything is ignored would be NaN in the backward pass.
        logits = logits.masked_fill(ignored & ~positives, torch.finfo(logits.dtype).min)
    return 0.5 * (_one_way(logits, positives, weight) + _one_way(logits.T, positives.T, weight))


def _one_way(logits: Tensor, positives: Tensor, weight: Tensor | None) -> Tensor:
    log_probabilities = logits.log_softmax(dim=-1).masked_fill(~positives, 0.0)
    counts = positives.sum(dim=-1)
    return weighted_mean(-log_probabilities.sum(dim=-1) / counts.clamp(min=1), counts > 0, weight)


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    r"""Compute the normalized temperature-scaled cross entropy over 2B views.

    With the 2B rows z of both views stacked, and p(i) the other view of row i,

    .. math:: L = -\frac{1}{2B} \sum_{i=1}^{2B} \log
       \frac{\exp(\cos(z_i, z_{p(i)}) / t)}{\sum_{k \ne i} \exp(\cos(z_i, z_k) / t)}

    (Chen et al. (SimCLR), ICML 2020, eq. 1): one cross entropy over a (2B, 2B) matrix. The only positive of a row is
    its other view.

    Args:
        first: (B, d).
        second: (B, d), the other view of each row.
        temperature: t > 0.

    Returns:
        Scalar >= 0; 0 for a single pair.
    """
    views = normalize(torch.cat([first, second]), dim=-1)
    logits = views @ views.T / temperature
    logits.fill_diagonal_(torch.finfo(logits.dtype).min)
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return cross_entropy(logits, partner)


@dataclass(frozen=True, kw_only=True)
class ContrastiveLoss:
    """Objective that draws image and text codes of related pairs together.

    Its fields are hyper-parameters of the hashers that use it: they take them as keyword arguments and pass them on.

    Args:
        supervision: ``pairs`` (a pair and its group) or ``labels`` (pairs that share a label as well) are positives.
        hashing_loss: ``info_nce`` (contrastive), ``average_precision`` (the relaxation of tie-aware mAP@all) or the sum
            of ``both``.
        temperature: Temperature of every InfoNCE.
        normal_weight: How much a pair with the collection's normal label counts as a query of the hashing loss, where
            labels supervise: half of a collection may be normal, and no user searches for it. As items of other
            queries' rankings these pairs count in full. Without effect where no label is normal.
        input_dropout: Chance that a number of an embedding is dropped in training, in [0, 1).
        quantization_weight: Weight of the pull towards -1 and +1.
        bit_balance_weight: Weight of the pull towards balanced bits.

    Raises:
        ValueError: If a word is unknown, the temperature is not positive, a weight is negative or a rate is outside
            [0, 1).
    """

    supervision: Supervision = "labels"
    hashing_loss: HashingLoss = "both"
    temperature: float = 0.5
    normal_weight: float = 0.0
    input_dropout: float = 0.3
    quantization_weight: float = 0.1
    bit_balance_weight: float = 0.1

    def __post_init__(self) -> None:
        check_choice("supervision", self.supervision, Supervision)
        check_choice("hashing_loss", self.hashing_loss, HashingLoss)
        check_temperature(self.temperature)
        if self.normal_weight < 0.0:
            raise ValueError(f"normal_weight={self.normal_weight} is negative")
        if not 0.0 <= self.input_dropout < 1.0:
            raise ValueError(f"input_dropout={self.input_dropout} is outside [0, 1)")

    def __call__(self, image: Tensor, text: Tensor, related: Positives, weight: Tensor | None) -> dict[str, Tensor]:
        """Compute the weighted terms of the global batch.

        Args:
            image: (B, num_bits) relaxed codes.
            text: (B, num_bits) relaxed codes.
            related: Which rows belong together.
            weight: (B,) how much each row counts as a query; None for equal weights.
        """
        both = (quantization(image) + quantization(text)) / 2, (bit_balance(image) + bit_balance(text)) / 2
        return {
            "hashing": self.match(image, text, related, weight),
            "quantisation": self.quantization_weight * both[0],  # a column of metrics.csv, which keeps its name
            "bit_balance": self.bit_balance_weight * both[1],
        }

    def match(self, first: Tensor, second: Tensor, related: Positives, weight: Tensor | None) -> Tensor:
        """Compute the hashing loss between two sets of relaxed codes, in both directions."""
        positives, ignored = related
        loss = torch.zeros((), dtype=first.dtype, device=first.device)
        if self.hashing_loss != "average_precision":
            loss = loss + info_nce(first, second, positives, self.temperature, ignored, weight)
        if self.hashing_loss != "info_nce":
            there = average_precision_loss(first, second, positives, ignored, weight)
            loss = loss + (there + average_precision_loss(second, first, positives.T, ignored.T, weight)) / 2
        return loss

    def relations(self, labels: Tensor, groups: Tensor, normal: int | None) -> tuple[Positives, Tensor | None]:
        """Find which rows belong together, and the weight of each as a query, (B,) or None for equal weights.

        Args:
            labels: (B, ceil(L / 8)) uint8, packed label sets.
            groups: (B,) int64.
            normal: Position of the collection's normal label; None without one.
        """
        related = find_positives(labels, groups, self.supervision)
        if normal is None or self.supervision == "pairs":
            return related, None
        is_normal = (labels[:, normal // 8] >> (7 - normal % 8) & 1).float()  # (B,)
        return related, 1.0 - (1.0 - self.normal_weight) * is_normal

    def drop_inputs(self, image: Tensor, text: Tensor, key: SampleKey, seed: int) -> tuple[Tensor, Tensor]:
        """Drop numbers of the embeddings of a training batch, drawn from (seed, step, sample id)."""
        if self.input_dropout == 0.0:
            return image, text
        keep, widths = 1.0 - self.input_dropout, [image.shape[1], text.shape[1]]
        mask = keyed_mask(keep, seed=seed + _SALT, step=key.step, ids=key.ids, shape=(sum(widths),))
        of_image, of_text = torch.split(mask.to(image.dtype) / keep, widths, dim=1)
        return image * of_image, text * of_text


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not positive.

    Raises:
        ValueError: If it is zero or negative.
    """
    if temperature <= 0.0:
        raise ValueError(f"temperature={temperature} is not positive")

"""Contrastive loss between two views with several positives a row.

Contrastive loss in which rows of the same modality are negatives too.

Which pairs of a batch belong together.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from mcmfh_lightning.losses.codes import weighted_mean


def info_nce(
    first: Tensor,
    second: Tensor,
    positives: Tensor,
    temperature: float,
    ignored: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    r"""Symmetric multi-positive InfoNCE on cosine similarities.

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
        weight: (N,) how much each row counts, in both directions, so that N = M; None for all alike.

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
    r"""Normalised temperature-scaled cross entropy over 2B views.

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


Supervision = Literal["pairs", "labels"]


class Positives(NamedTuple):
    """How each row of a batch relates to each other row."""

    positives: Tensor
    """(B, B) bool: belong together."""
    ignored: Tensor
    """(B, B) bool: unknown, neither positive nor negative."""


def find_positives(labels: Tensor, groups: Tensor, supervision: Supervision) -> Positives:
    """Tell positives from negatives.

    Rows of the same group (study, article, patient) are positives of each other, never negatives.

    - ``supervision="pairs"``: everything else is a negative.
    - ``supervision="labels"``: rows that share a label are positives as well. A row without any label is not known to
      differ from the others, so its relation to other groups is ignored.

    Args:
        labels: (B, ceil(L / 8)) uint8, packed label sets.
        groups: (B,) int64.
        supervision: What counts as belonging together.
    """
    same_group = groups[:, None] == groups
    if supervision == "pairs":
        return Positives(same_group, torch.zeros_like(same_group))
    shared = shares_label(labels, labels)
    unlabelled = (labels == 0).all(dim=-1)
    ignored = (unlabelled[:, None] | unlabelled) & ~same_group
    return Positives(same_group | shared, ignored)


def shares_label(first: Tensor, second: Tensor) -> Tensor:
    """Whether rows of packed label sets intersect: (N, Lb), (M, Lb) uint8 -> (N, M) bool."""
    return (first[:, None, :] & second).ne(0).any(dim=-1)

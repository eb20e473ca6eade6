"""Contrastive loss between two views with several positives a row."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mcmfh_lightning.losses.weighted import weighted_mean


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

"""Codes are drawn to learned proxies of their classes: the loss of DScPH.

Bits should be sure of their sign: the variance term of DScPH.

Relevant items should come before others by a margin.
"""

from torch import Tensor
from torch.nn.functional import normalize

SMOOTHING = 2.0
"""b: keeps the ratio defined and its gradient small where a batch has few positives."""
SHARPNESS = 1.3
"""s_p and s_n: how much harder pairs weigh more."""
HARDEST = 1.0
"""mu: the cosine at which a negative has weight 1."""
THRESHOLD = 0.9
"""tau: a proxy of another class with a lower cosine costs nothing."""
OFFSET = 0.7
"""psi: what is subtracted from the cosine of one that costs."""


def class_proxy_loss(
    codes: Tensor, proxies: Tensor, labels: Tensor, threshold: float = THRESHOLD, offset: float = OFFSET
) -> Tensor:
    r"""A soft F-measure between codes and class proxies that weighs hard pairs more.

    With c_ic the cosine of code i and proxy c, y its label, sg the stop-gradient, and sums over batch and classes,

    .. math:: L = 1 - \frac{T}{T + L^+ + L^-}, \quad T = b + 2 \sum y \max(c, 0)

    .. math:: L^+ = \sum y (1 - c)\, sg[e^{s_p (1 - c)}], \quad
       L^- = \sum_{c > \tau} (1 - y)(c - \psi)\, sg[e^{s_n (c - \mu)}]

    DScPH ("Deep Semantic-consistent Penalizing Hashing", IEEE TMM 2025). The defaults of tau and psi are those of the
    authors' collection of methods; their first repository has 0.3 for both. With 0.9, L^- is 0 until a code comes
    close to the proxy of another class.

    A row without labels would be a negative of every class. Leave such rows out where labels can be missing.

    Args:
        codes: (B, K) relaxed codes.
        proxies: (C, K), one for each class.
        labels: (B, C) multi-hot.
        threshold: tau.
        offset: psi <= tau.

    Returns:
        Scalar in [0, 1).
    """
    cosine = normalize(codes, dim=-1) @ normalize(proxies, dim=-1).T
    positive = labels.to(cosine.dtype)
    negative = (1 - positive) * (cosine > threshold)
    hits = SMOOTHING + 2 * (positive * cosine.clamp(min=0)).sum()
    missed = (positive * (1 - cosine) * (SHARPNESS * (1 - cosine)).exp().detach()).sum()
    false = (negative * (cosine - offset) * (SHARPNESS * (cosine - HARDEST)).exp().detach()).sum()
    return 1 - hits / (hits + missed + false)


def bit_variance(rotated: Tensor) -> Tensor:
    """Mean variance of bits read as coins: mean sigma(z) (1 - sigma(z)), z the rows scaled to length 1.

    DScPH ("Deep Semantic-consistent Penalizing Hashing", IEEE TMM 2025), on rotated codes. As |z| <= 1 it is between
    .197 and .25: a weak pull.

    Args:
        rotated: (B, K), codes after a rotation.

    Returns:
        Scalar in [0.196, 0.25].
    """
    chance = normalize(rotated, dim=-1).sigmoid()
    return (chance * (1 - chance)).mean()


def semi_hard_triplet(codes: Tensor, similar: Tensor, dissimilar: Tensor, margin: float) -> Tensor:
    """Mean hinge over semi-hard triplets: the negative is farther than the positive, but by less than the margin.

    Schroff et al. (FaceNet), CVPR 2015, section 3.2, with the cosine distance d = 1 - cos and every semi-hard triplet
    of the batch: mean of d(a, p) - d(a, n) + margin over those with d(a, p) < d(a, n) < d(a, p) + margin.

    Args:
        codes: (B, K).
        similar: (B, B) bool; the diagonal does not count.
        dissimilar: (B, B) bool.
        margin: > 0.

    Returns:
        Scalar in [0, margin); 0 (with a zero gradient) without such a triplet.
    """
    unit = normalize(codes, dim=-1)
    distance = 1 - unit @ unit.T
    similar = similar.clone().fill_diagonal_(fill_value=False)
    gap = distance[:, None, :] - distance[:, :, None]  # (anchor, positive, negative)
    semi_hard = similar[:, :, None] & dissimilar[:, None, :] & (gap > 0) & (gap < margin)
    return ((margin - gap) * semi_hard).sum() / semi_hard.sum().clamp(min=1)

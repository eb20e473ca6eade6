"""Losses of the supervised methods.

Distances (DCHMT), boundary points (DDBH), class proxies and triplets (DScPH), the likelihood of similarities (TriPAH).
"""

from math import log, sqrt

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, normalize

from mcmfh_lightning.losses.batch import in_full

SMOOTHING = 2.0  # b, which keeps the ratio defined and the gradient small where a batch has few positives
SHARPNESS = 1.3  # s_p and s_n: how much harder pairs weigh more
LARGEST_INNER = 64.0  # beyond it, an inner product has no gradient
HARDEST = 1.0  # mu: the cosine at which a negative has weight 1
THRESHOLD = 0.9  # tau: a proxy of another class with a lower cosine costs nothing
OFFSET = 0.7  # psi: subtracted from the cosine of one that costs


def boundary_point_loss(first: Tensor, second: Tensor, similar: Tensor, dissimilar: Tensor) -> Tensor:
    r"""Compute logistic losses around two data-dependent thresholds of the inner product.

    Each code has two boundary points, which similar and dissimilar codes should not cross.

    For row i of ``first`` with x_ij = <u_i, v_j>, ub = K / 4, and m_S, m_D the means of x over similar and dissimilar
    columns clamped to [0, ub], d the mean of the highest tenth of the dissimilar x and s that of the lowest tenth of
    the similar x, the boundary points (no gradient flows through them) are

    .. math:: B_S = m_S - \frac{ub - m_S}{ub} |m_S - d|, \quad B_D = m_D - \frac{m_D}{ub} |m_D - s|

    A similar column costs softplus(-a (x - B_S)), where a is the easy slope 6 ln(99) / K if x > B_S and twice that
    otherwise; a dissimilar one softplus(a (x - B_D)), easy if x < B_D. A row costs the mean over its similar plus the
    mean over its dissimilar columns. DDBH ("Deep Discriminative Boundary Hashing", IEEE TCSVT 2025). A tenth of n
    columns is n - floor(9 n / 10) of them, so n / 10 rounded up: the authors take x[int(0.9 n):] of the sorted values.

    Args:
        first: (N, K) relaxed codes in [-1, 1].
        second: (M, K) relaxed codes in [-1, 1].
        similar: (N, M) bool.
        dissimilar: (N, M) bool.

    Returns:
        Scalar, the mean over rows that have both kinds of columns; 0 (with a zero gradient) if none has.
    """
    inner = first @ second.T
    num_bits = first.shape[1]
    easy = log(99) * 6 / num_bits
    with torch.no_grad():
        near, far = _boundary_points(inner, similar, dissimilar, num_bits / 4)
    above, below = inner - near[:, None], far[:, None] - inner
    # softplus(-x) is -logsigmoid(x), which torch computes exactly; its softplus is the identity above 20.
    attraction = -logsigmoid(_slope(above, easy) * above)
    repulsion = -logsigmoid(_slope(below, easy) * below)
    rows = _masked_mean(attraction, similar) + _masked_mean(repulsion, dissimilar)
    both = similar.any(dim=1) & dissimilar.any(dim=1)
    return torch.where(both, rows, 0).sum() / both.sum().clamp(min=1)


def bounded_distance_loss(
    first: Tensor, second: Tensor, similar: Tensor, dissimilar: Tensor, margin_share: float
) -> Tensor:
    r"""Compute the squared distances of similar codes, and the squares of what dissimilar ones lack to a margin.

    The distance of two relaxed codes is the Euclidean one of the pairs that `SelectingHead` selects between, so that
    d_ij^2 = |h_i - h_j|^2 / 2; for codes it is twice their Hamming distance. Over the n pairs of known relation,

    .. math:: L = \frac{1}{n} \sum_{\text{similar}} d_{ij}^2
       + \frac{1}{n} \sum_{\text{dissimilar}} \max(\sqrt{2 K \vartheta} - d_{ij}, 0)^2

    The margin is thus a Hamming distance of theta K. DCHMT (Tu et al., ACM MM 2022), with the authors' choice of the
    Euclidean distance and of squares. The formula is that of their code.

    Args:
        first: (N, K) relaxed codes in [-1, 1].
        second: (M, K) relaxed codes in [-1, 1].
        similar: (N, M) bool.
        dissimilar: (N, M) bool.
        margin_share: theta, the share of the bits by which dissimilar codes should differ.

    Returns:
        Scalar >= 0; 0 (with a zero gradient) if no relation is known.
    """
    # Not by a matrix product, which loses digits where codes nearly coincide. The gradient at a distance of 0 is 0.
    distance = torch.cdist(in_full(first), in_full(second), compute_mode="donot_use_mm_for_euclid_dist") / sqrt(2)
    missing = (sqrt(2 * first.shape[1] * margin_share) - distance).clamp(min=0)
    costs = torch.where(similar, distance, torch.where(dissimilar, missing, 0)).square()
    return costs.sum() / (similar | dissimilar).sum().clamp(min=1)


def class_proxy_loss(
    codes: Tensor, proxies: Tensor, labels: Tensor, threshold: float = THRESHOLD, offset: float = OFFSET
) -> Tensor:
    r"""Compute a soft F-measure between codes and class proxies that weighs hard pairs more.

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


def similarity_likelihood(first: Tensor, second: Tensor, similar: Tensor, ignored: Tensor) -> Tensor:
    r"""Compute the negative log-likelihood of similarities whose logits are inner products of codes.

    With s_ij = <u_i, v_j> / 2, the product clamped to [-64, 64], and S_ij whether both are similar, the mean over the
    pairs of known relation of

    .. math:: \log(1 + e^{s_{ij}}) - S_{ij} s_{ij}

    Jiang & Li (DCMH), CVPR 2017, eq. 1, first term; clamped, as a mean, and with codes of earlier steps as ``first``
    in TriPAH (arXiv 2606.27010, 2026: `bayesian_loss` of its code).

    Args:
        first: (N, K) relaxed codes in [-1, 1].
        second: (M, K) relaxed codes in [-1, 1].
        similar: (N, M) bool.
        ignored: (N, M) bool: pairs of unknown relation.

    Returns:
        Scalar >= 0; 0 (with a zero gradient) if no relation is known.
    """
    # Sums over all training items are too large for half precision, which autocast takes for the product.
    inner = in_full(in_full(first) @ in_full(second).T)
    logits, known = inner.clamp(-LARGEST_INNER, LARGEST_INNER) / 2, (~ignored).to(inner.dtype)
    costs = binary_cross_entropy_with_logits(logits, similar.to(inner.dtype), known, reduction="sum")
    return costs / known.sum().clamp(min=1)


def semi_hard_triplet(codes: Tensor, similar: Tensor, dissimilar: Tensor, margin: float) -> Tensor:
    """Average the hinge over semi-hard triplets: the negative is farther than the positive, by less than the margin.

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


def _boundary_points(inner: Tensor, similar: Tensor, dissimilar: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Compute B_S and B_D of each row, (N,) each."""
    near = _masked_mean(inner, similar).clamp(0, bound)
    far = _masked_mean(inner, dissimilar).clamp(0, bound)
    hard_dissimilar = _mean_of_highest(inner, dissimilar)
    hard_similar = -_mean_of_highest(-inner, similar)
    return (
        near - (bound - near) / bound * (near - hard_dissimilar).abs(),
        far - far / bound * (far - hard_similar).abs(),
    )


def _slope(right_side: Tensor, easy: float) -> Tensor:
    """Choose the easy slope on the right side of a boundary, twice that elsewhere."""
    return (right_side > 0).to(right_side.dtype).mul(-easy).add(2 * easy)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def _mean_of_highest(values: Tensor, mask: Tensor) -> Tensor:
    """Average the highest tenth, rounded up, of each row's masked values; 0 without any."""
    ordered = values.masked_fill(~mask, -torch.inf).sort(dim=1, descending=True).values
    number = mask.sum(dim=1)
    taken = number - 9 * number // 10
    chosen = torch.arange(values.shape[1], device=values.device) < taken[:, None]
    return torch.where(chosen, ordered, 0).sum(dim=1) / taken.clamp(min=1)

"""Each code has two boundary points, which similar and dissimilar codes should not cross: the loss of DDBH."""

from math import log

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def boundary_point_loss(first: Tensor, second: Tensor, similar: Tensor, dissimilar: Tensor) -> Tensor:
    r"""Logistic losses around two data-dependent thresholds of the inner product.

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


def similarity_quantisation(codes: Tensor, similar: Tensor) -> Tensor:
    r"""Quantisation error in which a code weighs as much as it has similar ones.

    .. math:: Q = \frac{1}{B K} \sum_j n_j \lVert h_j - \mathrm{sign}(h_j) \rVert^2

    with n_j the number of codes of the batch that are similar to code j, itself included. DDBH (IEEE TCSVT 2025).

    Args:
        codes: (B, K) relaxed codes in [-1, 1].
        similar: (B, B) bool.

    Returns:
        Scalar >= 0; 0 for binary codes.
    """
    error = (codes.abs() - 1).square().sum(dim=1)
    return (similar.sum(dim=0) * error).sum() / codes.numel()


def _boundary_points(inner: Tensor, similar: Tensor, dissimilar: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """B_S and B_D of each row, (N,) each."""
    near = _masked_mean(inner, similar).clamp(0, bound)
    far = _masked_mean(inner, dissimilar).clamp(0, bound)
    hard_dissimilar = _mean_of_highest(inner, dissimilar)
    hard_similar = -_mean_of_highest(-inner, similar)
    return (
        near - (bound - near) / bound * (near - hard_dissimilar).abs(),
        far - far / bound * (far - hard_similar).abs(),
    )


def _slope(right_side: Tensor, easy: float) -> Tensor:
    """Easy where the pair is on the right side of its boundary, twice as steep elsewhere."""
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

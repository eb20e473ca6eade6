"""Average precision over a Hamming ranking with ties, relaxed to real-valued codes."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from mcmfh_lightning.losses.batch import weighted_mean

_TINY = 1e-6


def average_precision_loss(
    queries: Tensor, database: Tensor, positives: Tensor, ignored: Tensor | None = None, weight: Tensor | None = None
) -> Tensor:
    r"""Compute one minus the tie-aware average precision of a smooth histogram of Hamming distances.

    The distance of relaxed codes is (K - <q, x>) / 2 in [0, K]; a triangular kernel of width 1 spreads it over its two
    neighboring bins of 0..K (He et al., "Hashing as tie-aware learning to rank", CVPR 2018, eq. 9). With n_d items
    and p_d positives in bin d, and N, P their cumulative sums, the tie-aware AP (their eq. 5; McSherry & Najork,
    ECIR 2008) is, its inner sum written with harmonic numbers H,

    .. math:: \frac{1}{P_K} \sum_d \frac{p_d}{n_d}
       [(P_{d-1} + 1 - (N_{d-1} + 1) r_d) (H_{N_d} - H_{N_{d-1}}) + r_d n_d],
       \quad r_d = \frac{p_d - 1}{n_d - 1}

    H continues to real counts as digamma(N + 1) plus a constant, so the value is exact for codes in {-1, +1}. A bin
    with p_d <= 1 or n_d <= 1 has r_d = 0: a positive that is alone in its bin has no other one before it.

    Where distances are integers, the loss is in [0, 1]. Between them it can fall below 0, down to 1 - pi^2 / 6 = -0.645
    at most: a bin adds more than p_d only if it holds less than one item, and then at most
    p_d (N_{d-1} + 1) trigamma(N_{d-1} + 1) <= p_d pi^2 / 6, where trigamma is the derivative of digamma. The lowest
    known value is -0.195, of a query whose only positive comes first and is spread over two bins (1/2 - ln 2 = -0.193
    in halves). It is not clamped, for a clamped query has no gradient.

    With one positive a query, AP is the mean of 1 / rank over the orders of ties, (H_{N_d} - H_{N_{d-1}}) / n_d. Once
    that positive comes first, the lowest loss is between two integer distances and not at a binary code: use a
    quantization term with it, which pulls the code to its signs.

    Args:
        queries: (..., N, K) relaxed codes in [-1, 1]; leading dimensions are searches, computed in one pass.
        database: (..., M, K) relaxed codes in [-1, 1].
        positives: (..., N, M) bool, or (N, M) for all searches.
        ignored: Of the same shape, bool: items that do not take part in a query's ranking. A positive is never ignored.
        weight: (N,) how much each query counts; None for equal weights.

    Returns:
        (...), a scalar without leading dimensions, in [1 - pi^2 / 6, 1], in [0, 1] for codes in {-1, +1}: the mean over
        queries that have positives; 0 (with a zero gradient) if none that counts has.
    """
    counted = torch.ones_like(positives) if ignored is None else positives | ~ignored
    items, hits = _histograms(queries, database, positives, counted)
    items_upto, hits_upto = items.cumsum(dim=-1), hits.cumsum(dim=-1)
    items_before, hits_before = items_upto - items, hits_upto - hits
    # H_N - H_{N - n} of each bin: what comes before a bin is what there is up to the bin before.
    harmonic = torch.digamma(pad(items_upto, (1, 0)) + 1.0).diff(dim=-1)
    rate = ((hits - 1.0).clamp(min=0.0) / (items - 1.0).clamp(min=_TINY)).clamp(max=1.0)
    inner = (hits_before + 1.0 - (items_before + 1.0) * rate) * harmonic + rate * items
    total = positives.sum(dim=-1)
    precision = (hits / items.clamp(min=_TINY) * inner).sum(dim=-1) / total.clamp(min=1)  # (..., N)
    return weighted_mean(1.0 - precision, total > 0, weight).to(queries.dtype)


def _histograms(queries: Tensor, database: Tensor, positives: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Count items and positives by distance, softly: two (..., N, K + 1) float64.

    Each item is counted once, among the positives, the others, or those that are left out. It is in bin d as a whole,
    less the share of it that is spread to bin d + 1: one sum with a gradient, and one of whole numbers.
    """
    num_bits = queries.shape[-1]
    distances = (num_bits / 2.0 - queries.double() @ database.double().mT / 2.0).clamp(0.0, num_bits)
    # NaN as an index ends the process on CUDA; as a weight it reaches the loss, where the hasher reports it.
    lower = distances.detach().nan_to_num().floor().clamp(max=num_bits - 1)
    width = num_bits + 2  # of a kind: bin -1, from which nothing is spread, to bin K
    index = (counted.long() + positives) * width + lower.long() + 1  # (..., N, M)
    zeros = torch.zeros(*index.shape[:-1], 3 * width, dtype=torch.float64, device=queries.device)
    spread = zeros.scatter_add(-1, index, distances - lower)
    whole = zeros.scatter_add(-1, index, torch.ones_like(distances))
    spread, whole = (sums.reshape(*index.shape[:-1], 3, width)[..., 1:, :] for sums in (spread, whole))
    others, hits = (whole - spread)[..., 1:].add(spread[..., :-1]).unbind(-2)
    return others + hits, hits

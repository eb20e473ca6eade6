"""Regularizers: terms of single codes and of the routers of experts, without pairs of rows."""

from torch import Tensor
from torch.nn.functional import normalize


def quantization(codes: Tensor) -> Tensor:
    """Compute the mean squared distance to the nearest of -1 and +1: mean (|h| - 1)^2.

    For codes in [-1, 1] this is the per-bit mean of ||h - sign(h)||^2 (Gong & Lazebnik (ITQ), CVPR 2011, eq. 2; the
    relaxation of Liu et al. (DSH), CVPR 2016, uses its L1 form).

    Args:
        codes: (..., K) in [-1, 1].

    Returns:
        Scalar in [0, 1]; 0 for binary codes, 1 for zeros.
    """
    return (codes.abs() - 1.0).square().mean()


def similarity_quantization(codes: Tensor, similar: Tensor) -> Tensor:
    r"""Compute a quantization error in which a code weighs as much as it has similar ones.

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


def bit_balance(codes: Tensor) -> Tensor:
    """Compute the mean over bits of the squared batch mean: mean_k (mean_i h_ik)^2.

    The relaxation of the balance constraint sum_i h_i = 0 of Weiss et al. (spectral hashing), NIPS 2008, eq. 3, as a
    penalty (Jiang & Li (DCMH), CVPR 2017, eq. 1, last term).

    Args:
        codes: (..., N, K) in [-1, 1]; leading dimensions are sets of codes, each balanced by itself.

    Returns:
        Scalar in [0, 1]; 0 for balanced bits, 1 when all codes of a set are one and the same binary code.
    """
    return codes.mean(dim=-2).square().mean()


def bit_variance(rotated: Tensor) -> Tensor:
    """Compute the mean variance of bits read as coins: mean sigma(z) (1 - sigma(z)), z the rows scaled to length 1.

    DScPH ("Deep Semantic-consistent Penalizing Hashing", IEEE TMM 2025), on rotated codes. As |z| <= 1 it is between
    .197 and .25: a weak pull.

    Args:
        rotated: (B, K), codes after a rotation.

    Returns:
        Scalar in [0.196, 0.25].
    """
    chance = normalize(rotated, dim=-1).sigmoid()
    return (chance * (1 - chance)).mean()


def importance(probabilities: Tensor) -> Tensor:
    """Compute the squared coefficient of variation of the experts' summed gates.

    CV^2(I) with I_e = sum_t p_te (Shazeer et al., ICLR 2017, eq. 6 and 7); CV^2 is the population variance over the
    squared mean. They sum the sparse gates, after the choice of the k best. For k = 1 these have no gradient where it
    matters most: with all tokens at one expert, CV^2 is E - 1 whatever the gates are. So p is the full softmax here.

    Args:
        probabilities: (T, E), rows sum to 1.

    Returns:
        Scalar in [0, E - 1]; 0 for equal importance, E - 1 when one expert has it all.
    """
    total = probabilities.sum(dim=0)
    return total.var(correction=0) / total.mean().square()


def load_balance(probabilities: Tensor, experts: Tensor) -> Tensor:
    """Compute the load-balancing loss of the Switch transformer: E sum_e f_e P_e.

    f_e is the share of assignments that went to expert e, P_e the mean probability of e (Fedus et al., JMLR 2022,
    eq. 4 to 6). f sums to 1 for every k, so that uniform routing gives 1; Mixtral's form gives k there.

    Args:
        probabilities: (T, E), rows sum to 1.
        experts: (T, k) int64: the experts each token went to.

    Returns:
        Scalar; 1 for uniform routing, E when one expert has it all. The gradient flows through P alone.
    """
    num_experts = probabilities.shape[1]
    share = experts.flatten().bincount(minlength=num_experts) / experts.numel()
    return num_experts * (share * probabilities.mean(dim=0)).sum()


def router_z(logits: Tensor) -> Tensor:
    """Compute the router z-loss: mean over tokens of logsumexp(logits)^2 (Zoph et al. (ST-MoE), 2022, eq. 5).

    Args:
        logits: (T, E).

    Returns:
        Scalar >= 0 that grows with the logits' size.
    """
    return logits.logsumexp(dim=-1).square().mean()

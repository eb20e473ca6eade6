"""Losses that keep the experts of a mixture in balanced use."""

from torch import Tensor


def importance(probabilities: Tensor) -> Tensor:
    """Squared coefficient of variation of the experts' summed gates.

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
    """Load-balancing loss of the Switch transformer: E sum_e f_e P_e.

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
    """Router z-loss: mean over tokens of logsumexp(logits)^2 (Zoph et al. (ST-MoE), 2022, eq. 5).

    Args:
        logits: (T, E).

    Returns:
        Scalar >= 0 that grows with the logits' size.
    """
    return logits.logsumexp(dim=-1).square().mean()

"""What routers decided, and summaries of it."""

from typing import NamedTuple

import torch
from torch import Tensor


class Routing(NamedTuple):
    """How a layer's router treated its tokens."""

    logits: Tensor
    """(..., num_experts) router outputs."""
    probabilities: Tensor
    """(..., num_experts) softmax of the logits."""
    experts: Tensor
    """(..., top_k) int64: the experts each token went to, best first."""


def tokens_with_content(values: Tensor, present: Tensor) -> Tensor:
    """Leave out placeholder tokens.

    Placeholders are one and the same for all samples: balancing them would push the real tokens away from whichever
    expert they share.

    Args:
        values: (B, S, ...), of a `Routing`; S is 2, or 1 where one token holds both modalities.
        present: (B, 2) bool: the modalities a sample has.

    Returns:
        (T, ...).
    """
    return values[present] if values.shape[1] == present.shape[1] else values.flatten(0, 1)


def tokens_per_expert(routings: list[Routing], present: Tensor) -> Tensor:
    """Count assignments by layer, modality and expert.

    A token that holds both modalities counts for each that the sample has; placeholders do not count.

    Args:
        routings: One per layer, leading shape (B, S) with S 1 or 2.
        present: (B, 2) bool.

    Returns:
        (layers, 2, num_experts) int64.
    """
    counts = [
        routing.experts[:, min(modality, routing.experts.shape[1] - 1)][present[:, modality]]
        .flatten()
        .bincount(minlength=routing.logits.shape[-1])
        for routing in routings
        for modality in range(present.shape[1])
    ]
    return torch.stack(counts).reshape(len(routings), present.shape[1], -1)


def utilisation(counts: Tensor) -> Tensor:
    """Evenness of expert use: exp(entropy of the shares) / num_experts.

    Args:
        counts: (..., num_experts).

    Returns:
        (...) in [1 / num_experts, 1]: 1 for equal use, 1 / num_experts when one expert does everything; NaN without
        any tokens.
    """
    shares = counts / counts.sum(dim=-1, keepdim=True)
    perplexity = torch.special.entr(shares).sum(dim=-1).exp()
    return torch.div(perplexity, counts.shape[-1])

"""Mixture of experts, a feed-forward layer of which every token uses a few parts, and summaries of its routing."""

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, one_hot


class Routing(NamedTuple):
    """Decisions of a layer's router.

    Attributes:
        logits: (..., num_experts) router outputs.
        probabilities: (..., num_experts) softmax of the logits.
        experts: (..., top_k) int64: the experts each token went to, best first.
    """

    logits: Tensor
    probabilities: Tensor
    experts: Tensor


def tokens_per_expert(routings: Sequence[Routing], held: Sequence[Collection[int]]) -> Tensor:
    """Count assignments by layer, modality and expert.

    Args:
        routings: One per layer, leading shape (N, B): N tokens a sample.
        held: Modalities that each of the N tokens holds; it counts for each of them.

    Returns:
        (layers, 2, num_experts) int64.
    """
    num_experts = routings[0].logits.shape[-1]
    counts = routings[0].experts.new_zeros(len(routings), 2, num_experts)
    for layer, routing in enumerate(routings):
        for count, modalities in zip(one_hot(routing.experts, num_experts).sum(dim=(1, 2)), held, strict=True):
            for modality in modalities:
                counts[layer, modality] += count
    return counts


def utilization(counts: Tensor) -> Tensor:
    """Compute the evenness of expert use: exp(entropy of the shares) / num_experts.

    Args:
        counts: (..., num_experts).

    Returns:
        (...) in [1 / num_experts, 1]: 1 for equal use, 1 / num_experts when one expert does everything; NaN without
        any tokens.
    """
    shares = counts / counts.sum(dim=-1, keepdim=True)
    perplexity = torch.special.entr(shares).sum(dim=-1).exp()
    return torch.div(perplexity, counts.shape[-1])


class MixtureOfExperts(nn.Module):
    """Top-k routed expert MLPs without capacity limit (Shazeer et al., ICLR 2017; Fedus et al., JMLR 2022).

    The output of token x is ``sum_e p_e(x) E_e(x)`` over its top-k experts e, with the softmax probabilities
    as gates. They are not renormalized over the chosen experts, as in the Switch transformer: for ``top_k=1`` a
    renormalized gate is always 1 and the router would learn nothing from the task.

    No token is ever dropped and there is no router noise, so a sample's output does not depend on its batch. The
    experts are stacked parameters: an expert without tokens receives a zero gradient rather than none, which
    distributed training needs.

    Args:
        d_model: Width of a token.
        hidden_dim: Width of each expert's hidden layer.
        num_experts: Number of experts.
        top_k: Experts per token.

    Raises:
        ValueError: If ``top_k`` is not in 1..num_experts.
    """

    def __init__(self, d_model: int, hidden_dim: int, num_experts: int, top_k: int) -> None:
        super().__init__()
        if not 1 <= top_k <= num_experts:
            raise ValueError(f"top_k={top_k} is outside 1..num_experts={num_experts}")
        self.num_experts = num_experts
        self.top_k = top_k
        self.router = nn.Linear(d_model, num_experts, bias=False)
        self.weight_in = nn.Parameter(torch.empty(num_experts, d_model, hidden_dim))
        self.bias_in = nn.Parameter(torch.zeros(num_experts, hidden_dim))
        self.weight_out = nn.Parameter(torch.empty(num_experts, hidden_dim, d_model))
        self.bias_out = nn.Parameter(torch.zeros(num_experts, d_model))
        for weight in (self.weight_in, self.weight_out):
            bound = 1.0 / math.sqrt(weight.shape[1])
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Routing]:
        """Send each token through its experts.

        Args:
            tokens: (..., d_model).

        Returns:
            (..., d_model) outputs, and the routing.
        """
        logits: Tensor = self.router(tokens)
        probabilities = logits.softmax(dim=-1)
        gates, experts = probabilities.topk(self.top_k, dim=-1)
        # A graph has no sizes that depend on its inputs.
        tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # it has no types
        if tracing or torch.compiler.is_exporting():
            outputs = self._all_experts(tokens, experts)
        else:
            outputs = self._dispatch(tokens.flatten(0, -2), experts.flatten())
            outputs = outputs.reshape(*tokens.shape[:-1], self.top_k, tokens.shape[-1])
        return (gates[..., None] * outputs).sum(dim=-2), Routing(logits, probabilities, experts)

    def _all_experts(self, tokens: Tensor, experts: Tensor) -> Tensor:
        """Apply every expert to every token, then choose: (..., d_model), (..., top_k) -> (..., top_k, d_model)."""
        hidden = gelu(tokens[..., None, None, :] @ self.weight_in + self.bias_in[:, None])  # (..., experts, 1, hidden)
        outputs = (hidden @ self.weight_out + self.bias_out[:, None])[..., 0, :]  # (..., experts, d_model)
        return outputs.gather(-2, experts[..., None].expand(*experts.shape, tokens.shape[-1]))

    def _dispatch(self, tokens: Tensor, experts: Tensor) -> Tensor:
        """Apply expert ``experts[i]`` to token ``i // top_k``: (T, d_model), (T top_k,) -> (T top_k, d_model)."""
        order = experts.argsort(stable=True)
        sizes = experts.bincount(minlength=self.num_experts).tolist()
        inputs = torch.split(tokens[order // self.top_k], sizes)
        # One unbind per parameter: its backward stacks the experts' gradients once, instead of adding num_experts
        # zero-padded tensors as indexing would.
        stacked = (self.weight_in, self.bias_in, self.weight_out, self.bias_out)
        parameters = zip(*(parameter.unbind() for parameter in stacked), strict=True)
        outputs = [
            torch.addmm(bias_out, gelu(torch.addmm(bias_in, x, weight_in)), weight_out)
            for x, (weight_in, bias_in, weight_out, bias_out) in zip(inputs, parameters, strict=True)
        ]
        return torch.cat(outputs)[order.argsort()]

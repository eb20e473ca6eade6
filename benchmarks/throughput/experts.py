"""The mixture of experts alone: what more experts cost when each token still uses one."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mcmfh_lightning.layers import MixtureOfExperts
from throughput.rows import DENSE, MIXTURE, Row
from throughput.timing import System, seconds

D_MODEL, HIDDEN = 256, 512
"""As MCMFH has them."""


class Mixture(nn.Module):
    """The layer's output alone."""

    def __init__(self, num_experts: int) -> None:
        super().__init__()
        self.layer = MixtureOfExperts(D_MODEL, HIDDEN, num_experts, top_k=1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (T, d_model) to (T, d_model)."""
        output: Tensor = self.layer(tokens)[0]
        return output


def forward_backward(layer: nn.Module, tokens: Tensor, gradient: Tensor) -> System:
    """Gradients of the layer's parameters and of the tokens."""

    def run() -> None:
        layer.zero_grad()
        tokens.grad = None
        layer(tokens).backward(gradient)

    return run


def measure(experts: Sequence[int], tokens: int, device: torch.device, turns: int, steps: int) -> Iterator[Row]:
    """Tokens per second forward and backward, at each number of experts, in the same turns."""
    torch.manual_seed(0)
    inputs = torch.randn(tokens, D_MODEL, device=device, requires_grad=True)
    gradient = torch.randn(tokens, D_MODEL, device=device)
    dense = nn.Sequential(nn.Linear(D_MODEL, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, D_MODEL))
    layers = {(DENSE, 1): dense} | {(MIXTURE, number): Mixture(number) for number in experts}
    compared = {
        f"{name} {number}": forward_backward(layer.to(device), inputs, gradient)
        for (name, number), layer in layers.items()
    }
    found = seconds(compared, device, turns, steps, f"MoE layer, {tokens} tokens")
    for name, number in layers:
        yield Row(
            part="experts",
            system=name,
            device=device.type,
            threads=torch.get_num_threads(),
            batch=tokens,
            experts=number,
            value=round(tokens / found[f"{name} {number}"], 1),
            unit="tokens/s",
        )

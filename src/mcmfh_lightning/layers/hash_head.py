"""From a token to a relaxed code."""

import torch
from torch import Tensor, nn


class HashHead(nn.Module):
    """MLP with one hidden layer and tanh: the relaxed code in [-1, 1]^num_bits, whose sign is the code.

    Args:
        d_model: Width of the token.
        num_bits: Bits of the code.
        hidden_dim: Width of the hidden layer.
    """

    def __init__(self, d_model: int, num_bits: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(d_model, hidden_dim)
        self.code = nn.Linear(hidden_dim, num_bits)

    def forward(self, token: Tensor) -> Tensor:
        """Map (B, d_model) to (B, num_bits) in [-1, 1]."""
        return torch.tanh(self.code(torch.relu(self.hidden(token))))

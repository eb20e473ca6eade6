"""A learned orthogonal map of codes."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class HouseholderRotation(nn.Module):
    """Product of K learned Householder reflections of K-dimensional space.

    R = (I - 2 u_1 u_1') ... (I - 2 u_K u_K') with unit vectors u. The product is computed without a loop in its compact
    form R = I - U' T U, where T is the inverse of the upper triangular matrix that holds 1/2 on its diagonal and the
    products <u_i, u_j> above it (Joffrain et al., "Accumulating Householder transformations, revisited", ACM TOMS 2006;
    U has the vectors as rows).

    Args:
        num_bits: K.
    """

    def __init__(self, num_bits: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(num_bits, num_bits))

    def matrix(self) -> Tensor:
        """R, (K, K)."""
        units = normalize(self.vectors, dim=1)
        identity = torch.eye(len(units), dtype=units.dtype, device=units.device)
        upper = (units @ units.T).triu(1) + identity / 2
        rotation: Tensor = identity - units.T @ torch.linalg.solve_triangular(upper, units, upper=True)
        return rotation

    def forward(self, codes: Tensor) -> Tensor:
        """Rotate (B, K) codes: R h for each row h."""
        return codes @ self.matrix().T

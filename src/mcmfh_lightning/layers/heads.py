"""Maps in front of and behind a method: projection of embeddings, hash head, rotation of codes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize

from mcmfh_lightning.searches import SEARCHES, SearchName


class Projection(nn.Module):
    """Learned linear map of an embedding to ``d_model``, the same for every method.

    The embedding first passes a LayerNorm without parameters (Ba et al., 2016): it is centered and scaled to unit
    variance per sample. Encoders differ in scale (contrastive ones return unit vectors, pooled convolutional features
    are all positive and large); without a common scale one learning rate could not suit them all. L2 normalization
    would give entries of size 1/sqrt(d) and leave the shared positive offset of pooled features in place.

    Args:
        input_dim: Width of the embedding.
        d_model: Width of the result.
    """

    def __init__(self, input_dim: int, d_model: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, d_model)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (B, input_dim) to (B, d_model)."""
        projected: Tensor = self.linear(layer_norm(embedding, embedding.shape[-1:]))
        return projected


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


class SelectingHead(nn.Module):
    """MLP with one hidden layer and two outputs a bit, between which a softmax selects.

    Tu et al. ("Differentiable Cross-modal Hashing via Multimodal Transformers"), ACM MM 2022. With (p_0, p_1) the
    softmax of the two outputs of a bit, its relaxed code is h = p_1 - p_0 in [-1, 1], whose sign says which one is
    selected. Nothing is lost by the difference: the pair is ((1 - h) / 2, (1 + h) / 2).

    Args:
        d_model: Width of the token.
        num_bits: Bits of the code.
        hidden_dim: Width of the hidden layer.
    """

    def __init__(self, d_model: int, num_bits: int, hidden_dim: int) -> None:
        super().__init__()
        self.num_bits = num_bits
        self.hidden = nn.Linear(d_model, hidden_dim)
        self.pairs = nn.Linear(hidden_dim, 2 * num_bits)

    def forward(self, token: Tensor) -> Tensor:
        """Map (B, d_model) to (B, num_bits) in [-1, 1]."""
        pairs = self.pairs(torch.relu(self.hidden(token))).reshape(len(token), self.num_bits, 2)
        off, on = pairs.softmax(dim=-1).unbind(dim=-1)
        code: Tensor = on - off
        return code


MakeHead = Callable[[int, int, int], nn.Module]
"""Maker of a hash head, by ``d_model``, ``num_bits`` and ``hidden_dim``."""


class QueryHeads(nn.Module):
    """A hash head for the queries of each search.

    Args:
        d_model: Width of the token.
        num_bits: Bits of the code.
        make_head: Makes the heads.
    """

    def __init__(self, d_model: int, num_bits: int, make_head: MakeHead = HashHead) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({search: make_head(d_model, num_bits, d_model) for search in SEARCHES})

    def forward(self, search: SearchName, token: Tensor) -> Tensor:
        """Map (B, d_model), of the image or the text alone, to (B, num_bits) in [-1, 1]."""
        code: Tensor = self.heads[search](token)
        return code


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
        """Compute R, (K, K)."""
        # Torch solves no triangular system in half precision.
        vectors = self.vectors.to(torch.promote_types(self.vectors.dtype, torch.float32))
        units = normalize(vectors, dim=1)
        identity = torch.eye(len(units), dtype=units.dtype, device=units.device)
        upper = (units @ units.T).triu(1) + identity / 2
        rotation: Tensor = identity - units.T @ torch.linalg.solve_triangular(upper, units, upper=True)
        return rotation

    def forward(self, codes: Tensor) -> Tensor:
        """Rotate (B, K) codes: R h for each row h."""
        return codes @ self.matrix().T.to(codes.dtype)

"""Attention between the image and the text of one sample."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mcmfh_lightning.errors import check_choice
from mcmfh_lightning.layers.mixture_of_experts import MixtureOfExperts, Routing

Fusion = Literal["tokens", "concat"]
NUM_MODALITIES = 2


class Fused(NamedTuple):
    """What the transformer makes of a batch."""

    tokens: Tensor
    """(B, 2, d_model): image and text after fusion."""
    routings: list[Routing]
    """One per layer; leading shape (B, 2) for ``fusion="tokens"``, (B, 1) for ``fusion="concat"``."""


class FusionBlock(nn.Module):
    """Pre-norm transformer block (Xiong et al., ICML 2020): attention, then a mixture of experts.

    Args:
        width: Width of a token.
        num_heads: Attention heads.
        num_experts: Experts of the feed-forward part.
        top_k: Experts per token.
        ffn_multiplier: Hidden width of an expert, in units of ``width``.
    """

    def __init__(self, width: int, num_heads: int, num_experts: int, top_k: int, ffn_multiplier: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.experts_norm = nn.LayerNorm(width)
        self.experts = MixtureOfExperts(width, ffn_multiplier * width, num_experts, top_k)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Routing]:
        """Map (B, S, width) to (B, S, width); attention runs over S, inside a sample."""
        tokens = tokens + self._attend(self.attention_norm(tokens))
        update, routing = self.experts(self.experts_norm(tokens))
        return tokens + update, routing

    def _attend(self, tokens: Tensor) -> Tensor:
        heads = self.query_key_value(tokens).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        update: Tensor = self.attention_out(attended)
        return update


class FusionTransformer(nn.Module):
    """Mixture-of-experts transformer over the two modalities of a sample, never across the batch.

    A missing modality is a learned placeholder token; modality embeddings tell the positions apart.

    - ``fusion="tokens"``: two tokens of width d_model attend to each other.
    - ``fusion="concat"``: one token of width 2 d_model holds both halves, as in UCMFH; attention over one token is a
      linear map, so the modalities mix in the linear layers. Costs four times the parameters.

    Args:
        d_model: Width of a modality's token.
        num_layers: Blocks.
        num_heads: Attention heads.
        num_experts: Experts per block.
        top_k: Experts per token.
        ffn_multiplier: Hidden width of an expert, in units of the token's width.
        fusion: How the modalities meet.

    Raises:
        ValueError: For an unknown fusion or a width that the heads do not divide.
    """

    def __init__(
        self,
        d_model: int,
        num_layers: int,
        num_heads: int,
        num_experts: int,
        top_k: int,
        ffn_multiplier: int,
        fusion: Fusion = "tokens",
    ) -> None:
        super().__init__()
        check_choice("fusion", fusion, Fusion)
        width = d_model if fusion == "tokens" else NUM_MODALITIES * d_model
        if width % num_heads:
            raise ValueError(f"num_heads={num_heads} does not divide the token width {width}")
        self.width = width
        self.num_tokens = NUM_MODALITIES * d_model // width
        self.placeholder = nn.Parameter(0.02 * torch.randn(NUM_MODALITIES, d_model))
        self.modality = nn.Parameter(0.02 * torch.randn(NUM_MODALITIES, d_model))
        self.blocks = nn.ModuleList(
            FusionBlock(width, num_heads, num_experts, top_k, ffn_multiplier) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, present: Tensor) -> Fused:
        """Fuse the modalities of each sample.

        Args:
            tokens: (B, 2, d_model), image and text; entries of missing modalities are not read.
            present: (B, 2) bool.
        """
        shape = tokens.shape
        tokens = torch.where(present[..., None], tokens, self.placeholder) + self.modality
        tokens = tokens.reshape(len(tokens), self.num_tokens, self.width)
        routings = []
        for block in self.blocks:
            tokens, routing = block(tokens)
            routings.append(routing)
        return Fused(self.norm(tokens).reshape(shape), routings)

"""Fusion of the image and the text of one sample: the transformer of MCMFH, and that of UCMFH over one wide token."""

from copy import deepcopy
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize, relu, scaled_dot_product_attention

from mcmfh_lightning.errors import check_choice
from mcmfh_lightning.layers.dropout_voting import KeyedDropout
from mcmfh_lightning.layers.mixture_of_experts import MixtureOfExperts, Routing
from mcmfh_lightning.randomness import SampleKey

Fusion = Literal["tokens", "concat"]
NUM_MODALITIES = 2
CONCAT_LAYERS = 2
CONCAT_HEADS = 4
CONCAT_DROPOUT = 0.1
_SITES = 4


class Fused(NamedTuple):
    """Result of the transformer.

    Attributes:
        tokens: (B, 2, d_model): image and text after fusion.
        routings: One per layer; leading shape (B, 2) for ``fusion="tokens"``, (B, 1) for ``fusion="concat"``.
    """

    tokens: Tensor
    routings: list[Routing]


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

    A missing modality is a learned placeholder token; modality embeddings separate the positions.

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
        ValueError: If the fusion is unknown or the heads do not divide the width.
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


class ConcatFusion(nn.Module):
    """Post-norm transformer over the concatenation of both embeddings, then length 1, then the two halves.

    Xia et al. (UCMFH, 2023): two layers, four heads, hidden width twice that of the token, dropout 0.1. Layers begin
    equal, as those of ``torch.nn.TransformerEncoder`` do.

    Args:
        d_model: Width of a modality's half of the token.
        seed: Seed of dropout; its sites are numbered from 0.
    """

    num_sites = CONCAT_LAYERS * _SITES  # places that drop units, each with masks of its own

    def __init__(self, d_model: int, seed: int = 0) -> None:
        super().__init__()
        first = _ConcatLayer(2 * d_model)
        layers = [first, *(deepcopy(first) for _ in range(CONCAT_LAYERS - 1))]
        for number, layer in enumerate(layers):
            sites = range(_SITES * number, _SITES * (number + 1))
            layer.dropouts = nn.ModuleList(KeyedDropout(CONCAT_DROPOUT, seed, site) for site in sites)
        self.layers = nn.ModuleList(layers)

    def forward(
        self, image: Tensor, text: Tensor, key: SampleKey | None = None, *, across_batch: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Fuse each pair.

        Args:
            image: (B, d_model); zeros where there is none.
            text: (B, d_model); zeros where there is none.
            key: Draws the dropout of a training pass; None drops nothing.
            across_batch: Let the samples of the batch attend to each other, as published UCMFH does at evaluation.

        Returns:
            (B, d_model) each, halves of vectors of length 1.
        """
        tokens = torch.cat([image, text], dim=-1)
        for layer in self.layers:
            tokens = layer(tokens, key, across_batch=across_batch)
        first, second = normalize(tokens, dim=-1).chunk(2, dim=-1)
        return first, second


class _ConcatLayer(nn.Module):
    """``torch.nn.TransformerEncoderLayer`` over one token a sample, with dropout that is keyed by sample.

    Attention over one token has the weight 1, so that its dropout drops the value of a whole head.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.hidden_in = nn.Linear(width, 2 * width)
        self.hidden_out = nn.Linear(2 * width, width)
        self.hidden_norm = nn.LayerNorm(width)
        self.dropouts = nn.ModuleList()
        nn.init.xavier_uniform_(self.query_key_value.weight)
        nn.init.zeros_(self.query_key_value.bias)
        nn.init.zeros_(self.attention_out.bias)

    def forward(self, tokens: Tensor, key: SampleKey | None, *, across_batch: bool) -> Tensor:
        """Map (B, width) to (B, width)."""
        of_heads, of_attention, of_hidden, of_output = self.dropouts
        kept = of_heads(tokens.new_ones(len(tokens), CONCAT_HEADS, 1), key)
        heads = kept * self._attend(tokens, across_batch=across_batch)
        tokens = self.attention_norm(tokens + of_attention(self.attention_out(heads.flatten(1)), key))
        hidden = of_hidden(relu(self.hidden_in(tokens)), key)
        result: Tensor = self.hidden_norm(tokens + of_output(self.hidden_out(hidden), key))
        return result

    def _attend(self, tokens: Tensor, *, across_batch: bool) -> Tensor:
        """Gather by head: (B, heads, width / heads)."""
        if not across_batch:  # one token attends to itself: queries and keys decide nothing, and are not computed
            weight, bias = (whole.chunk(3)[2] for whole in (self.query_key_value.weight, self.query_key_value.bias))
            return linear(tokens, weight, bias).reshape(len(tokens), CONCAT_HEADS, tokens.shape[1] // CONCAT_HEADS)
        heads = self.query_key_value(tokens).reshape(len(tokens), 3, CONCAT_HEADS, tokens.shape[1] // CONCAT_HEADS)
        # (heads, B, width / heads) each: the batch is the sequence.
        query, key, value = heads.permute(1, 2, 0, 3)
        return scaled_dot_product_attention(query, key, value).transpose(0, 1)

"""Fusion transformer of UCMFH, over one wide token that holds the image and the text of a sample."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize, relu, scaled_dot_product_attention

from mcmfh_lightning.layers.dropout_voting import KeyedDropout
from mcmfh_lightning.randomness import SampleKey

CONCAT_LAYERS = 2
CONCAT_HEADS = 4
CONCAT_DROPOUT = 0.1
_SITES = 4


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

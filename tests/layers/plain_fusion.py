"""The fusion transformer of MCMFH by its definition: each view on its own, every token through every block."""

import torch
from torch import nn

from mcmfh_lightning.layers import Fused, Routing


def published_attention(block, values):
    """Attention inside each sample, one head after the other: (B, S, width), before the residual sum."""
    query, key, value = block.query_key_value(values).chunk(3, dim=-1)
    width = values.shape[-1] // block.num_heads
    heads = []
    for head in (slice(width * number, width * (number + 1)) for number in range(block.num_heads)):
        weights = (query[..., head] @ key[..., head].transpose(1, 2) / width**0.5).softmax(-1)
        heads.append(weights @ value[..., head])
    return block.attention_out(torch.cat(heads, dim=-1))


class PlainFusion(nn.Module):
    """Reference that computes with the weights of a `FusionTransformer`."""

    def __init__(self, transformer):
        super().__init__()
        self.transformer = transformer

    def forward(self, tokens, views):
        model, size = self.transformer, len(tokens)
        results, held, routings = [], [], [[] for _ in model.blocks]
        for view in views:
            halves = [tokens[:, m] if view[m] else model.placeholder[m].expand(size, -1) for m in (0, 1)]
            state = torch.stack([half + model.modality[m] for m, half in enumerate(halves)], dim=1)
            state = state.reshape(size, model.num_tokens, model.width)
            present = [m for m in (0, 1) if view[m]]
            for layer, block in enumerate(model.blocks):
                state = state + published_attention(block, block.attention_norm(state))
                update, routing = block.experts(block.experts_norm(state))
                state = state + update
                rows = present if model.num_tokens == 2 else [0]
                routings[layer] += [Routing(*(values[:, row] for values in routing)) for row in rows]
            held += [(m,) for m in present] if model.num_tokens == 2 else [tuple(present)]
            results += [model.norm(state).reshape(size, 2, -1)[:, m] for m in present]
        stacked = [Routing(*(torch.stack(values) for values in zip(*layer, strict=True))) for layer in routings]
        return Fused(results, stacked, held)

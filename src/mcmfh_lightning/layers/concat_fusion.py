"""UCMFH's fusion: one wide token of both modalities."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

NUM_LAYERS = 2
NUM_HEADS = 4
DROPOUT = 0.1


class ConcatFusion(nn.Module):
    """Post-norm transformer over the concatenation of both embeddings, then length 1, then the two halves.

    Xia et al. (UCMFH, 2023): two layers, four heads, hidden width twice that of the token, dropout 0.1.

    Args:
        d_model: Width of a modality's half of the token.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        width = 2 * d_model
        layer = nn.TransformerEncoderLayer(width, NUM_HEADS, 2 * width, DROPOUT, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, NUM_LAYERS, enable_nested_tensor=False)

    def forward(self, image: Tensor, text: Tensor, *, across_batch: bool = False) -> tuple[Tensor, Tensor]:
        """Fuse each pair.

        Args:
            image: (B, d_model); zeros where there is none.
            text: (B, d_model); zeros where there is none.
            across_batch: Let the samples of the batch attend to each other, as published UCMFH does at evaluation.

        Returns:
            (B, d_model) each, halves of vectors of length 1.
        """
        token = torch.cat([image, text], dim=-1)
        fused = self.encoder(token[None])[0] if across_batch else self.encoder(token[:, None])[:, 0]
        first, second = normalize(fused, dim=-1).chunk(2, dim=-1)
        return first, second

"""The published training step of UCMFH, as it is described, and one with its loss as a cross entropy.

Xia et al. (UCMFH, 2023). The network is the same in both: two post-norm transformer layers over the concatenation of
two 512-d embeddings as sequences of length 1, then length 1 and halves; per modality an MLP of 4096 hidden units.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

WIDTH = 512
HIDDEN = 4096
TEMPERATURE = 0.5
HASHING_WEIGHT = 0.5
BETAS = (0.5, 0.999)
LR, FUSION_LR = 1e-3, 1e-4

Contrast = Callable[[Tensor, Tensor], Tensor]


class PublishedUCMFH(nn.Module):
    """The published network and its loss.

    Args:
        num_bits: Bits of a code.
        contrast: The contrastive loss of two sets of vectors.
    """

    def __init__(self, num_bits: int, contrast: Contrast) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(2 * WIDTH, nhead=4, dim_feedforward=4 * WIDTH, dropout=0.1)
        self.fusion = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Dropout(0.3), nn.Linear(HIDDEN, num_bits), nn.Tanh())
            for _ in range(2)
        )
        self.contrast = contrast

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        """Compute the loss of a batch of pairs, (B, 512) each."""
        fused = self.fusion(torch.cat([image, text], dim=1)[None])[0]  # (length, B, 1024) with length 1
        halves = normalize(fused, dim=1).split(WIDTH, dim=1)
        codes = [normalize(head(normalize(half, dim=1)), dim=1) for head, half in zip(self.heads, halves, strict=True)]
        return self.contrast(*halves) + HASHING_WEIGHT * self.contrast(*codes)

    def optimizer(self) -> torch.optim.Optimizer:
        """Make Adam, with another learning rate for the fusion."""
        groups = [{"params": self.fusion.parameters(), "lr": FUSION_LR}, {"params": self.heads.parameters(), "lr": LR}]
        return torch.optim.Adam(groups, betas=BETAS)


def literal_contrast(first: Tensor, second: Tensor) -> Tensor:
    """Compute NT-Xent over all 2B views as the published code does."""
    views = _views(first, second)
    # torch's cosine similarity expands the views to (2B, 2B, d).
    return _nt_xent(cosine_similarity(views[:, None], views[None], dim=2))


def lean_contrast(first: Tensor, second: Tensor) -> Tensor:
    """Compute the same with one tensor of (2B, 2B, d) products, where torch's function makes several."""
    views = _views(first, second)
    return _nt_xent((views[:, None] * views).sum(dim=2))


def plain_contrast(first: Tensor, second: Tensor) -> Tensor:
    """Compute the same as a cross entropy over the (2B, 2B) matrix of cosines, its diagonal masked."""
    views = _views(first, second)
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    logits = (views @ views.T / TEMPERATURE).masked_fill(itself, -torch.inf)
    return cross_entropy(logits, torch.arange(len(views), device=views.device).roll(len(first)))


def _views(first: Tensor, second: Tensor) -> Tensor:
    return normalize(torch.cat([first, second]), dim=1)


def _nt_xent(cosine: Tensor) -> Tensor:
    """Compute the loss by its formula: -log of the positive's share in the sum over all views but the row's own."""
    exponential = torch.exp(cosine / TEMPERATURE)
    pairs = len(cosine) // 2
    positive = torch.cat([exponential.diagonal(pairs), exponential.diagonal(-pairs)])
    others = exponential.sum(dim=1) - exponential.diagonal()
    return -(positive / others).log().mean()

"""Near-duplicate films of other groups, which make a search from images to images look better than it is."""

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, normalize
from torchmetrics import Metric

COSINE = 0.98
"""Cosine of embeddings, each centered by itself, from which on two films count as near-duplicates. It is high, as films
of one kind are alike to an encoder; a copy that was compressed again may be less alike, and is not counted."""
MOST = 1000
"""Queries that are looked at: embeddings are compared with those of the whole database, which codes need not be."""


class NearDuplicates(Metric):
    """Count of the queries that have a near-duplicate film of another group in the database.

    The first `MOST` queries are looked at. A copy of a film under another patient number is an item of another group,
    so that the evaluation counts it, and a search by films finds it first.
    """

    full_state_update = False
    found: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._embeddings = torch.zeros(0, 0)
        self._groups = torch.zeros(0, dtype=torch.int64)
        self.add_state("found", torch.zeros(0, dtype=torch.uint8), dist_reduce_fx="max")

    def set_queries(self, embeddings: Tensor, groups: Tensor) -> None:
        """Announce the queries.

        Args:
            embeddings: (Q, image_dim) of their images.
            groups: (Q,) int64, or those of more queries.
        """
        self._embeddings = _centered(embeddings[:MOST])
        self._groups = groups[: len(self._embeddings)]
        self.found = torch.zeros(len(self._groups), dtype=torch.uint8, device=embeddings.device)

    def update(self, embeddings: Tensor, groups: Tensor) -> None:
        """Take a batch of the database.

        Args:
            embeddings: (n, image_dim) of those items that have an image.
            groups: (n,) int64.
        """
        near = self._embeddings @ _centered(embeddings).T >= COSINE  # (Q, n)
        self.found |= (near & (self._groups[:, None] != groups)).any(dim=1)

    def compute(self) -> dict[str, float]:
        """Return how many ``queries`` were looked at, how many of them have one (``found``), and the ``cosine``."""
        return {"queries": len(self.found), "found": int(self.found.sum()), "cosine": COSINE}


def _centered(embeddings: Tensor) -> Tensor:
    """Scale to length 1 after centering, as `Projection` does: pooled features have a large mean in common."""
    return normalize(layer_norm(embeddings.float(), embeddings.shape[-1:]), dim=-1)

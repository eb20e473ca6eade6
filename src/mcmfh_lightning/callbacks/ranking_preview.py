"""What the labels of the validation split allow, before anything is trained."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mcmfh_lightning.callbacks.ranking_protocols import LabelledItems
from mcmfh_lightning.metrics.functional import share_label, unpack_bits

_QUERIES_PER_CHUNK = 256


class Preview(NamedTuple):
    """What is known of a ranking of a split for its own queries."""

    sharing: float
    """Probability that a query and an item of another group share a label, from the first 256 queries; NaN without
    such two."""
    undefined: str
    """Why mAP of the queries that a model is chosen by is undefined, in words; empty if it is defined."""


def preview(table: LabelledItems, normal_label: int | None) -> Preview:
    """Look at labels and groups of a split.

    Args:
        table: The split, queries and database.
        normal_label: Position of the normal label; None if there is none. With one, the abnormal queries count.
    """
    labels, groups = torch.from_numpy(table.labels), torch.from_numpy(table.groups)
    whole = torch.from_numpy(table.present.all(axis=1))
    queries = whole.nonzero()[:, 0]
    relevant, foreign = _relevant(labels, groups, queries[:_QUERIES_PER_CHUNK])
    pairs = int(foreign.sum())
    sharing = int(relevant.sum()) / pairs if pairs else float("nan")
    if not len(queries):
        return Preview(sharing, "no item has both an image and a text")
    if normal_label is not None:
        queries = queries[unpack_bits(labels[queries])[:, normal_label] == 0]
    return Preview(sharing, _why_undefined(table, queries))


def _why_undefined(table: LabelledItems, queries: Tensor) -> str:
    if not len(queries):
        return "every query is normal"
    if not np.any(table.labels):
        return "no item has a label"
    labels, groups = torch.from_numpy(table.labels), torch.from_numpy(table.groups)
    # Texts are found by image queries and images by text queries: both directions need a query that can find something.
    found = torch.zeros(2, dtype=torch.bool)
    for chunk in torch.split(queries, _QUERIES_PER_CHUNK):
        relevant, _ = _relevant(labels, groups, chunk)
        found |= torch.from_numpy(table.present[relevant.any(dim=0).numpy()]).any(dim=0)
        if found.all():
            return ""
    return "no query shares a label with an item of another group"


def _relevant(labels: Tensor, groups: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Whether items are relevant to queries, and whether they are of another group: (Q, N) bool each."""
    foreign = groups[queries, None] != groups
    return share_label(labels[queries], labels) & foreign, foreign

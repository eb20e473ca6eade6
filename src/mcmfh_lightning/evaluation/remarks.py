"""What a reader of a ranking's numbers has to know of the data they are of.

What the labels of the validation split allow, before anything is trained.
"""

from math import isnan, nan
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcmfh_lightning.evaluation.protocols import EvaluationData, LabelledItems
from mcmfh_lightning.evaluation.provenance import MONITOR
from mcmfh_lightning.evaluation.stream import INSTANCE_DATABASE, MODEL, StreamResult
from mcmfh_lightning.metrics.functional import share_label, unpack_bits
from mcmfh_lightning.shards.labels import describe_broad_labels


def remarks(data: EvaluationData, result: StreamResult, value: float, limit: float) -> list[str]:
    """Say what is unusual about a test.

    Args:
        data: What was tested on.
        result: Counts of the test.
        value: mAP of the headline.
        limit: The trainer's ``limit_test_batches``.

    Returns:
        One line for each.
    """
    lines = []
    if is_limited(limit):
        lines.append(f"limit_test_batches={limit}: the numbers are of a part of the data")
    if isnan(value):
        lines.append(
            "mAP is undefined: no query of the headline has a relevant item. Instance R@1, R@5 and R@10 in ranking.csv "
            "need no labels: they ask for each query's own partner"
        )
    broad = broad_labels(data, result.queries.labels.numpy(), _sharing(result))
    return [*lines, broad] if broad else lines


def is_limited(limit: float) -> bool:
    """Whether ``limit_val_batches`` or ``limit_test_batches`` leave batches out: an integer counts batches."""
    return isinstance(limit, int) or limit < 1.0


def broad_labels(data: EvaluationData, labels: NDArray[np.uint8], sharing: float) -> str:
    """Describe labels that make most items relevant; see `describe_broad_labels`.

    Args:
        data: It names the labels.
        labels: (N, W) uint8, packed label sets of the items.
        sharing: Probability that two items share a label.
    """
    hot = np.unpackbits(labels, axis=1)[:, : len(data.label_vocabulary)]
    shares = dict(zip(data.label_vocabulary, (hot.sum(axis=0) / max(len(hot), 1)).tolist(), strict=True))
    return describe_broad_labels(sharing, shares, data.normal_label)


def undefined_monitor(data: EvaluationData, why: str) -> str:
    """Message for a fit that cannot choose its epoch."""
    return (
        f"{getattr(data, 'root', type(data).__name__)}: {MONITOR}, by which the fit chooses its epoch, is undefined on "
        f"the validation split ({why}): convert the collection again with other labels or another split, or train "
        "without choosing (--trainer.limit_val_batches 0, then --ckpt_path last)"
    )


def _sharing(result: StreamResult) -> float:
    """Probability that a query and an item of another group share a label; NaN without any such item."""
    rankings = result.rankings[INSTANCE_DATABASE]
    counts = next(counts for ranking, counts in rankings.items() if ranking.system == MODEL)
    items = int(counts.total.sum())
    return int(counts.relevant.sum()) / items if items else nan


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

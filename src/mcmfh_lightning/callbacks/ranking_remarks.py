"""What a reader of a ranking's numbers has to know of the data they are of."""

from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.callbacks.ranking_headline import MONITOR
from mcmfh_lightning.callbacks.ranking_protocols import EvaluationData
from mcmfh_lightning.callbacks.ranking_stream import INSTANCE_DATABASE, MODEL, StreamResult
from mcmfh_lightning.datamodules.labels import describe_broad_labels


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

"""Label vocabulary of a collection, and how much a label set says about relevance."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError, reason

NORMAL = "normal"
BROAD = 0.5
"""Above this probability that two items of different groups share a label, most items are relevant to most queries."""
_CARRIED_BY_MANY = 0.2
"""Share of the items from which on a label is named as a reason for that."""
_MOST_NAMED = 8


def build_vocabulary(label_sets: Iterable[Iterable[str]], min_label_count: int) -> list[str]:
    """Keep the labels that at least ``min_label_count`` pairs carry, the most frequent first, ties by name.

    Counted over all pairs of the collection, not over the training split alone: the vocabulary defines what is
    *relevant* at evaluation, has to be the same for every split of a collection, and is what the field does. What a
    model learns of a label still comes from training pairs only.

    Raises:
        DataError: If there is no label, or none is frequent enough; the message names the option.
    """
    counts = Counter(label for labels in label_sets for label in set(labels))
    kept = sorted((label for label, count in counts.items() if count >= min_label_count), key=lambda x: (-counts[x], x))
    if not kept:
        if not counts:
            raise DataError("no pair has a label: check what the labels are read from")
        label, count = counts.most_common(1)[0]
        raise DataError(
            f"no label is on {min_label_count} pairs or more (the most frequent, {label!r}, is on {count}): "
            "lower --min-label-count"
        )
    return kept


def share_probability(label_sets: Sequence[Sequence[str]], groups: Sequence[int], vocabulary: Sequence[str]) -> float:
    """Compute the probability that two pairs of different groups, drawn at random, share a label of the vocabulary.

    This is the chance level of precision: the share of a database that is relevant to an average query.
    """
    column = {label: index for index, label in enumerate(vocabulary)}
    hot = np.zeros((len(label_sets), len(vocabulary)), dtype=np.float32)
    for row, labels in enumerate(label_sets):
        hot[row, [column[label] for label in labels if label in column]] = 1
    group = np.asarray(groups)
    sharing = others = 0
    for start in range(0, len(hot), 1024):  # blocks, so that a collection of N pairs never needs N x N floats
        block = slice(start, start + 1024)
        foreign = cast(NDArray[np.bool_], group[block, None] != group[None])
        sharing += int(np.count_nonzero((hot[block] @ hot.T > 0) & foreign))
        others += int(np.count_nonzero(foreign))
    return sharing / others if others else 0.0


def describe_broad_labels(sharing: float, shares: Mapping[str, float], normal_label: str | None) -> str:
    """Say that labels make most items relevant, and the way out.

    Converters, ``mcmfh-data stats``, ``mcmfh fit`` and ``mcmfh test`` all say it by this function.

    Args:
        sharing: Probability that two items of different groups share a label.
        shares: Share of the items that carry each label.
        normal_label: The label that says "nothing found", or None.

    Returns:
        One line; empty unless ``sharing`` is above `BROAD`.
    """
    if not sharing > BROAD:  # NaN without two groups
        return ""
    many = sorted((label for label in shares if shares[label] >= _CARRIED_BY_MANY), key=lambda label: -shares[label])
    named = [f"{label!r} ({shares[label]:.0%})" for label in many if label != normal_label][:_MOST_NAMED]
    line = (
        f"labels: two items share one with probability {sharing:.2f}: most items are relevant to most queries, chance "
        "is high and mAP says little."
    )
    if named:
        line += (
            f" On many items: {', '.join(named)}. If some of them are not findings (a modality, a plane), leave "
            "them out: mcmfh-data relabel FOLDER --drop-labels FILE --out NEW, one label a line of FILE."
        )
    if normal_label in many:
        line += f" {normal_label!r} is on {shares[normal_label]:.0%}: read the abnormal queries."
    return f"{line} NDCG and ACG of a test count the labels that are shared"


def read_drop_labels(path: Path | None) -> frozenset[str]:
    """Read the labels that a collection is to be converted without, one a line; none without a file.

    Raises:
        DataError: If the file cannot be read.
    """
    if path is None:
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--drop-labels {path}: cannot be read ({reason(error)}); correct the path") from error
    return frozenset(label for line in lines if (label := line.strip()))

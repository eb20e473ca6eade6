"""From the terms of each pair to a label vocabulary, and how much a label set says about relevance."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError

NORMAL = "normal"


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
    """Probability that two pairs drawn at random from different groups share at least one label of the vocabulary.

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

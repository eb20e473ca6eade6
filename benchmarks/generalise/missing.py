"""Archives in which reports are missing: cases of which some have an image alone."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from generalise.rows import Row
from generalise.runs import SEED, Data, Run, carried, encode_test_split, ranked
from mcmfh_lightning.evaluation.summary import DRAWS
from mcmfh_lightning.metrics.functional import (
    average_precision,
    bootstrap_means,
    bootstrap_weights,
    percentile_interval,
    tie_all,
)

SHARES = (0, 25, 50, 75, 100)
"""Per cent of the groups whose items lack their text."""


def missing(run: Run, data: Data) -> Iterator[Row]:
    """The protocol asymmetric, a case's code being that of its image alone where its text is missing."""
    hasher = run.hasher()
    encoded = encode_test_split(hasher, data)
    whole = encoded.present.all(1)
    normal_label = data.module.normal_label
    members = torch.ones(int(whole.sum()), dtype=torch.bool)
    if normal_label is not None:
        position = data.module.label_vocabulary.index(normal_label)
        members = ~carried(encoded.labels[whole], position)
    for share in SHARES:
        lacking = lack_text(encoded.groups, share)
        cases = torch.where(lacking[:, None], encoded.codes["image"], encoded.codes["case"])
        for direction, modality in (("i2case", "image"), ("t2case", "text")):
            queries = encoded.items(encoded.codes[modality]).where(whole)
            database = encoded.items(cases).where(whole)
            counts, of_null = (ranked(hasher, side, database) for side in (queries, queries.shuffled()))
            values, null = (average_precision(one.total, one.relevant) for one in (counts, of_null))
            chance = average_precision(tie_all(counts.total), tie_all(counts.relevant))
            chosen = members & ~values.isnan()
            means = bootstrap_means(values[chosen, None], bootstrap_weights(queries.groups[chosen], DRAWS, SEED))
            low, high = percentile_interval(means)
            yield Row(
                part="missing",
                system=run.system,
                seed=run.seed,
                train=data.name,
                test=data.name,
                protocol="asymmetric",
                direction=direction,
                queries="all" if normal_label is None else "abnormal",
                subset=f"{share} % without a text",
                metric="mAP@all",
                value=float(values[chosen].mean()),
                low=float(low),
                high=float(high),
                chance=float(chance[chosen].mean()),
                null="shuffled queries",
                null_value=float(null[chosen].mean()),
                number=int(chosen.sum()),
            )


def lack_text(groups: Tensor, share: int) -> Tensor:
    """Which items lack their text: those of a share of the groups; a larger share includes a smaller one.

    Args:
        groups: (N,) int64.
        share: Per cent.

    Returns:
        (N,) bool.
    """
    order = np.random.default_rng(SEED).permutation(np.unique(groups.numpy()))
    return torch.from_numpy(np.isin(groups.numpy(), order[: round(share * len(order) / 100)]))

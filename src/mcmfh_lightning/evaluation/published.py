"""What the evaluators of published papers would print of codes, with the value of random codes next to it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.evaluation.codes import Task
from mcmfh_lightning.evaluation.summary import Row
from mcmfh_lightning.metrics import functional

_DRAWS = 5
"""Random orders of the database whose mean is chance: these values have no closed form."""


class Headline(NamedTuple):
    """The number that a paper leads with.

    Attributes:
        method: Name of the paper's method.
        depth: Depth of the mean average precision; None for the whole ranking.
        denominator: What the precisions of a query are divided by.
        value: Function of packed codes and labels of queries and database, and k.
    """

    method: str
    depth: int | None
    denominator: str
    value: Callable[..., Tensor]

    @property
    def metric(self) -> str:
        """Name of the number, which stands in no table with others."""
        return f"as {self.method}: mAP@{'all' if self.depth is None else self.depth}"

    def of(self, task: Task, labels: Tensor) -> float:
        """Compute the number, the database having these labels, (n, V) uint8."""
        sides = task.query.codes, task.database.codes, task.query.labels, labels
        return float(self.value(*sides, k=len(labels) if self.depth is None else self.depth))


HEADLINES: Mapping[str, Headline] = {
    "ucmfh": Headline("UCMFH", 50, "hits in the first k", functional.legacy_mean_average_precision),
    "dscph": Headline("DScPH", 5000, "min(k, R)", functional.legacy_first_hits_mean_average_precision),
    "ddbh": Headline("DDBH", None, "R", functional.legacy_first_hits_mean_average_precision),
    "tripah": Headline("TriPAH", None, "R", functional.legacy_first_hits_mean_average_precision),
}
"""By the name of the protocol. All break ties by position, leave out no item, and count a query without hits as 0."""


def published_rows(task: Task, protocols: Sequence[str], seed: int) -> Iterator[Row]:
    """Make the row of each protocol: the headline of a paper by its own rules.

    Who sees which modality, splits and the choice of the epoch are those of the codes: docs/concepts/published.md says
    what the papers do.

    Args:
        task: Queries and database.
        protocols: Names of protocols.
        seed: Seed of chance, the mean over random orders of the database's labels.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = [task.database.labels[torch.randperm(len(task.database), generator=generator)] for _ in range(_DRAWS)]
    for headline in (HEADLINES[name] for name in dict.fromkeys(protocols)):
        yield Row(
            metric=headline.metric,
            k=headline.depth,
            denominator=headline.denominator,
            value=headline.of(task, task.database.labels),
            chance=sum(headline.of(task, labels) for labels in shuffled) / _DRAWS,
            num_queries=len(task.query),
        )

"""Many metrics of one ranking for the price of one."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NoReturn, Self

from torch import Tensor, nn
from torchmetrics.utilities.plot import _AX_TYPE, _PLOT_OUT_TYPE

from mcmfh_lightning.metrics.hamming.base import HammingMetric
from mcmfh_lightning.metrics.hamming.instance import HammingInstanceHistogram, HammingInstanceMetric
from mcmfh_lightning.metrics.hamming.metrics import HammingHistogram
from mcmfh_lightning.metrics.ranking import RankingScore


class HammingMetricCollection(nn.Module):
    """Metrics that share one histogram: a database is counted once, and one sum over processes serves them all.

    Used as `torchmetrics.MetricCollection` is, with ``set_queries`` before the updates. It is not a subclass of it: a
    compute group there updates each member with the first batch to see whether their states agree, refuses to put
    metrics with and without grades together, and sums the states over processes once for each member. Here only one
    histogram has a state, and the members turn its counts into numbers.

    Args:
        metrics: Metrics by name; or a sequence of metrics of different classes, named by their class. Either all are
            about shared labels or all about instances, and all are of codes of one length. They only say what to
            compute: their own states are not used.
        prefix: Put before every name in the results.
        postfix: Put after every name in the results.
        **kwargs: Settings of `torchmetrics.Metric` for the shared histogram.

    Raises:
        ValueError: If there is no metric, two have one name, or they cannot share a histogram.

    Example:
        >>> import torch
        >>> from mcmfh_lightning.metrics import HammingMeanAveragePrecision, HammingPrecision
        >>> codes = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        >>> labels = torch.tensor([[1, 0], [0, 1], [1, 1]])
        >>> groups = torch.tensor([0, 1, 2])
        >>> metrics = HammingMetricCollection(
        ...     {"mAP@all": HammingMeanAveragePrecision(2), "P@1": HammingPrecision(2, k=1)}, prefix="val/"
        ... )
        >>> metrics.set_queries(codes, labels, groups)
        >>> metrics.update(codes, labels, groups)
        >>> metrics.compute()
        {'val/mAP@all': tensor(0.7500, dtype=torch.float64), 'val/P@1': tensor(0.5000, dtype=torch.float64)}
    """

    histogram: HammingHistogram | HammingInstanceHistogram

    def __init__(
        self,
        metrics: Mapping[str, RankingScore] | Sequence[RankingScore],
        prefix: str = "",
        postfix: str = "",
        **kwargs: object,
    ) -> None:
        super().__init__()
        named = metrics if isinstance(metrics, Mapping) else _by_class(metrics)
        self.metrics = {f"{prefix}{name}{postfix}": metric for name, metric in named.items()}
        self.histogram = _shared_histogram(list(named.values()), kwargs)

    def forward(self, *_: object, **__: object) -> NoReturn:
        """Refuse: a ranking has no value for one batch of the database.

        Raises:
            RuntimeError: If it is called.
        """
        raise RuntimeError(
            "HammingMetricCollection has no values per batch: call set_queries(), update() for each database batch, "
            "then compute()"
        )

    # There are two families of metrics: the histogram decides which arguments are valid.
    def set_queries(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # those of the histogram
        """Announce the queries; arguments and errors are those of the members' ``set_queries``."""
        self.histogram.set_queries(*args, **kwargs)

    def update(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # those of the histogram
        """Count a batch of the database; arguments and errors are those of the members' ``update``."""
        self.histogram.update(*args, **kwargs)

    def compute(self) -> dict[str, Tensor]:
        """Compute every metric from the counts summed over all processes.

        Returns:
            Scalars float64 on the CPU, by name.
        """
        counts = self.histogram.compute()
        return {name: metric.score(counts) for name, metric in self.metrics.items()}

    def reset(self) -> None:
        """Forget the database, keep the queries."""
        self.histogram.reset()

    def clone(self) -> Self:
        """Copy the collection with what it has counted."""
        return deepcopy(self)

    def plot(
        self, val: dict[str, Tensor] | Sequence[dict[str, Tensor]] | None = None, ax: Sequence[_AX_TYPE] | None = None
    ) -> list[_PLOT_OUT_TYPE]:
        """Plot the values of each metric in a figure of its own.

        Args:
            val: What ``compute`` gave, once or several times; None computes it now.
            ax: Axes to draw on, one for each metric; None makes new figures.

        Returns:
            Figure and axes of each metric.

        Raises:
            ModuleNotFoundError: If matplotlib is not installed.
            ValueError: If there are not axes for each metric.
        """
        values = self.compute() if val is None else val
        axes = [None] * len(self.metrics) if ax is None else ax
        if len(axes) != len(self.metrics):
            raise ValueError(f"ax must hold axes for each of {len(self.metrics)} metrics, got {len(axes)}")
        return [
            metric.plot(values[name] if isinstance(values, dict) else [one[name] for one in values], its_axes)
            for (name, metric), its_axes in zip(self.metrics.items(), axes, strict=True)
        ]


def _by_class(metrics: Sequence[RankingScore]) -> dict[str, RankingScore]:
    named = {type(metric).__name__: metric for metric in metrics}
    if len(named) < len(metrics):
        raise ValueError("metrics of one class need names: give a mapping instead of a sequence")
    return named


def _shared_histogram(
    metrics: Sequence[RankingScore], settings: Mapping[str, object]
) -> HammingHistogram | HammingInstanceHistogram:
    """Make an empty histogram with the counts that every metric needs."""
    if not metrics:
        raise ValueError("a collection needs at least one metric")
    by_labels = [metric for metric in metrics if isinstance(metric, HammingMetric)]
    by_instance = [metric for metric in metrics if isinstance(metric, HammingInstanceMetric)]
    if len(metrics) not in (len(by_labels), len(by_instance)):
        names = ", ".join(type(metric).__name__ for metric in metrics)
        raise ValueError(f"metrics of labels and metrics of instances are not of one histogram: {names}")
    lengths = {metric.num_bits for metric in by_labels} | {metric.num_bits for metric in by_instance}
    if len(lengths) > 1:
        raise ValueError(f"one histogram is of codes of one length, got num_bits {sorted(lengths)}")
    if by_labels:
        return HammingHistogram(lengths.pop(), graded=any(metric.graded for metric in by_labels), **settings)
    return HammingInstanceHistogram(lengths.pop(), **settings)

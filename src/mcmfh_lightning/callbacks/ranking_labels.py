"""The report label by label: which findings a method retrieves, and which it does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from mcmfh_lightning.callbacks.ranking_stream import MODEL, StreamResult
from mcmfh_lightning.metrics.functional import average_precision, mean_by_label, tie_all


@dataclass(frozen=True)
class LabelRow:
    """One statistic of the model over the queries that carry a label; a number that is not defined is NaN."""

    protocol: str
    database: str
    direction: str
    label: str
    metric: str
    value: float
    chance: float
    num_queries: int
    """Queries that carry the label and have relevant items."""


def label_rows(result: StreamResult, vocabulary: Sequence[str]) -> list[LabelRow]:
    """The mAP@all of the model for every protocol, database, direction and label.

    Args:
        result: Counts of an epoch.
        vocabulary: The labels, by position.

    Returns:
        Rows, the labels in their order.
    """
    rows = []
    for database, rankings in result.rankings.items():
        for ranking, counts in rankings.items():
            if ranking.system != MODEL:
                continue
            model = average_precision(counts.total, counts.relevant)
            chance = average_precision(tie_all(counts.total), tie_all(counts.relevant))
            values, numbers = mean_by_label(model, result.queries.labels, len(vocabulary))
            chances, _ = mean_by_label(chance, result.queries.labels, len(vocabulary))
            rows += [
                LabelRow(
                    ranking.protocol,
                    database,
                    ranking.direction,
                    label,
                    "mAP@all",
                    float(value),
                    float(by_chance),
                    number,
                )
                for label, value, by_chance, number in zip(vocabulary, values, chances, numbers.tolist(), strict=True)
            ]
    return rows

"""The report query by query, from which other averages, intervals and comparisons follow."""

import csv
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

from torch import Tensor

from mcmfh_lightning.callbacks.ranking_stream import MODEL, StreamResult
from mcmfh_lightning.metrics.functional import average_precision


def write_queries(
    path: Path, result: StreamResult, subsets: Mapping[str, Tensor], ids: Sequence[str], group_names: Sequence[str]
) -> None:
    """Write one line for each query, in the order of their index.

    Columns: ``id`` and ``group`` as the collection names them, ``index`` in the split, ``group_number`` (for sums and
    resampling), each query subset (1 for its members, else 0) and, as ``<protocol>/<database>/<direction>``, the
    tie-aware AP over all items (AP@all) of the model's ranking; empty where no item is relevant.

    Args:
        path: File to write.
        result: Counts of an epoch.
        subsets: Query subsets by name, (Q,) bool each.
        ids: Ids of the queries' split, by index.
        group_names: Names of the groups of the same.
    """
    indices = result.queries.indices.tolist()
    columns: dict[str, list[object]] = {
        "id": [ids[index] for index in indices],
        "group": [group_names[index] for index in indices],
        "index": indices,
        "group_number": result.queries.groups.tolist(),
        **{name: members.int().tolist() for name, members in subsets.items()},
    }
    for database, rankings in result.rankings.items():
        for ranking, counts in rankings.items():
            if ranking.system == MODEL:
                values = average_precision(counts.total, counts.relevant).tolist()
                name = f"{ranking.protocol}/{database}/{ranking.direction}"
                columns[name] = ["" if isnan(value) else value for value in values]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))

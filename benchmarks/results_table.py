"""The tables of docs/results/rows.md from a ``ranking.csv``: ``python benchmarks/results_table.py FILE``."""

import sys
from pathlib import Path

import pandas as pd
from measurements import ARROWS

from mcmfh_lightning.evaluation.protocols import PROTOCOLS
from mcmfh_lightning.sweeps.page import pipe_table, short

SEARCHES, PAIRED = ("unimodal", "asymmetric"), ("paired",)
ROWS = [
    (SEARCHES, "unseen", "abnormal"),
    (SEARCHES, "unseen", "all"),
    (SEARCHES, "unseen", "new_text"),
    (SEARCHES, "train+val", "abnormal"),
    (SEARCHES, "train+val", "all"),
    (PAIRED, "unseen", "abnormal"),
    (PAIRED, "unseen", "all"),
]
"""Protocols, database and queries."""
NULLS = ["chance", "hyperplanes", "constant", "shuffled queries", "shuffled within"]
REFERENCE = "abnormal popularity"
PLACE = ["protocol", "database", "queries", "direction"]


def render(file: Path) -> str:
    """Write a line for each database, queries, protocol and search, with a column for each null that applies."""
    numbers = pd.read_csv(file)
    numbers = numbers[numbers.metric == "mAP@all"]
    model = numbers[numbers.system == "model"].set_index(PLACE)
    values = numbers.set_index([*PLACE, "system"])["value"].map(short).unstack()
    nulls = [name for name in NULLS if name in values.columns]
    references = [REFERENCE] if REFERENCE in values.columns else []
    lines = []
    # A method without fusion has no paired rows, a collection without a normal label no abnormal queries.
    places = [
        (protocol, *rest, direction.name)
        for protocols, *rest in ROWS
        for protocol in protocols
        for direction in PROTOCOLS[protocol]
    ]
    for place in (place for place in places if place in model.index):
        one = model.loc[place]
        lead = f"{short(one.difference)} [{short(one.difference_low)}, {short(one.difference_high)}]"
        start = [*place[:3], ARROWS[place[3]]]
        start.append(f"**{short(one.value)}** [{short(one.low)}, {short(one.high)}]")
        lines.append([*start, *values.loc[place, nulls], lead, *values.loc[place, references]])
    head = ["protocol", "database", "queries", "search", "**mAP@all** [95 %]", *nulls]
    head += ["lead over the best null [95 %]", *(f"*{name}*" for name in references)]
    return pipe_table(head, lines, left=len(head))


if __name__ == "__main__":
    print(render(Path(sys.argv[1])))

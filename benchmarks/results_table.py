"""The README's table from a ``ranking.csv`` of ``mcmfh test``: ``python benchmarks/results_table.py FILE``."""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

METRIC = "mAP@all"
MODEL = "model"
ROWS = [
    ("unimodal", "unseen", "abnormal"),
    ("unimodal", "unseen", "all"),
    ("unimodal", "unseen", "new_text"),
    ("unimodal", "train+val", "abnormal"),
    ("unimodal", "train+val", "all"),
    ("paired", "unseen", "abnormal"),
    ("paired", "unseen", "all"),
]
NULLS = ["chance", "hyperplanes", "constant", "shuffled queries", "shuffled within"]
REFERENCE = "abnormal popularity"

Key = tuple[str, str, str, str, str]


def read(path: Path) -> dict[Key, dict[str, str]]:
    """Rows of the metric shown, by protocol, database, queries, direction and system."""
    with path.open() as file:
        return {
            (row["protocol"], row["database"], row["queries"], row["direction"], row["system"]): row
            for row in csv.DictReader(file)
            if row["metric"] == METRIC
        }


def _short(value: str) -> str:
    return f"{float(value):.3f}".replace("0.", ".", 1)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def render(rows: dict[Key, dict[str, str]]) -> str:
    """The table: one line for each protocol, database, queries and direction, one column for each null that applies."""
    systems = {system for *_, system in rows}
    nulls = [null for null in NULLS if null in systems]
    references = [REFERENCE] if REFERENCE in systems else []
    head = ["protocol", "database", "queries", "direction", "**mAP@all** [95 %]", *nulls]
    head += ["lead over the best null [95 %]", *(f"*{name}*" for name in references)]
    lines = [_line(head), "|" + "---|" * len(head)]
    for place in ROWS:
        # A method without fusion has no paired rows, a collection without a normal label no abnormal queries.
        if (*place, "i2t", MODEL) not in rows:
            continue
        for direction in ("i2t", "t2i"):
            model = rows[*place, direction, MODEL]
            lead = [_short(model[name]) for name in ("difference", "difference_low", "difference_high")]
            lines.append(
                _line(
                    [
                        *place,
                        {"i2t": "I→T", "t2i": "T→I"}[direction],
                        f"**{_short(model['value'])}** [{_short(model['low'])}, {_short(model['high'])}]",
                        *(_short(rows[*place, direction, null]["value"]) for null in nulls),
                        f"{lead[0]} [{lead[1]}, {lead[2]}]",
                        *(_short(rows[*place, direction, name]["value"]) for name in references),
                    ]
                )
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(render(read(Path(sys.argv[1]))))

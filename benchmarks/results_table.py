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
    """The table: one line for each protocol, database, queries and direction."""
    head = ["protocol", "database", "queries", "direction", "**mAP@all** [95 %]", *NULLS]
    lines = [_line([*head, "lead over the best null [95 %]", f"*{REFERENCE}*"])]
    lines.append("|" + "---|" * (len(head) + 2))
    for place in ROWS:
        if (*place, "i2t", MODEL) not in rows:  # a method without fusion has no paired rows
            continue
        for direction in ("i2t", "t2i"):
            model = rows[*place, direction, MODEL]
            nulls = [_short(rows[*place, direction, null]["value"]) for null in NULLS]
            lead = [_short(model[name]) for name in ("difference", "difference_low", "difference_high")]
            lines.append(
                _line(
                    [
                        *place,
                        {"i2t": "I→T", "t2i": "T→I"}[direction],
                        f"**{_short(model['value'])}** [{_short(model['low'])}, {_short(model['high'])}]",
                        *nulls,
                        f"{lead[0]} [{lead[1]}, {lead[2]}]",
                        _short(rows[*place, direction, REFERENCE]["value"]),
                    ]
                )
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(render(read(Path(sys.argv[1]))))

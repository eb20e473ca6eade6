"""The numbers of a page as CSV files, a number a line."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path

from mcmfh_lightning.bench.tables.page import ComparedPanel, Page
from mcmfh_lightning.bench.tables.rows import Panel, Row
from mcmfh_lightning.bench.tables.words import DATABASES, METRICS, MODEL, NULLS, PROTOCOLS


def write_files(folder: Path, page: Page) -> None:
    """Write ``table.csv``, ``comparison.csv`` and ``trials.csv``, those of them that have a line.

    Args:
        folder: An existing folder.
        page: What is rendered.
    """
    contents: dict[str, list[Mapping[str, object]]] = {
        "table.csv": [line for one in page.panels for line in _panel_lines(one.panel)],
        "comparison.csv": [line for one in page.panels for line in _comparison_lines(one)],
        "trials.csv": [trial._asdict() for trial in page.trials],
    }
    for name, lines in contents.items():
        if lines:
            write_lines(folder / name, lines)


def write_lines(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    """Write a CSV file; numbers are rounded as results are, what is undefined stays empty.

    Args:
        path: File to write.
        lines: At least one; all have the keys of the first.
    """
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows({name: _written(value) for name, value in line.items()} for line in lines)


def _panel_lines(panel: Panel) -> Iterable[Mapping[str, object]]:
    """Of each system and, protocol by protocol, of the best one's nulls."""
    for row in panel.rows:
        yield from _row_lines(panel, row, MODEL, tuple(PROTOCOLS))
    for null in NULLS:
        for protocol in PROTOCOLS:
            best = panel.best_row_of(protocol)
            if best is not None:
                yield from _row_lines(panel, best, null, (protocol,))


def _row_lines(panel: Panel, row: Row, ranked: str, protocols: Sequence[str]) -> Iterable[Mapping[str, object]]:
    for protocol in protocols:
        for database in DATABASES:
            for direction in PROTOCOLS[protocol]:
                for metric in METRICS:
                    value = row.values(protocol, database, panel.headline_queries, direction, ranked, metric)
                    if isnan(value.mean):
                        continue
                    yield {
                        "data": panel.data,
                        "num_bits": panel.num_bits,
                        "protocol": protocol,
                        "database": database,
                        "queries": panel.headline_queries,
                        "direction": direction,
                        "metric": metric,
                        "system": row.system,
                        "settings": row.settings,
                        "ranking": ranked,
                        "mean": value.mean,
                        "sd": value.sd,
                        "seeds": value.number,
                        "declared": row.declared,
                        "trials": row.trials,
                    }


def _comparison_lines(compared: ComparedPanel) -> Iterable[Mapping[str, object]]:
    if compared.reference is None:
        return
    for one in compared.comparisons.values():
        for direction, difference in {"mean": one.mean, **one.directions}.items():
            of_mean = direction == "mean"
            yield {
                "data": compared.panel.data,
                "num_bits": compared.panel.num_bits,
                "queries": compared.panel.headline_queries,
                "reference": compared.reference.system,
                "system": one.system,
                "direction": direction,
                "difference": difference.value,
                "low": difference.low,
                "high": difference.high,
                "p": one.p if of_mean else "",
                "p_holm": one.p_holm if of_mean else "",
            }


def _written(value: object) -> object:
    """Rounded as results are; empty where undefined."""
    if isinstance(value, float):
        return "" if isnan(value) else round(value, 6)
    return value

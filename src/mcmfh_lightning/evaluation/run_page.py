"""Report of a tested run as one HTML file, for people who look at results."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.card import SearchLine, read_report, search_lines
from mcmfh_lightning.evaluation.headline import DIRECTIONS, NULLS, PAIRED_NOTE
from mcmfh_lightning.evaluation.remarks import headline
from mcmfh_lightning.evaluation.report import RESEARCH_USE
from mcmfh_lightning.evaluation.statistics import AP

_FIGURES = {
    "precision_recall": "Precision and recall by Hamming radius, next to chance and random hyperplanes",
    "precision_at_n": "Expected precision of the first N items",
    "recall_at_n": "Expected share of the relevant items in the first N",
    "expert_utilisation": "Use of the experts",
    "code_statistics": "Balance and correlation of the bits",
}
"""Figures of a test, by the name of the file."""
_EXAMPLES = {"examples_i2t": "Films that search for texts", "examples_t2i": "Texts that search for films"}
"""Figures that show pictures and texts of patients."""


class _Table(NamedTuple):
    """Table of a protocol and a database."""

    title: str
    note: str
    lines: tuple[SearchLine, ...]


class _Figure(NamedTuple):
    """Picture that is part of the page."""

    caption: str
    source: str


def run_page(run: Path, *, pictures: bool) -> str:
    """Write the report of a tested run: its numbers, figures, settings and versions, with nothing to load from outside.

    Args:
        run: Folder of the run.
        pictures: Whether to show the queries and their hits that ``mcmfh test --log-examples true`` drew.

    Raises:
        DataError: If the run has no report of a test, or no such pictures.
    """
    from jinja2 import Environment, StrictUndefined  # the other commands do without

    report, test = read_report(run), run / "test"
    examples = list(_figures(test, _EXAMPLES)) if pictures else []
    if pictures and not examples:
        raise DataError(
            f"{test} has no pictures of queries: repeat `mcmfh test` with --log-examples true on raw pairs, or leave "
            "out --pictures"
        )
    config = test / "config.yaml"
    template = files(__package__).joinpath("run_page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    try:
        shown: dict[str, Any] = {
            "title": f"{report['hasher']['hasher']} on {report['data']['name']}",
            "size": f"{report['num_bits']} bits" if report["num_bits"] else "real-valued vectors, no codes",
            "tables": list(_tables(report)),
            "facts": _facts(report),
            "notes": report["notes"],
            "nulls": NULLS,
            "metric": AP.name,
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{test}/metrics.json cannot be used ({error!r}): run `mcmfh test` again") from error
    return environment.from_string(template).render(
        **shown,
        notice=RESEARCH_USE,
        figures=list(_figures(test, _FIGURES)),
        examples=examples,
        config=config.read_text(encoding="utf-8") if config.is_file() else "",
    )


def _tables(report: Mapping[str, Any]) -> Iterator[_Table]:
    for protocol, databases in report["results"].items():
        for database, subsets in databases.items():
            queries = headline(subsets)
            seen = report["databases"][database]
            sizes = " / ".join(f"{size:,}" for size in dict.fromkeys(seen["size"].values()))
            of = "" if queries == "all" else f"{queries} "
            lines = tuple(
                line._replace(search=DIRECTIONS.get(line.search, line.search).replace("->", "→"))
                for line in search_lines(subsets[queries])
            )
            title = (
                f'{protocol}: {seen["queries"][queries]["number"]:,} {of}queries, {sizes} items, database "{database}"'
            )
            yield _Table(title, PAIRED_NOTE if protocol == "paired" else "", lines)


def _facts(report: Mapping[str, Any]) -> dict[str, str]:
    """List what was tested and by what, by name."""
    checkpoint = report.get("checkpoint") or {}
    data, encoder = report["data"], report["encoder"] or {}
    pairs = ", ".join(f"{number:,} {split}" for split, number in data.get("pairs", {}).items())
    how = report["evaluation"]
    return {
        "Collection": f"{data['name']} (fingerprint {data.get('fingerprint')}); pairs: {pairs}",
        "Encoder": encoder.get("name", "not named"),
        "Settings": ", ".join(f"{name} {value}" for name, value in report["hasher"].items()),
        "Weights": f"epoch {checkpoint.get('epoch', '-')}, SHA-256 {report['weights_sha256']}",
        "Intervals": f"{how['interval']:.0%}, {how['bootstrap_draws']:,} resamples of {how['resampled']}, "
        f"seed {how['seed']}",
        "Version": report.get("package", "unknown"),
    }


def _figures(folder: Path, captions: Mapping[str, str]) -> Iterator[_Figure]:
    for name, caption in captions.items():
        path = folder / f"{name}.png"
        if path.is_file():
            yield _Figure(caption, f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}")

"""Model card of a run: what it is, what it was measured on, next to chance and nulls, and what it is not for."""

import json
from collections.abc import Iterator, Mapping
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.headline import NULLS, PAIRED_NOTE, short
from mcmfh_lightning.evaluation.protocols import MODEL
from mcmfh_lightning.evaluation.remarks import headline
from mcmfh_lightning.evaluation.report import RESEARCH_USE
from mcmfh_lightning.evaluation.statistics import AP

_METADATA = {
    "library_name": "mcmfh-lightning",
    "tags": ["cross-modal-hashing", "image-retrieval", "medical", "radiology"],
}
_USE = """## Use

```python
from mcmfh_lightning.pretrained import PairHasher

model = PairHasher.from_pretrained("OWNER/NAME")
films = model.encode_images(["film_1.png", "film_2.png"])
query = model.encode_texts("small pleural effusion", search="t2i")
print(model.nearest(query, films))
```"""
_INTENDED = """## Intended use

Research on the retrieval of medical images and reports: finding similar cases in a collection that one may search, and
comparing methods. **Not for diagnosis, triage, or any decision about a patient.** Nothing here has been tested for such
a use.

## Limits

- The numbers above, where there are any, are of one collection. Other hospitals, devices, languages and label words can
  differ in every respect; measure there before you rely on a ranking.
- Short codes tie: items at one distance have no order. The text tower reads the language and the length that it was
  made for.
- Weights can hold traces of what they were trained on. Share them only as the agreement of the collection permits."""
_PROTOCOLS = {
    "unimodal": "Queries and items show one modality each.",
    "asymmetric": "Queries show one modality, items both.",
    "paired": PAIRED_NOTE[0].upper() + PAIRED_NOTE[1:],
}
_DATABASES = {"unseen": "items of the test split", "train+val": "items that were trained on or chosen by"}


def read_report(run: Path) -> dict[str, Any]:
    """Read the report of the test of a run.

    Args:
        run: Folder of the run, or its ``metrics.json``.

    Raises:
        DataError: If there is none, or it is damaged or no report of a test.
    """
    path = run if run.is_file() else run / "test" / "metrics.json"
    try:
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): pass the --run-dir of `mcmfh test`") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}): run `mcmfh test` again") from error
    if not isinstance(report, dict) or not isinstance(report.get("results"), dict) or "hasher" not in report:
        raise DataError(f"{path} is not a report of `mcmfh test`: pass the folder of such a run")
    return report


def render_card(report: Mapping[str, Any]) -> str:
    """Render the model card of a hasher: Markdown with the metadata that the model hub reads.

    It names no path of this machine.

    Args:
        report: Content of ``metrics.json``; without ``results`` the card says that nothing was measured.

    Raises:
        DataError: If the report lacks an entry.
    """
    try:
        parts = [
            f"---\n{yaml.safe_dump(_METADATA, sort_keys=False)}---",
            f"# {report['hasher']['hasher']}, {_size(report)}",
            f"**{RESEARCH_USE}** Codes of medical images, of reports and of cases that have both: the nearest codes "
            f"find one by the other. Made with {report.get('package', 'mcmfh-lightning')}.",
            _USE,
            "\n".join(["## Model", "", *_model(report)]),
            "\n".join(["## Training data", "", *_data(report.get("data"))]),
            "\n\n".join(["## Test", *_test(report)]),
            _INTENDED,
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the report of the test cannot be used ({error!r}): run `mcmfh test` again") from error
    return "\n\n".join(parts) + "\n"


def _size(report: Mapping[str, Any]) -> str:
    return f"{report['num_bits']} bits" if report["num_bits"] else "real-valued vectors, no codes"


def _model(report: Mapping[str, Any]) -> Iterator[str]:
    encoder = report["encoder"] or {}
    name = encoder.get("name", "not named")
    yield f"- Encoder: {name}. Its weights and preprocessing are checked when the model is loaded."
    tuned: Any = encoder.get("image", {})
    while isinstance(tuned, Mapping) and (tuned := tuned.get("tuned_on", tuned.get("before"))) is not None:
        yield f"- Its image tower was tuned on the training split of {tuned['data']}."
    yield f"- Settings: {', '.join(f'{name} {value}' for name, value in report['hasher'].items() if name != 'hasher')}."
    yield f"- Weights: `{report['weights_sha256']}`"


def _data(data: Mapping[str, Any] | None) -> Iterator[str]:
    if data is None:
        yield "Not recorded with these weights."
        return
    pairs = ", ".join(f"{number:,} {split}" for split, number in data.get("pairs", {}).items())
    yield f"- Collection: {data['name']} (fingerprint `{data.get('fingerprint')}`)" + (
        f"; pairs: {pairs}" if pairs else ""
    )
    yield f"- Licence of the collection: {data.get('licence') or 'not recorded'}"


def _test(report: Mapping[str, Any]) -> Iterator[str]:
    if not report.get("results"):
        yield "No report of a test of these weights came with them: nothing is claimed."
        return
    yield (
        f"{AP.name}: the mean over all orders of tied items, divided by all relevant items; 95 % intervals by "
        "resampling patients or studies. Items of a query's own group are left out. Numbers of two protocols, or of "
        "two databases, cannot be compared."
    )
    yield "Nulls learn nothing: " + "; ".join(f"*{name}*: {how}" for name, how in NULLS.items()) + "."
    for protocol, databases in report["results"].items():
        for database, subsets in databases.items():
            queries = headline(subsets)
            yield f'### Protocol {protocol}, database "{database}"'
            seen = report["databases"][database]
            sizes = " / ".join(f"{size:,}" for size in dict.fromkeys(seen["size"].values()))
            number = seen["queries"][queries]["number"]
            held = _DATABASES.get(database, "items")
            of = f"{queries} " if queries != "all" else ""
            yield f"{_PROTOCOLS.get(protocol, '')} {sizes} {held}, {number:,} {of}queries.".strip()
            yield "\n".join(_table(subsets[queries]))
    if notes := [str(note).partition("; to resume it")[0] for note in report.get("notes", ())]:
        yield "\n".join(f"- {note}" for note in notes)


def _table(directions: Mapping[str, Any]) -> Iterator[str]:
    yield f"| search | {AP.name} | 95 % interval | {' | '.join(NULLS)} | above the best null by |"
    yield "|---|" + "---:|" * (3 + len(NULLS))
    for line in search_lines(directions):
        yield f"| {line.search} | {line.value} | {line.interval} | {' | '.join(line.nulls)} | {line.lead} |"


class SearchLine(NamedTuple):
    """Line of a table: a search, its numbers, and chance and every null next to it."""

    search: str
    value: str
    interval: str
    nulls: tuple[str, ...]
    lead: str


def search_lines(directions: Mapping[str, Any]) -> Iterator[SearchLine]:
    """Write the numbers of each search of a protocol and database, as text.

    Args:
        directions: Systems by search, as in ``metrics.json``.
    """
    for direction, systems in directions.items():
        own = systems[MODEL].get(AP.name, {})
        nulls = tuple(short(systems.get(name, {}).get(AP.name, {}).get("value", nan)) for name in NULLS)
        yield SearchLine(direction, short(own.get("value", nan)), _interval(own, "low", "high"), nulls, _lead(own))


def _interval(numbers: Mapping[str, float], low: str, high: str) -> str:
    return f"[{_signed(numbers[low])}, {_signed(numbers[high])}]" if low in numbers and high in numbers else "-"


def _lead(numbers: Mapping[str, Any]) -> str:
    if "difference" not in numbers:
        return "-"
    return f"{_signed(numbers['difference'])} {_interval(numbers, 'difference_low', 'difference_high')}"


def _signed(value: float) -> str:
    return f"-{short(-value)}" if value < 0 else short(value)

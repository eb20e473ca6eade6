"""Quality of searches for ten findings among items of no training split; see docs/guides/archive.md.

    python benchmarks/findings.py --archives DIR [DIR ...] [--csv FILE] [--findings FILE]

Each archive holds the same collection with its splits, by codes of another length (`mcmfh-archive build`). Each finding
of ``findings.yaml`` is searched for as a text among the items of the test split, against the codes of cases, of images
and of texts, by codes alone and reranked. An item is relevant if it carries one of the labels that belong to the
finding. P@20 is the share of relevant items among the first 20; where codes or scores tie, its expectation over all
orders.

Next to them are rankings without a model: random order, the best of three rankings that ignore the query (by the
popularity of labels in the training split, which know the true labels of every item), and BM25 over the reports, which
reads the report of each item. ``shuffled`` is a system's own rankings, each for the labels of the other nine findings.

Prints two tables in Markdown and writes a CSV file.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import bm25s
import numpy as np
import pandas as pd
import torch
import yaml
from measurements import Row, markdown, options, report
from numpy.typing import NDArray

from mcmfh_lightning.archive import Archive, Filters, Item
from mcmfh_lightning.archive.results import Side
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.evaluation.nulls import ConstantRankings
from mcmfh_lightning.metrics import functional
from mcmfh_lightning.shards import pack_labels

K = 20
SPLIT = "test"
FINDINGS = Path(__file__).with_name("findings.yaml")
DRAWS, SEED = 10_000, 0
AGAINST: Mapping[Side, str] = {"case": "cases (image and report)", "image": "images alone", "text": "reports alone"}
NO_MODEL = {"random": "nothing", "constant": "true labels", "BM25": "reports alone"}
"""Rankings without a model, and what they look at."""


class Finding(NamedTuple):
    """A text to search for.

    Attributes:
        text: The text.
        labels: A relevant item has at least one of them.
    """

    text: str
    labels: frozenset[str]


class Database(NamedTuple):
    """The items that are searched.

    Attributes:
        items: In ascending order of their ids.
        relevant: (findings, items).
    """

    items: Sequence[Item]
    relevant: NDArray[np.bool_]


Precisions = NDArray[np.float64]
"""(findings, findings): P@20 of the ranking for the one finding, counted by the labels of the other."""


def read_findings(path: Path) -> list[Finding]:
    """Read the findings of a file."""
    return [Finding(entry["text"], frozenset(entry["labels"])) for entry in yaml.safe_load(path.read_text())]


def measure(archives: Sequence[Archive], findings: Sequence[Finding]) -> Iterator[Row]:
    """Measure each system and finding.

    Raises:
        ValueError: If the archives do not hold the same items.
    """
    database = read_database(archives[0], findings)
    for archive in archives:
        if [item.labels for item in database.items] != [item.labels for item in read_database(archive, findings).items]:
            raise ValueError(f"{archive.location} holds other items than {archives[0].location}")
    for name, precisions in {
        "random": expected_precision(np.zeros(database.relevant.shape, dtype=np.int64), database),  # all are tied
        "constant": best_constant(archives[0], database),
        "BM25": bm25(findings, database),
    }.items():
        yield from rows_of(findings, database, precisions, system=name)
    for archive in archives:
        info = archive.info
        for against in AGAINST:
            for order in ("codes", "reranked"):
                system = {"bits": str(info.num_bits), "against": against, "order": order, "system": info.hasher}
                yield from rows_of(findings, database, search(archive, findings, database, against, order), **system)


def rows_of(findings: Sequence[Finding], database: Database, precisions: Precisions, **system: str) -> Iterator[Row]:
    """Make a row for each finding of a system."""
    for place, finding in enumerate(findings):
        yield {
            **({"bits": "", "against": "", "order": ""} | system),
            "finding": finding.text,
            "labels": "; ".join(sorted(finding.labels)),
            "items": len(database.items),
            "relevant": int(database.relevant[place].sum()),
            "p@20": float(precisions[place, place]),
            "shuffled": float(np.delete(precisions[:, place], place).mean()),
        }


def read_database(archive: Archive, findings: Sequence[Finding]) -> Database:
    """Read the items of the test split."""
    everything = archive.search(text=findings[0].text, radius=archive.info.num_bits, filters=Filters(splits=(SPLIT,)))
    items = sorted((hit.item for hit in everything.hits), key=lambda item: item.id)
    carried = [[bool(finding.labels & set(item.labels)) for item in items] for finding in findings]
    return Database(items, np.array(carried))


def search(archive: Archive, findings: Sequence[Finding], database: Database, against: Side, order: str) -> Precisions:
    """Rank all items by the distance of their codes, or find the first 20 as an archive shows them, reranked."""
    reranked = order == "reranked"
    depth = {"k": K} if reranked else {"radius": archive.info.num_bits, "rerank": 0}
    last = K if reranked else archive.info.num_bits + 1
    levels = []
    for finding in findings:
        found = archive.search(text=finding.text, against=against, filters=Filters(splits=(SPLIT,)), **depth)
        level = {hit.item.id: place if reranked else hit.distance for place, hit in enumerate(found.hits)}
        levels.append([level.get(item.id, last) for item in database.items])
    return expected_precision(np.array(levels), database)


def best_constant(archive: Archive, database: Database) -> Precisions:
    """Choose the best of three rankings that are the same for every finding."""
    vocabulary = archive.info.label_vocabulary
    table = ItemTable.open(archive.location).select(["labels"], "split = 'train'")
    training = pack_labels(table["labels"].to_pylist(), vocabulary)
    normal = vocabulary.index("normal") if "normal" in vocabulary else None
    rankings = ConstantRankings(training, normal, torch.device("cpu"))
    packed = torch.from_numpy(pack_labels([item.labels for item in database.items], vocabulary))
    measured = [
        expected_precision(np.tile(levels.numpy(), (len(database.relevant), 1)), database)
        for levels in rankings.levels(packed).values()
    ]
    return max(measured, key=lambda precisions: float(precisions.trace()))


def bm25(findings: Sequence[Finding], database: Database) -> Precisions:
    """Rank by Lucene's BM25 with bm25s' defaults: lower case, English stop words, k1 = 1.5, b = 0.75."""
    ranker = bm25s.BM25()
    ranker.index(bm25s.tokenize([item.text or "" for item in database.items], show_progress=False), show_progress=False)
    words = bm25s.tokenize([finding.text for finding in findings], return_ids=False, show_progress=False)
    scores = np.array([ranker.get_scores(of_finding) for of_finding in words])
    return expected_precision(np.array([np.unique(-row, return_inverse=True)[1] for row in scores]), database)


def expected_precision(levels: NDArray[np.int64], database: Database) -> Precisions:
    """Compute P@20 over all orders of tied items; levels are (findings, items), the best is 0."""
    depth, width = torch.tensor([K]), int(levels.max()) + 1
    rows = []
    for of_finding in levels:
        total = torch.from_numpy(np.bincount(of_finding, minlength=width))
        hits = [np.bincount(of_finding[relevant], minlength=width) for relevant in database.relevant]
        counts = total.expand(len(hits), -1).contiguous(), torch.from_numpy(np.array(hits))  # (findings, levels)
        rows.append(functional.precision_at(*counts, depth)[:, 0].numpy())
    return np.array(rows)


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render means over the findings, with intervals over them, and P@20 of each finding against cases."""
    lines = []
    for (system, bits, against, order), shown in rows.groupby(["system", "bits", "against", "order"], sort=False):
        values = torch.tensor(shown["p@20"].to_numpy(dtype=np.float64))[:, None]
        draws = functional.bootstrap_means(values, functional.bootstrap_weights(torch.arange(len(values)), DRAWS, SEED))
        low, high = (float(end[0]) for end in functional.percentile_interval(draws))
        value = f"{float(values.mean()):.3f} [{low:.3f}, {high:.3f}]"
        shuffled = "" if system in NO_MODEL else f"{shown['shuffled'].mean():.3f}"
        lines.append([system, bits, NO_MODEL.get(system) or AGAINST[against], order, value, shuffled])
    heads = ["system", "bits", "looks at", "order", f"P@{K} [95 %]", "shuffled findings"]
    systems = markdown(pd.DataFrame(lines, columns=heads), "lrll")
    random = rows[rows["system"] == "random"]
    table = random[["finding", "labels", "relevant"]].set_axis(["finding", "relevant labels", "items"], axis=1)
    reranked = rows[(rows["against"] == "case") & (rows["order"] == "reranked")]
    columns = {
        f"{bits} bits": reranked[reranked["bits"] == bits] for bits in sorted(reranked["bits"].unique(), key=int)
    }
    for name, of_system in (columns | {"BM25": rows[rows["system"] == "BM25"], "random": random}).items():
        table[name] = [f"{value:.2f}" for value in of_system["p@20"]]
    return {"systems": systems, "findings": markdown(table, "ll")}


def main() -> None:
    """Measure, print and write."""
    parser = options(__doc__, "csv")
    parser.add_argument("--archives", type=Path, nargs="+", required=True, help="archives of one collection")
    parser.add_argument("--findings", type=Path, default=FINDINGS, help="texts and the labels that say the same")
    arguments = parser.parse_args()
    archives = [Archive.open(path) for path in arguments.archives]
    report(arguments, measure(archives, read_findings(arguments.findings)), tables)


if __name__ == "__main__":
    main()

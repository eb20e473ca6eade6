"""Quality of searches for findings among items of no training split; see docs/guides/archive.md.

    python benchmarks/findings.py --archives DIR [DIR ...] [--findings FILE] [--csv FILE]
                                  [--features DIR [--real-valued CHECKPOINT]]

Each archive holds the same collection with its splits, by codes of another length (`mcmfh-archive build`). Each finding
of ``findings_openi.yaml`` or ``findings_roco.yaml`` is searched for as a text among the items of the test split. An
item is relevant if it carries one of the labels of the finding, and none of those that the finding excludes. P@20 is
the number of relevant items among the first 20, divided by 20 or by the number of relevant items, whichever is less;
NDCG@20 has a gain of 1 for a relevant item. Where codes or scores tie, both are the expectation over all orders; a
ranking of fewer than 20 items is continued in random order.

Next to the archive are rankings without a model: random order, the best of the rankings that ignore the query (by the
popularity of labels in the training split, which know the true labels of every item), and BM25 over the reports. With
--features there are cosines of the encoder's embeddings of finding and report ("embeddings"), and with --real-valued
those of a trained RealValued, which has no codes.

Prints two tables in Markdown, means of each kind of finding with 95 % intervals, and differences between systems that
are paired over findings; writes a CSV file with a row for each finding and system.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from findings_systems import (
    Database,
    Finding,
    rank_by_archive,
    rank_by_embeddings,
    rank_without_model,
    read_database,
    read_findings,
)
from measurements import Row, markdown, options, report
from numpy.typing import NDArray
from retrieval_quality import K, mean_interval, quality, shown

from mcmfh_lightning.archive import Archive

FINDINGS = Path(__file__).with_name("findings_openi.yaml")
KINDS = {"term": "terms", "synonym": "synonyms", "negation": "A without B"}
SYSTEM = ["system", "bits", "looks at"]
DIFFERENCES = [("both", "BM25"), ("both", "codes"), ("both", "words"), ("words", "BM25"), ("codes", "BM25")]
"""Systems that are compared, where they were measured."""


def measure(
    archives: Sequence[Archive],
    findings: Sequence[Finding],
    features: Path | None = None,
    real_valued: Path | None = None,
) -> Iterator[Row]:
    """Measure each system and finding; findings without a relevant item are left out.

    Raises:
        ValueError: If the archives do not hold the same items.
    """
    first, database = archives[0], read_database(archives[0], findings)
    answered: NDArray[np.bool_] = database.relevant.any(axis=1)
    findings = [finding for finding, kept in zip(findings, answered, strict=True) if kept]
    database = Database(database.items, database.relevant[answered])
    for archive in archives[1:]:
        if [item.labels for item in database.items] != [item.labels for item in read_database(archive, findings).items]:
            raise ValueError(f"{archive.location} holds other items than {first.location}")
    rankings = [rank_without_model(first, findings, database)]
    if features is not None:
        rankings.append(rank_by_embeddings(first, findings, database, features, real_valued))
    rankings += [rank_by_archive(archive, findings, database) for archive in archives]
    for ranking in rankings:
        for system, levels in ranking:
            for finding, places, relevant in zip(findings, levels, database.relevant, strict=True):
                found = quality(places, relevant)
                yield {
                    **dict(zip(SYSTEM, (system.name, system.bits, system.looks_at), strict=True)),
                    "finding": finding.text,
                    "kind": finding.kind,
                    "items": len(relevant),
                    "relevant": int(relevant.sum()),
                    "p@20": round(found.precision, 6),
                    "ndcg@20": round(found.ndcg, 6),
                }


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the quality of each system, and the differences between systems."""
    lines = [
        [*system, *_means(of_system, "p@20"), shown(*mean_interval(of_system["ndcg@20"].to_numpy(np.float64)))]
        for system, of_system in rows.groupby(SYSTEM, sort=False)
    ]
    first = rows[rows["system"] == rows["system"].iloc[0]]
    numbers = first["kind"].value_counts()
    heads = [f"{name} ({numbers[kind]})" for kind, name in KINDS.items() if kind in numbers]
    columns = [*heads, f"all ({len(first)})"]
    quality_table = pd.DataFrame(lines, columns=[*SYSTEM, *columns, f"NDCG@{K}, all"])
    differences = pd.DataFrame(_differences(rows), columns=["P@20", "bits", "looks at", *columns])
    found = {"quality": markdown(quality_table, "lrl")}
    return found if differences.empty else found | {"differences": markdown(differences, "lrl")}


def _means(rows: pd.DataFrame, column: str) -> list[str]:
    """Average the findings of each kind, and all."""
    parts = [rows[rows["kind"] == kind] for kind in KINDS if kind in set(rows["kind"])]
    return [shown(*mean_interval(part[column].to_numpy(np.float64))) for part in (*parts, rows)]


def _differences(rows: pd.DataFrame) -> Iterator[list[str]]:
    """Compare systems, paired over findings; the other one has the same codes, if it has any."""
    for (name, bits, side), better in rows.groupby(SYSTEM, sort=False):
        for other in (other for one, other in DIFFERENCES if one == name):
            base = rows[(rows["system"] == other) & rows["bits"].isin(["", bits])]
            if side in set(base["looks at"]):
                base = base[base["looks at"] == side]
            paired = better.merge(base[["finding", "p@20"]], on="finding", suffixes=("", " of the other"))
            paired["difference"] = paired["p@20"] - paired["p@20 of the other"]
            if len(paired):
                yield [f"{name} - {other}", bits, side, *_means(paired, "difference")]


def main() -> None:
    """Measure, print and write."""
    parser = options(__doc__, "csv")
    parser.add_argument("--archives", type=Path, nargs="+", required=True, help="archives of one collection")
    parser.add_argument("--findings", type=Path, default=FINDINGS, help="texts and the labels that mean the same")
    parser.add_argument("--features", type=Path, help="feature shards of the collection, for search without codes")
    parser.add_argument("--real-valued", type=Path, help="checkpoint of RealValued on these features")
    arguments = parser.parse_args()
    archives = [Archive.open(path) for path in arguments.archives]
    findings = read_findings(arguments.findings)
    report(arguments, measure(archives, findings, arguments.features, arguments.real_valued), tables)


if __name__ == "__main__":
    main()

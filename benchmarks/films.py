"""Quality of searches by films: items that share a label with the film, among those of no training split.

    python benchmarks/films.py --archives DIR [DIR ...] [--csv FILE] [--features DIR]

Each archive holds the same collection with its splits, by codes of another length (`mcmfh-archive build`). Each film of
the test split is a query, once; the other items of the split are searched, without those of its study. An item is
relevant if it shares a label with the film. P@20 is that of findings.py, in expectation over ties. Intervals are a
bootstrap over studies. A film that shares its labels with no other study is left out.

Next to the archive are random order and the best of the rankings that ignore the query; with --features there is the
cosine of the encoder's embeddings of images. "default" is a search that does not say what it looks at. Prints a table
in Markdown and writes a CSV file.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from findings_systems import NORMAL, SPLIT, System, constant_rankings, read_items
from measurements import Row, markdown, options, report
from numpy.typing import NDArray
from retrieval_quality import K, levels_of, mean_interval, quality, shown

from mcmfh_lightning.archive import Archive, Filters, Item
from mcmfh_lightning.shards import FeatureShardReader

SEARCHES: Mapping[str, Mapping[str, Any]] = {"image": {"against": "image"}, "case": {"against": "case"}, "default": {}}
SYSTEM = ["system", "bits", "looks at"]
PRECISION = f"P@{K}"


class Films(NamedTuple):
    """Queries, and the items that are searched.

    Attributes:
        items: All items of the split, in ascending order of their ids.
        queries: (Q,) places of the films that are searched by.
        searched: (Q, items): whether an item is of another study than the film.
        relevant: (Q, items): whether it shares a label with the film as well.
    """

    items: Sequence[Item]
    queries: NDArray[np.int64]
    searched: NDArray[np.bool_]
    relevant: NDArray[np.bool_]


Levels = NDArray[np.int64]
"""(Q, items): places of the items from 0; tied items have the same."""


def read_films(archive: Archive) -> Films:
    """Read the items of the split, and choose the films that can find something."""
    items = read_items(archive)
    groups = np.array([item.group for item in items])
    searched = groups[:, None] != groups
    shared = np.array([[not set(one.labels).isdisjoint(other.labels) for other in items] for one in items])
    relevant = searched & shared
    queries = np.flatnonzero(np.array([item.has_image for item in items]) & relevant.any(axis=1))
    return Films(items, queries, searched[queries], relevant[queries])


def measure(archives: Sequence[Archive], features: Path | None = None) -> Iterator[Row]:
    """Measure each system.

    Raises:
        ValueError: If the archives do not hold the same items.
    """
    films = read_films(archives[0])
    for archive in archives[1:]:
        if [item.labels for item in films.items] != [item.labels for item in read_items(archive)]:
            raise ValueError(f"{archive.location} holds other items than {archives[0].location}")
    _, groups = np.unique([films.items[place].group for place in films.queries], return_inverse=True)
    abnormal = np.array([NORMAL not in films.items[place].labels for place in films.queries])
    for system, rankings in _systems(archives, films, features):
        found = [precisions(levels, films) for levels in rankings]
        for queries, counted in (("all", np.ones(len(abnormal), dtype=np.bool_)), ("abnormal", abnormal)):
            if counted.any():
                best = max((one[counted] for one in found), key=np.mean)
                mean, low, high = mean_interval(best, groups[counted])
                yield {
                    **dict(zip(SYSTEM, (system.name, system.bits, system.looks_at), strict=True)),
                    "queries": queries,
                    "films": int(counted.sum()),
                    "p@20": round(mean, 6),
                    "low": round(low, 6),
                    "high": round(high, 6),
                }


def precisions(levels: Levels, films: Films) -> NDArray[np.float64]:
    """Compute P@20 of each film, (Q,)."""
    rows = zip(levels, films.searched, films.relevant, strict=True)
    return np.array([quality(places[searched], relevant[searched]).precision for places, searched, relevant in rows])


def _systems(
    archives: Sequence[Archive], films: Films, features: Path | None
) -> Iterator[tuple[System, Sequence[Levels]]]:
    """Rank by each system; of several rankings the best counts, for all films and for the abnormal ones apart."""
    shape = films.relevant.shape
    yield System("random", "nothing"), [np.zeros(shape, dtype=np.int64)]
    constants = constant_rankings(archives[0], films.items)
    yield System("constant", "true labels"), [np.broadcast_to(levels, shape) for levels in constants]
    if features is not None:
        yield System("embeddings", "image"), [_by_embeddings(films, features)]
    for archive in archives:
        for name, how in SEARCHES.items():
            yield System("search", name, str(archive.info.num_bits)), [_by_archive(archive, films, how)]


def _by_archive(archive: Archive, films: Films, how: Mapping[str, Any]) -> Levels:
    """Rank the items as an archive finds them by the code of a film; those that it does not return are tied."""
    levels = np.full(films.relevant.shape, K)
    place_of = {item.id: place for place, item in enumerate(films.items)}
    for row, query in enumerate(films.queries):
        only = Filters(splits=(SPLIT,))
        found = archive.search(id=films.items[query].id, modality="image", k=K, filters=only, **how)
        for place, hit in enumerate(found.hits):
            levels[row, place_of[hit.item.id]] = place
    return levels


def _by_embeddings(films: Films, features: Path) -> Levels:
    """Rank the items by the cosine of their embeddings of images."""
    reader = FeatureShardReader(features, SPLIT)
    place_of = {name: place for place, name in enumerate(reader.ids)}
    images = torch.from_numpy(reader.gather(np.array([place_of[item.id] for item in films.items]))["image"]).double()
    unit = torch.nn.functional.normalize(images, dim=1)
    return np.stack([levels_of((unit @ unit[query]).numpy()) for query in films.queries])


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render P@20 of each system over all films, and over those that are not normal."""
    lines = []
    for system, of_system in rows.groupby(SYSTEM, sort=False):
        lines.append([*system, *(shown(*values) for values in of_system[["p@20", "low", "high"]].to_numpy())])
    first = rows[rows["system"] == rows["system"].iloc[0]]
    heads = [f"{PRECISION}, {name} ({films})" for name, films in first[["queries", "films"]].to_numpy()]
    return {"films": markdown(pd.DataFrame(lines, columns=[*SYSTEM, *heads]), "lrl")}


def main() -> None:
    """Measure, print and write."""
    parser = options(__doc__, "csv")
    parser.add_argument("--archives", type=Path, nargs="+", required=True, help="archives of one collection")
    parser.add_argument("--features", type=Path, help="feature shards of the collection, for search without codes")
    arguments = parser.parse_args()
    archives = [Archive.open(path) for path in arguments.archives]
    report(arguments, measure(archives, arguments.features), tables)


if __name__ == "__main__":
    main()

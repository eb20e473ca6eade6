"""The parts of the benchmark of generalization, each a function that yields entries of rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from measurements import Row, read
from torch import Tensor
from trained_runs import SEED, Data, Encoded, Items, Run, encode, ranked

from mcmfh_lightning.encoders import PACKAGED_TOWERS
from mcmfh_lightning.encoders.text_tower import TextTower
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.statistics import AP, tied
from mcmfh_lightning.evaluation.summary import DRAWS
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.metrics import RankingCounts, functional
from mcmfh_lightning.searches import MEASURED, SearchName

METRICS = ("mAP@all", "mAP@50")
BANDS = ("head", "middle", "tail")
DEPTH = 20
FEWEST_IMAGES = 5  # images that carry a label, for the label to be searched for
SHARES = (0, 25, 50, 75, 100)  # per cent of the groups whose items lack their text

Embed = Callable[[Sequence[str]], Tensor]


def make_row(part: str, run: Run, train: Data, test: Data, entries: Row) -> Row:
    """Make a row. A number that is not defined is NaN, an entry that does not apply is empty.

    Args:
        part: Part of the benchmark.
        run: System.
        train: Data it was trained on.
        test: Data it is tested on.
        entries: What the part found; ``number`` is the number of queries or labels that the value is a mean of.
    """
    row: dict[str, object] = {"part": part, "system": run.system, "seed": int(run.config["seed_everything"])}
    row |= {
        "train": train.name,
        "test": test.name,
        "protocol": "unimodal",
        "direction": "",
        "queries": "all",
        "subset": "",
    }
    row |= {"metric": METRICS[0], "value": nan, "low": nan, "high": nan, "chance": nan, "null": "", "null_value": nan}
    return row | {"number": 0} | entries


def interval(values: Tensor, groups: Tensor | None = None) -> dict[str, float]:
    """Compute the 95 % interval of the mean of (N,) values by resampling groups, or single values without groups."""
    weights = functional.bootstrap_weights(torch.arange(len(values)) if groups is None else groups, DRAWS, SEED)
    low, high = functional.percentile_interval(functional.bootstrap_means(values[:, None], weights))
    return {"low": float(low), "high": float(high)}


def cross(run: Run, test: Data, work: Path) -> Iterator[Row]:
    """Read the five searches of unseen items; abnormal queries where the data have a normal label."""
    report = read(run.tested_on(test, work) / "ranking.csv")
    report = report.query("protocol != 'paired' and database == 'unseen' and metric in @METRICS")
    report = report[report["direction"].isin(MEASURED)].sort_values("direction", key=_place, kind="stable")
    queries = "abnormal" if "abnormal" in set(report["queries"]) else "all"
    found = report[report["queries"] == queries].set_index(["direction", "metric", "system"])
    for (direction, metric, system), line in found.iterrows():
        if system == "model":
            null = line["best_null"]
            row = {
                "protocol": line["protocol"],
                "direction": direction,
                "queries": queries,
                "metric": metric,
                "null": null,
            }
            row |= {name: float(line[name]) for name in ("value", "low", "high", "chance")}
            row["null_value"] = float(found.loc[(direction, metric, null), "value"])
            yield row | {"number": int(line["num_queries"]) - int(line["num_without_relevant"])}


def _place(directions: "pd.Series[str]") -> "pd.Series[int]":
    return directions.map(MEASURED.index)


def carried(run: Run, at_home: Sequence[Run], test: Data, work: Path) -> Iterator[Row]:
    """Subtract the mean of the five searches of the same system and seed that was trained on the test data.

    The queries are those of `cross`, and the interval resamples their groups.
    """
    seed = run.config["seed_everything"]
    for own in at_home:
        if own == run or (own.system, own.config["seed_everything"]) != (run.system, seed):
            continue
        ours, theirs = (read(one.tested_on(test, work) / "queries.csv") for one in (run, own))
        counted = ours["abnormal"] == 1 if "abnormal" in ours else pd.Series(data=True, index=ours.index)
        differences = _mean_of_searches(ours) - _mean_of_searches(theirs)
        counted &= differences.notna()
        values = torch.tensor(differences[counted].to_numpy())
        row: Row = {"protocol": "unimodal, asymmetric", "queries": "abnormal" if "abnormal" in ours else "all"}
        row |= {"metric": "difference in the mean of five searches", "value": float(values.mean())}
        groups = torch.tensor(ours["group_number"][counted].to_numpy())
        yield row | interval(values, groups) | {"number": len(values)}


def _mean_of_searches(queries: pd.DataFrame) -> "pd.Series[float]":
    """Average AP over the five searches of unseen items: (Q,), NaN for a query that has no relevant item."""
    places = {name: name.split("/") for name in queries.columns if name.startswith(("unimodal/", "asymmetric/"))}
    names = [name for name, (_, database, search) in places.items() if database == "unseen" and search in MEASURED]
    return queries[names].replace("", nan).astype(float).mean(axis=1, skipna=False)


def trained_on_its_test(train: Data, test: Data) -> bool:
    """Check whether data train or select on items of a test split, as two splits of one collection do."""
    return train != test and not train.ids("train", "val").isdisjoint(test.ids("test"))


def labels(run: Run, data: Data, work: Path) -> Iterator[Row]:
    """Average the mAP of queries that carry a label over each third of the labels, without the normal label.

    Chance and the null are those of the same queries; the interval resamples labels.
    """
    shuffled = shuffled_by_label(run, data)
    report = read(run.tested_on(data, work) / "labels.csv")
    report = report.query("protocol == 'unimodal' and database == 'unseen' and metric == 'mAP@all'")
    for band, names in bands(data).items():
        for direction in ("i2t", "t2i"):
            found = report[report["direction"] == direction].set_index("label")
            found = found.loc[[name for name in names if found["value"].get(name, "") != ""]]  # labels with queries
            values = torch.tensor(found["value"].astype(float).to_numpy())
            row = {"direction": direction, "subset": band, "value": float(values.mean()), **interval(values)}
            row |= {"chance": float(found["chance"].astype(float).mean()), "null": "shuffled queries"}
            null = float(np.mean([shuffled[direction, name] for name in found.index]))
            yield row | {"null_value": null, "number": len(found)}


def shuffled_by_label(run: Run, data: Data) -> dict[tuple[str, str], float]:
    """Measure mAP@all by direction and label of the queries that carry a label, when each has the code of another."""
    hasher = run.hasher()
    encoded = encode(hasher, data)
    found = {}
    searches: tuple[tuple[SearchName, str, int], ...] = (("i2t", "text", 1), ("t2i", "image", 0))
    for direction, database, column in searches:
        queries = encoded.items(encoded.queries[direction], encoded.complete)
        items = encoded.items(encoded.codes[database], encoded.present[:, column])
        counts = ranked(hasher, queries.shuffled(), items)
        values = AP.per_query(counts)
        means, _ = functional.mean_by_label(values, queries.labels, data.module.num_labels)
        for label, mean in zip(data.module.label_vocabulary, means.tolist(), strict=True):
            found[direction, label] = mean
    return found


def bands(data: Data) -> Mapping[str, list[str]]:
    """Cut the labels into three parts of equal number by their frequency in training, which the keys show."""
    reader = data.module.reader("train")
    packed = reader.labels[reader.present.all(axis=1)]
    sums = np.unpackbits(packed, axis=1, count=data.module.num_labels).sum(axis=0, dtype=np.int64)
    counts = dict(zip(data.module.label_vocabulary, sums.tolist(), strict=True))
    ordered = sorted(counts.keys() - {data.module.normal_label}, key=lambda label: (-counts[label], label))
    parts = [part.tolist() for part in np.array_split(ordered, len(BANDS))]
    named = zip(BANDS, parts, strict=True)
    return {f"{band} ({counts[names[-1]]} to {counts[names[0]]} pairs)": names for band, names in named}


def short(run: Run, data: Data, embed: Embed) -> Iterator[Row]:
    """Measure P@20 of every label, its mean (the interval resamples labels), and how many beat their prevalence."""
    hasher = run.hasher()
    texts = embed(queries(data)).half().float()  # half: as features are stored
    with torch.inference_mode():
        codes = hasher.encode_query("t2i", texts)
    counts = label_counts(hasher, encode(hasher, data), codes)
    precision = functional.precision_at(counts.total, counts.relevant, torch.tensor([DEPTH]))[:, 0]
    prevalence = counts.relevant.sum(1).double() / counts.total.sum(1)  # chance, as long as there are 20 images
    asked = (counts.relevant.sum(1) >= FEWEST_IMAGES).nonzero()[:, 0].tolist()
    same = {"direction": "t2i", "queries": "label names"}
    of_labels = {"metric": f"P@{DEPTH}"} | same
    mean = {"value": float(precision[asked].mean()), "chance": float(prevalence[asked].mean()), "number": len(asked)}
    yield of_labels | mean | interval(precision[asked].double())
    above = float((precision > prevalence)[asked].double().mean())
    yield same | {"metric": "share of labels above prevalence", "value": above, "number": len(asked)}
    for place in asked:
        numbers = {"value": float(precision[place]), "chance": float(prevalence[place]), "number": 1}
        yield of_labels | {"subset": data.module.label_vocabulary[place]} | numbers


def queries(data: Data) -> list[str]:
    """List what is typed for each label: its name, or the word it stands for where the name is a code."""
    summary = data.module.info.settings.get("pairs", {}).get("summary", {})
    gloss = summary.get("label_gloss", {})
    return [gloss.get(label, label) for label in data.module.label_vocabulary]


def label_counts(hasher: Hasher, encoded: Encoded, codes: Tensor) -> RankingCounts:
    """Rank the items that have an image for one query a label; those that carry the label are relevant."""
    database = encoded.items(encoded.codes["image"], encoded.present[:, 0])
    hot = functional.pack_bits(torch.eye(len(codes), 8 * database.labels.shape[1]))  # (labels, W): one label each
    no_group = database.groups.min() - 1  # so that no item is left out
    return ranked(hasher, Items(codes, hot, no_group.expand(len(codes))), database)


@cache
def packaged_text_tower(data: Data) -> Embed:
    """Load the text tower of the packaged offline pair.

    Raises:
        DataError: If the features were made by another one.
    """
    tower = TextTower(PACKAGED_TOWERS["text_model"], PACKAGED_TOWERS["text_sha256"], None, None).eval()
    if data.module.encoder.get("text") != tower.identity:
        raise DataError(f"{data.root}: its texts were not encoded by the packaged text tower; leave out the part short")

    def embed(texts: Sequence[str]) -> Tensor:
        with torch.inference_mode():
            return tower(tower.tokenize(list(texts)))

    return embed


def missing(run: Run, data: Data) -> Iterator[Row]:
    """Measure the protocol asymmetric where a case without a text is found by its image, as in an archive."""
    hasher = run.hasher()
    encoded = encode(hasher, data)
    complete = encoded.complete
    abnormal = data.abnormal(encoded.labels[complete])
    for share in SHARES:
        lacking = lack_text(encoded.groups, share) & complete
        cases = encoded.items(encoded.codes["case"], complete & ~lacking)
        images = encoded.items(encoded.codes["image"], lacking)
        searches: tuple[tuple[SearchName, SearchName], ...] = (("i2case", "i2i"), ("t2case", "t2i"))
        for direction, of_images in searches:
            asked = [encoded.items(encoded.queries[search], complete) for search in (direction, of_images)]
            counts, of_null = (
                added(ranked(hasher, of_cases, cases), ranked(hasher, of_films, images))
                for of_cases, of_films in (asked, [one.shuffled() for one in asked])
            )
            values, null, chance = (AP.per_query(one) for one in (counts, of_null, tied(counts)))
            chosen = abnormal & ~values.isnan()
            means = {"value": values, "chance": chance, "null_value": null}
            row = {"protocol": "asymmetric", "direction": direction, "subset": f"{share} % without a text"}
            row |= {"queries": "all" if data.module.normal_label is None else "abnormal", "null": "shuffled queries"}
            row |= {name: float(of_queries[chosen].mean()) for name, of_queries in means.items()}
            yield row | interval(values[chosen], asked[0].groups[chosen]) | {"number": int(chosen.sum())}


def added(first: RankingCounts, second: RankingCounts) -> RankingCounts:
    """Add the counts of two databases that are ranked together."""
    size = first.database_size + second.database_size
    return RankingCounts(first.total + second.total, first.relevant + second.relevant, size)


def lack_text(groups: Tensor, share: int) -> Tensor:
    """Draw the items that lack their text: those of a share of the groups; a larger share includes a smaller one.

    Args:
        groups: (N,) int64.
        share: Per cent.

    Returns:
        (N,) bool.
    """
    order = np.random.default_rng(SEED).permutation(np.unique(groups.numpy()))
    return torch.from_numpy(np.isin(groups.numpy(), order[: round(share * len(order) / 100)]))

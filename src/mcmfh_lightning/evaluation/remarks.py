"""Headline number of a report, its weights and data, and remarks about unusual data."""

import json
from collections.abc import Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mcmfh_lightning.evaluation.protocols import INSTANCE_DATABASE, MODEL, EvaluationData, LabeledItems
from mcmfh_lightning.evaluation.statistics import AP
from mcmfh_lightning.evaluation.stream import StreamResult
from mcmfh_lightning.evaluation.summary import Row
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.metrics.functional import share_label, unpack_bits
from mcmfh_lightning.searches import SearchName
from mcmfh_lightning.shards.labels import describe_broad_labels
from mcmfh_lightning.trainer.checkpoint_io import weights_sha256

MONITOR = "val/mAP"
"""What model selection watches: mAP@all, unseen database, mean over the searches of a run, abnormal queries where a
normal label exists, else all queries. NaN if none of them has a relevant item."""
CONSTANT_MONITOR = "val/constant"
"""The same of the better of two constant rankings, by label popularity and with normals first."""
QUERIES_MONITOR = "val/queries"
"""How many queries `MONITOR` is the mean over: those with a relevant item, in the search that has fewest."""
IN_MEMORY = "weights in memory: the test was called without ckpt_path"
_QUERIES_PER_CHUNK = 256


def provenance_of(module: nn.Module, checkpoint: str | Path | None, epoch: int | None, data: object) -> dict[str, Any]:
    """Name weights and data.

    Args:
        module: The module that was tested.
        checkpoint: Path of its checkpoint; None for weights in memory.
        epoch: Epoch of the checkpoint, None if not known.
        data: The datamodule; a foreign datamodule is named by its class.

    Returns:
        ``weights_sha256`` (the same as of an archive made with these weights), ``checkpoint`` (None with a
        ``checkpoint_note`` for weights in memory) and ``data``, as plain JSON.
    """
    entry: dict[str, Any] = {"weights_sha256": weights_sha256(architecture_of(module), module.state_dict())}
    if checkpoint is None:
        entry |= {"checkpoint": None, "checkpoint_note": IN_MEMORY}
    else:
        path = Path(checkpoint)
        # An address of another file system is not fetched a second time: the weights have their own hash.
        sha256 = sha256_of(path) if path.is_file() else None
        entry["checkpoint"] = {"path": str(checkpoint), "sha256": sha256, "epoch": epoch}
    named = getattr(data, "provenance", None)
    entry["data"] = {"name": type(data).__name__} if named is None else named()
    return entry


def architecture_of(module: nn.Module) -> Mapping[str, Any]:
    """Describe what decides the shape of a module; a foreign one is named by its class."""
    architecture: Mapping[str, Any] = getattr(module, "architecture", {"hasher": type(module).__name__})
    return architecture


def other_results(report: Path, entry: Mapping[str, Any]) -> bool:
    """Check whether a ``metrics.json`` is there that is of other weights or other data, or does not say of which."""
    if not report.is_file():
        return False
    try:
        earlier = json.loads(report.read_bytes())
    except ValueError:
        return True
    return not isinstance(earlier, dict) or _measured(earlier) != _measured(entry)


def _measured(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Choose what names weights and data, wherever the data are kept."""
    data = entry.get("data") or {}
    return entry.get("weights_sha256"), *(data.get(name) for name in ("name", "fingerprint"))


def headline(subsets: Mapping[str, object]) -> str:
    """Name the query subset that speaks for a model."""
    return "abnormal" if "abnormal" in subsets else "all"


def headline_rows(rows: Sequence[Row], system: str, searches: Sequence[SearchName]) -> list[Row]:
    """Choose the rows, one a search, of the mAP@all that speaks for a system; see `MONITOR`."""
    queries = headline({row.queries: None for row in rows})
    wanted = system, "unseen", queries, AP.name
    return [
        row
        for row in rows
        if row.protocol != "paired"
        and row.direction in searches
        and (row.system, row.database, row.queries, row.metric) == wanted
    ]


def headline_mean(rows: Sequence[Row], system: str, searches: Sequence[SearchName]) -> float:
    """Average the mAP@all of a system as `MONITOR` says; NaN if one of the searches has no row or no value."""
    values = {row.direction: row.value for row in headline_rows(rows, system, searches)}
    return sum(values.get(search, nan) for search in searches) / len(searches)


def headline_queries(rows: Sequence[Row], searches: Sequence[SearchName]) -> int:
    """Count the queries that `headline_mean` of the model is the mean over; see `QUERIES_MONITOR`."""
    counts = (row.num_queries - row.num_without_relevant for row in headline_rows(rows, MODEL, searches))
    return min(counts, default=0)


def remarks(data: EvaluationData, result: StreamResult, value: float, limit: float) -> list[str]:
    """Say what is unusual about a test.

    Args:
        data: What was tested on.
        result: Counts of the test.
        value: mAP of the headline.
        limit: The trainer's ``limit_test_batches``.

    Returns:
        One line for each.
    """
    lines = []
    if is_limited(limit):
        lines.append(f"limit_test_batches={limit}: the numbers are of a part of the data")
    if isnan(value):
        lines.append(
            "mAP is undefined: no query of the headline has a relevant item. Instance R@1, R@5 and R@10 in ranking.csv "
            "need no labels: they ask for each query's own partner"
        )
    near = result.near_duplicates
    if near and near["found"]:
        lines.append(
            f"{near['found']} of {near['queries']} test films have a near-duplicate in another group (cosine of "
            f"embeddings {near['cosine']} or more), which a search for images finds: give copies of a film one group"
        )
    # Probability that a query and an item of another group share a label; NaN without any such item.
    rankings = result.rankings[INSTANCE_DATABASE]
    counts = next(counts for ranking, counts in rankings.items() if ranking.system == MODEL)
    items = int(counts.total.sum())
    sharing = int(counts.relevant.sum()) / items if items else nan
    broad = broad_labels(data, result.queries.labels.numpy(), sharing)
    return [*lines, broad] if broad else lines


def is_limited(limit: float) -> bool:
    """Check whether ``limit_val_batches`` or ``limit_test_batches`` leave batches out: an integer counts batches."""
    return isinstance(limit, int) or limit < 1.0


def broad_labels(data: EvaluationData, labels: NDArray[np.uint8], sharing: float) -> str:
    """Describe labels that make most items relevant; see `describe_broad_labels`.

    Args:
        data: It names the labels.
        labels: (N, W) uint8, packed label sets of the items.
        sharing: Probability that two items share a label.
    """
    hot = np.unpackbits(labels, axis=1)[:, : len(data.label_vocabulary)]
    shares = dict(zip(data.label_vocabulary, (hot.sum(axis=0) / max(len(hot), 1)).tolist(), strict=True))
    return describe_broad_labels(sharing, shares, data.normal_label)


def undefined_monitor(data: EvaluationData, why: str) -> str:
    """Write the message for a fit that cannot choose its epoch."""
    return (
        f"{getattr(data, 'root', type(data).__name__)}: {MONITOR}, by which the fit chooses its epoch, is undefined on "
        f"the validation split ({why}): convert the collection again with other labels or another split, or train "
        "without choosing (--trainer.limit-val-batches 0, then --ckpt-path last)"
    )


class Preview(NamedTuple):
    """Summary of a ranking of a split for its own queries.

    Attributes:
        sharing: Probability that a query and an item of another group share a label, from the first 256 queries; NaN
            without such two.
        undefined: Why mAP of the queries that a model is chosen by is undefined, in words; empty if it is defined.
    """

    sharing: float
    undefined: str


def preview(table: LabeledItems, normal_label: int | None) -> Preview:
    """Look at labels and groups of a split before anything is trained.

    Args:
        table: The split, queries and database.
        normal_label: Position of the normal label; None if there is none. With one, the abnormal queries count.
    """
    labels, groups = torch.from_numpy(table.labels), torch.from_numpy(table.groups)
    queries = torch.from_numpy(table.present.all(axis=1)).nonzero()[:, 0]
    relevant, foreign = _relevant(labels, groups, queries[:_QUERIES_PER_CHUNK])
    pairs = int(foreign.sum())
    sharing = int(relevant.sum()) / pairs if pairs else nan
    if not len(queries):
        return Preview(sharing, "no item has both an image and a text")
    if normal_label is not None:
        queries = queries[unpack_bits(labels[queries])[:, normal_label] == 0]
    if not len(queries):
        return Preview(sharing, "every query is normal")
    if not labels.any():
        return Preview(sharing, "no item has a label")
    # Texts are found by image queries and images by text queries: both directions need a query that can find something.
    found = np.zeros(2, dtype=bool)
    for chunk in torch.split(queries, _QUERIES_PER_CHUNK):
        relevant, _ = _relevant(labels, groups, chunk)
        found |= table.present[relevant.any(dim=0).numpy()].any(axis=0)
        if found.all():
            return Preview(sharing, "")
    return Preview(sharing, "no query shares a label with an item of another group")


def _relevant(labels: Tensor, groups: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Find which items are relevant to queries, and which are of another group: (Q, N) bool each."""
    foreign = groups[queries, None] != groups
    return share_label(labels[queries], labels) & foreign, foreign

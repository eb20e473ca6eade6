"""Searches of an archive next to the rankings of the metric code."""

from collections.abc import Callable
from typing import get_args

import numpy as np
import torch

from mcmfh_lightning.archive import Archive, Filters
from mcmfh_lightning.archive.results import Modality, Side
from mcmfh_lightning.archive.schema import code_array
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.metrics.functional import hamming_distances

TARGETS = {"image": ("text", "image", "case"), "text": ("image", "text", "case")}
"""What the codes of an item as a query are for, in the order in which an archive keeps them."""


def _target(row: dict[str, object], against: str) -> str:
    """What a search finds where it finds the item: a case of one modality is an image or a text."""
    if against != "case" or (row["has_image"] and row["has_text"]):
        return against
    return "image" if row["has_image"] else "text"


def compare_with_metric_code(archive: Archive, number: int, split: str = "test") -> int:
    """Search by items of a split, and compare with the distances of the metric code, ordered by (distance, id).

    Returns:
        Number of rankings that were compared.

    Raises:
        AssertionError: If one differs.
    """
    columns = ["id", "group", "split", "has_image", "has_text", "labels", *(f"{side}_code" for side in get_args(Side))]
    if archive.info.query_codes:
        columns += [f"{modality}_query_codes" for modality in get_args(Modality)]
    table = ItemTable.open(archive.location).select(columns)
    codes = {side: torch.from_numpy(code_array(table[f"{side}_code"])) for side in get_args(Side)}
    rows = table.select(columns[:6]).to_pylist()
    queries = [place for place, row in enumerate(rows) if row["split"] == split]
    label = archive.info.label_vocabulary[-1]
    conditions: list[tuple[Filters, Callable[[dict[str, object]], bool]]] = [
        (Filters(), lambda row: True),
        (Filters(splits=(split,)), lambda row: row["split"] == split),
        (Filters(labels=(label,), has_image=True), lambda row: label in row["labels"] and bool(row["has_image"])),  # type: ignore[operator]  # a list
    ]
    compared = 0
    for query in np.random.default_rng(0).permutation(queries)[:number].tolist():
        for modality in get_args(Modality):
            if not rows[query][f"has_{modality}"]:
                continue
            for against in get_args(Side):
                by_search = [codes[modality][query]] * 3
                if archive.info.query_codes:
                    by_search = list(code_array(table[f"{modality}_query_codes"])[query].reshape(3, -1))
                of = dict(zip(TARGETS[modality], map(torch.as_tensor, by_search), strict=True))
                every = {
                    target: hamming_distances(code[None], codes[against])[0].tolist() for target, code in of.items()
                }
                distances = [every[_target(row, against)][place] for place, row in enumerate(rows)]
                for filters, holds in conditions:
                    expected = sorted(
                        (distances[place], row["id"])
                        for place, row in enumerate(rows)
                        if row["group"] != rows[query]["group"] and row.get(f"has_{against}", True) and holds(row)
                    )[:1000]
                    found = archive.search(
                        id=rows[query]["id"], modality=modality, against=against, k=1000, filters=filters, rerank=0
                    )
                    if [(hit.distance, hit.item.id) for hit in found.hits] != expected:
                        raise AssertionError(f"{rows[query]['id']} {modality} {against} {filters} differs")
                    compared += 1
    return compared

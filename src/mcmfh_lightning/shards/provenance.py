"""What a folder of shards was made of, as its ``dataset.json`` says: which pairs, and whose labels they have.

Features keep the settings of their pairs below ``settings["pairs"]``, and the checksum of their pairs' shards as
``settings["pairs_sha256"]``. A folder whose labels were replaced (`mcmfh_lightning.datasets.relabel`) says so in the
entry ``relabeled`` of the settings of the pairs.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from mcmfh_lightning.shards.info import DatasetInfo

RELABELED = "relabeled"
_ABOUT = ("made_of", "table", "pairs_without_row", "rows_without_pair")
"""Entries of it that do not decide the labels."""


def shards_sha256(info: DatasetInfo) -> str:
    """Return one checksum of all shards of a folder."""
    # In the order of the file, as earlier versions noted it.
    shards = [shard.sha256 for split in info.splits.values() for shard in split.shards]
    return hashlib.sha256("".join(shards).encode()).hexdigest()


def conversion(info: DatasetInfo) -> Mapping[str, Any]:
    """Return the settings of the conversion of the pairs; empty if features do not have them."""
    return info.settings if info.format == "mcmfh-pairs" else info.settings.get("pairs") or {}


def relabeling(info: DatasetInfo) -> Mapping[str, Any] | None:
    """Return how labels were replaced since the conversion, None if they were not."""
    found = conversion(info).get(RELABELED)
    return found if isinstance(found, Mapping) else None


def items_sha256(info: DatasetInfo) -> str | None:
    """Return a checksum that is equal for folders of the same pairs: encoded, relabeled, or both, in any order.

    It is that of the shards of the first pairs; None for features that do not say what they were made of.
    """
    if (found := relabeling(info)) is not None:
        return found.get("pairs_sha256")
    return shards_sha256(info) if info.format == "mcmfh-pairs" else info.settings.get("pairs_sha256")


def labels_of(info: DatasetInfo) -> Mapping[str, Any] | None:
    """Return what decides the labels of a folder since they were replaced, None if they were not.

    Equal for pairs and features that were relabeled by the same table in the same way.
    """
    found = relabeling(info)
    return None if found is None else {name: value for name, value in found.items() if name not in _ABOUT}


def relabeled_settings(info: DatasetInfo, how: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a copy of a folder with other labels.

    Args:
        info: Entry of the folder that is copied.
        how: Table of the labels and how it was read; plain JSON.
        summary: Counts of the new labels, which replace those of the conversion's summary.
    """
    made_of = {"shards_sha256": shards_sha256(info), "format": info.format, "labels": info.num_labels}
    if (earlier := relabeling(info)) is not None:
        made_of[RELABELED] = earlier
    known = conversion(info)
    settings = {
        **known,
        "summary": {**known.get("summary", {}), **summary},
        RELABELED: {**how, "pairs_sha256": items_sha256(info), "made_of": made_of},
    }
    return settings if info.format == "mcmfh-pairs" else {**info.settings, "pairs": settings}

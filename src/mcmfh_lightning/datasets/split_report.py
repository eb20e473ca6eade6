"""How a conversion split its items: by what, shares asked for and reached, groups, and labels that a split lacks."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcmfh_lightning.datasets.collection import Candidate
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.info import SPLITS
from mcmfh_lightning.tables import counted

_MOST_NAMED = 3


def count_splits(accepted: Sequence[Candidate], vocabulary: Sequence[str]) -> dict[str, Any]:
    """Count the groups of each split, and list the labels that no item of it has.

    Args:
        accepted: The items that are converted, with their splits.
        vocabulary: The labels.
    """
    groups, lacks = {}, {}
    for split in SPLITS:
        items = [item for item in accepted if item.split == split]
        held = {label for item in items for label in item.labels}
        groups[split] = len({item.group for item in items})
        lacks[split] = [label for label in vocabulary if items and label not in held]
    return {"split_groups": groups, "split_lacks": lacks}


def split_lines(info: DatasetInfo) -> list[str]:
    """Say how a converted data set was split; nothing if an earlier version converted it, which counted no groups.

    Args:
        info: The data set.
    """
    summary: Mapping[str, Any] = info.settings["summary"]
    if "split_groups" not in summary:
        return []
    lacking = [_lacking(split, lacks) for split, lacks in summary["split_lacks"].items() if lacks]
    if info.settings.get("split_by") == "given":
        groups = "; ".join(f"{split} {summary['split_groups'][split]:,}" for split in SPLITS)
        return [f"{_title(info.settings)}; groups: {groups}", *lacking]
    asked = info.settings.get("split_shares")
    total = sum(entry.pairs for entry in info.splits.values())
    lines = [_title(info.settings), "    split   groups    items  reached" + "  asked for" * bool(asked)]
    for place, split in enumerate(SPLITS):
        items = info.splits[split].pairs if split in info.splits else 0
        wanted = f"{asked[place]:>9} %" if asked else ""
        lines.append(f"    {split:<5} {summary['split_groups'][split]:>8,} {items:>8,} {items / total:>8.1%}{wanted}")
    if "stratify" in info.settings:
        lines.append("    A group may change its split when rows are added; with --no-stratify it keeps its split.")
    return lines + lacking


def _title(settings: Mapping[str, Any]) -> str:
    if "articles_split_by" in settings:  # of ROCO
        return f"splits of articles: {settings['articles_split_by']}"
    if settings["split_by"] != "group":
        return f"splits: {'as given' if settings['split_by'] == 'given' else 'cut by date, the latest for the test'}"
    return f"splits: groups drawn with seed {settings['seed']}" + ", stratified by label" * ("stratify" in settings)


def _lacking(split: str, lacks: Sequence[str]) -> str:
    named = ", ".join(map(repr, lacks[:_MOST_NAMED])) + ", ..." * (len(lacks) > _MOST_NAMED)
    return f"    {split} lacks {counted(len(lacks), 'label')}: {named}"

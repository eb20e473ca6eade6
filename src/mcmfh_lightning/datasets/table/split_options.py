"""Options of a manifest's splits: what they mean, and which of them contradict each other."""

from collections.abc import Sequence

from mcmfh_lightning.datasets.splits import SplitPlan, parse_shares
from mcmfh_lightning.datasets.table.rows import SplitBy
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards.info import SPLITS, Split


def choose_split(split_by: SplitBy | None, resplit: str | None, split_names: Sequence[str] | None) -> SplitBy | None:
    """Decide what splits are made of; None leaves it to the columns of the table.

    Raises:
        DataError: If the options contradict each other.
    """
    if resplit is not None and split_by == "given":
        raise DataError("--resplit draws new splits, --split-by given takes those of the manifest; drop one of them")
    chosen = split_by if split_by is not None or resplit is None else "group"
    if split_names and chosen in ("group", "date"):
        raise DataError("--split-names is about the splits of the manifest, and new ones are drawn; drop one of them")
    return chosen


def plan_split(by: SplitBy, resplit: str | None, *, stratify: bool, labels: bool) -> SplitPlan:
    """Plan how a manifest is split.

    Args:
        by: What splits are made of.
        resplit: Per cent of train, val and test, or None for 80/10/10.
        stratify: Whether drawn splits are stratified by label.
        labels: Whether there are labels.

    Raises:
        DataError: If splits that are not drawn shall not be stratified: drawn ones may have been meant.
    """
    if not stratify and by != "group":
        source = "the column of splits" if by == "given" else "dates"
        raise DataError(
            f"--no-stratify is about splits that are drawn, and these are taken from {source}; leave it out, or pass "
            "--split-by group"
        )
    return SplitPlan(by, parse_shares(resplit or "80/10/10"), stratify=stratify and labels and by == "group")


def named_splits(pairs: Sequence[str]) -> dict[str, Split]:
    """Read pairs such as ``dev=val``.

    Raises:
        DataError: If one is not a name and a split, or two give one name two splits.
    """
    splits: dict[str, Split] = {}
    for pair in pairs:
        name, _, target = (part.strip() for part in pair.rpartition("="))
        split = next((split for split in SPLITS if split == target), None)
        if not name or split is None:
            near = did_you_mean(target, SPLITS) if name else ""
            raise DataError(f"--split-names {pair!r}: write NAME=train, NAME=val or NAME=test, such as dev=val{near}")
        if splits.setdefault(name, split) != split:
            raise DataError(f"--split-names gives {name!r} two splits, {splits[name]} and {split}; drop one of them")
    return splits

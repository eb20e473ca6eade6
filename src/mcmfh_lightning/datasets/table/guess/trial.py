"""A trial of proposed options: the table is read as the converter reads it, without its images."""

from collections import Counter
from pathlib import Path
from typing import cast

from mcmfh_lightning.datasets.table.guess.proposal import Proposal, Value
from mcmfh_lightning.datasets.table.read import read_manifest
from mcmfh_lightning.datasets.table.rows import Reading, SplitBy
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.info import Split

_FIELDS = ("id", "image", "text", "labels", "group", "date", "split", "source", "licence")
_MOST_HINTS = 3


def try_options(manifest: Path, images: Path, proposal: Proposal) -> None:
    """Read a table by the proposed options, and say what the converter would refuse or remark.

    Args:
        manifest: The table.
        images: Folder of its images.
        proposal: The options; takes what is odd.
    """
    try:
        read = read_manifest(manifest, images, _reading(proposal))
    except DataError as error:
        proposal.odd.insert(0, f"it cannot be converted so: {str(error).removeprefix(f'{manifest}, ')}")
        return
    bad = {problem.row for problem in read.problems}
    proposal.odd += [hint.removeprefix(f"{manifest}: ") for hint in read.hints[:_MOST_HINTS]]
    if bad:
        reasons = Counter(problem.reason for problem in read.problems)
        counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(4))
        rows = f"bad rows: {len(bad):,} of {len(bad) + len(read.candidates):,} ({counts}), the first is row {min(bad)}"
        proposal.odd.insert(0, f"{rows}; correct them, or pass --skip-bad-rows")


def _reading(proposal: Proposal) -> Reading:
    options = proposal.options

    def texts(name: str) -> list[str]:
        value: Value = options.get(name, [])
        return value if isinstance(value, list) else [str(value)]

    columns = {field: str(options.get(f"{field}-column", field)) for field in _FIELDS}
    if "label-columns" in options or "no-labels" in options:
        del columns["labels"]
    named = [name.rpartition("=") for name in texts("split-names")]
    return Reading(
        columns=columns,
        label_columns=texts("label-columns"),
        encoding=str(options.get("encoding", "utf-8")),
        label_separator=str(options.get("label-separator", ";")),
        uncertain_is_present=False,
        normal_labels=texts("normal-label"),
        date_formats=texts("date-format"),
        split_names={name: cast(Split, split) for name, _, split in named},
        split_by=cast(SplitBy, options.get("split-by", "group")),
        source="",
        licence="",
        prefix_labels="prefix-labels" in options,
        delimiter=cast("str | None", options.get("delimiter")),
    )

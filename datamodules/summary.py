"""The account of a conversion, as a table."""

from collections.abc import Mapping

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mcmfh_lightning.datamodules.labels import describe_broad_labels
from mcmfh_lightning.datamodules.shards import DatasetInfo
from mcmfh_lightning.terminal import without_controls

_TOP_LABELS = 10


def summary_table(info: DatasetInfo) -> Group:
    """Render what was read, skipped and kept, the splits and the labels of a converted data set."""
    summary = info.settings["summary"]
    table = Table(title=f"{info.name}: {info.source}", caption=info.licence, title_justify="left")
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_column("examples")
    for what, count in _most_first(summary["read"]):
        table.add_row(what, f"{count:,}")
    table.add_section()
    for reason, count in info.skipped.items():
        table.add_row(f"skipped: {reason}", f"{count:,}", ", ".join(info.skipped_examples[reason][:2]))
    table.add_section()
    for trait, count in _most_first(summary["kept"]):
        table.add_row(f"kept, {trait}", f"{count:,}")
    table.add_section()
    for split, entry in info.splits.items():
        chance = summary["share_probability"][split]
        table.add_row(f"pairs written: {split}", f"{entry.pairs:,}", f"P(share a label) {chance:.3f}")
    total = sum(entry.pairs for entry in info.splits.values())
    chance = summary["share_probability"]["all"]
    table.add_row("pairs written: all", f"{total:,}", f"P(share a label) {chance:.3f}")
    shares = {label: count / total for label, count in summary["label_pairs"].items()}
    broad = describe_broad_labels(chance, shares, info.normal_label)
    return Group(table, _label_table(info, total), *([Text(without_controls(broad))] if broad else []))


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])


def _label_table(info: DatasetInfo, total: int) -> Table:
    summary = info.settings["summary"]
    counts, gloss, dropped = summary["label_pairs"], summary["label_gloss"], summary["dropped_labels"]
    title = f"{len(counts)} labels, the most frequent"
    if dropped:
        title += f"; {len(dropped)} others dropped on purpose"
    table = Table(title=title, title_justify="left")
    table.add_column("label")
    if gloss:
        table.add_column("word")
    table.add_column("pairs", justify="right")
    table.add_column("share", justify="right")
    for label in info.label_vocabulary[:_TOP_LABELS]:
        cells = [
            label,
            *([gloss.get(label, "")] if gloss else []),
            f"{counts[label]:,}",
            f"{counts[label] / total:.1%}",
        ]
        table.add_row(*cells)
    return table

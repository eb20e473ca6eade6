"""The report as a table."""

from rich.table import Table
from rich.text import Text

from mcmfh_lightning.datamodules.verify.checks import Check
from mcmfh_lightning.datamodules.verify.report import Report, Result
from mcmfh_lightning.terminal import without_controls

_STYLES: dict[Result, str] = {"ok": "green", "warning": "yellow", "failed": "bold red", "nothing to look at": "dim"}


def verify_table(report: Report, title: str) -> Table:
    """One row a check: the result, how many were looked at and found, examples, and the mend."""
    table = Table(title=Text(title), title_justify="left")
    table.add_column("check", min_width=24)
    table.add_column("result", no_wrap=True)
    table.add_column("looked at", justify="right", no_wrap=True)
    table.add_column("found", justify="right", no_wrap=True)
    table.add_column("examples and mend", ratio=1)
    for check, row in report.rows.items():
        result = report.result(check)
        found = f"{row.count:,}" if row.count else ""
        # Text and not markup: names in a damaged folder may hold anything.
        told = Text(without_controls(_told(check, row.examples, row.count)), overflow="fold")
        table.add_row(Text(check.name), Text(result, style=_STYLES[result]), f"{row.looked_at:,}", found, told)
    return table


def _told(check: Check, examples: list[str], count: int) -> str:
    if not count:
        return ""
    return "\n".join([*examples, f"mend: {check.mend}"])

"""Progress of commands that work on many items."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def items_bar() -> Progress:
    """Make a progress bar on standard error that counts items or queries."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Without a terminal, even a bar that is not shown leaves an empty line.
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

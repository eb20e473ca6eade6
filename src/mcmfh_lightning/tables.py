"""Tables and paragraphs that commands print: lines of at most 100 columns, ASCII rules, numbers whole and to the right.

Nothing here imports torch.
"""

import re
import shlex
import textwrap
from collections.abc import Collection, Iterable, Sequence

from rich.box import Box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mcmfh_lightning.errors import without_controls

WIDTH = 100
"""Columns of a table or a paragraph, on wider terminals and where output goes to a file."""
_LONGEST_NAME = 60
"""Characters of a name in a list."""
# One rule below the headings, of characters that every terminal has.
_RULES = Box("    \n    \n -- \n    \n -- \n -- \n    \n    \n", ascii=True)


def make_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    numbers: Collection[str] = (),
    whole: Collection[str] = (),
    header: bool = True,
) -> Group:
    """Make a table with its title; nothing in it is read as markup, or by the terminal.

    Args:
        title: Line above it; empty for none.
        columns: Headings.
        rows: Cells.
        numbers: Headings of the columns that are aligned to the right and never wrapped.
        whole: Headings of other columns that are never wrapped.
        header: Whether the headings are shown.
    """
    table = Table(box=_RULES, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), show_header=header)
    cells = [[_text(cell) for cell in row] for row in rows]
    for at, heading in enumerate(columns):
        kept = heading in numbers or heading in whole
        # A column that is too wide for the terminal is cut by rich, numbers too: the least width holds every cell.
        widest = max((row[at].cell_len for row in cells), default=0)
        least = max(widest, *map(len, heading.split("\n"))) if header else widest
        table.add_column(
            _text(heading),
            justify="right" if heading in numbers else "left",
            no_wrap=kept,
            min_width=least if kept else None,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*row)
    return Group(*([paragraph(title, "bold")] if title else []), table)


def paragraph(text: str, style: str = "") -> Text:
    """Wrap a text at the width of tables; words, such as paths, stay whole."""
    wrapper = textwrap.TextWrapper(WIDTH, break_long_words=False, break_on_hyphens=False)
    lines = "\n".join(map(wrapper.fill, without_controls(text).split("\n")))
    return Text(lines, style, no_wrap=True, overflow="ignore")


def command_line(words: Sequence[str], prefix: str = "") -> Text:
    r"""Write a command that can be pasted: where it is too wide, lines end in a backslash between options.

    >>> print(command_line(["mcmfh", "test", "--config", "a b.yaml"], "$ "))
    $ mcmfh test --config 'a b.yaml'
    """
    # A value stays on the line of its option.
    parts = re.sub(r" (?=--)", "\0", " ".join(shlex.quote(word) for word in words)).split("\0")
    lines = [prefix + parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + len(" \\ ") <= WIDTH:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return Text(" \\\n".join(lines), no_wrap=True, overflow="ignore")


def show(*parts: RenderableType) -> None:
    """Print tables and paragraphs on standard output, without blanks at the ends of lines."""
    console = Console(highlight=False)
    # A file or a pipe has no width of its own.
    console.width = min(max(console.width, 80), WIDTH) if console.is_terminal else WIDTH
    console.out(_rendered(console, parts), end="")  # ends well where the reader of a pipe has ended


def as_text(*parts: RenderableType) -> str:
    """Write tables and paragraphs as plain text, for a file."""
    return _rendered(Console(width=WIDTH, color_system=None, force_terminal=False), parts)


def _rendered(console: Console, parts: Sequence[RenderableType]) -> str:
    with console.capture() as capture:
        console.print(Group(*parts), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def counted(number: int, one: str, several: str | None = None) -> str:
    """Write a number with its noun.

    >>> counted(1, "item"), counted(2000, "item"), counted(0, "query", "queries")
    ('1 item', '2,000 items', '0 queries')
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def quoted(names: Iterable[str], most: int = 12) -> str:
    """Write names in quotes with commas between, long ones cut, and how many more there are.

    >>> quoted(["a", "b c"])
    "'a', 'b c'"
    """
    return listed((repr(name) for name in names), most)


def listed(names: Iterable[str], most: int = 12) -> str:
    """Write names with commas between, long ones cut, and how many more there are.

    A name may be a whole file: the header of a table that is read with a wrong encoding.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    shown = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..." for name in names]
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more:,} more" if more > 0 else "")


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(without_controls(cell))

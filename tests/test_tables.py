"""Tables on a terminal: nothing wider than 100 columns, numbers whole, nothing read as markup, ASCII alone."""

import os
import pty
import shlex
import subprocess
import sys

import pytest
from rich.text import Text

from mcmfh_lightning.tables import WIDTH, as_text, command_line, counted, make_table, paragraph, show

ROWS = [["x" * 150, "1,234,567.890123", "words " * 40], ["[bold]a[/nothing]", "2", "\x1b[2J"]]
COLUMNS = ("name", "a number", "text")


def table(**more):
    return make_table("A title", COLUMNS, ROWS, numbers=("a number",), **more)


def test_lines_fit_and_numbers_are_whole_and_to_the_right():
    lines = as_text(table()).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[0] == "A title"
    assert all(line == line.rstrip() for line in lines)
    (first,) = (line for line in lines if "1,234,567.890123" in line)
    (second,) = (line for line in lines if line.startswith("[bold]"))
    end = first.index("1,234,567.890123") + len("1,234,567.890123")
    assert second[end - 1] == "2"
    assert "".join(line.split()[0] for line in lines if line.startswith("xxx")) == "x" * 150


def test_nothing_is_read_as_markup_or_by_the_terminal():
    shown = as_text(table(), make_table("[/x]", ["[red]"], [[Text("[a]")]]), paragraph("[b] \x1b[2J"))
    assert all(text in shown for text in ("[bold]a[/nothing]", "[/x]", "[red]", "[a]", "[b]"))
    assert "\x1b" not in shown


def test_it_is_ascii_whatever_the_terminal(capsys):
    show(table())
    assert capsys.readouterr().out.isascii() is False  # the mark of a control character, which is data
    show(make_table("t", COLUMNS, ROWS[:1], numbers=("a number",)))
    assert capsys.readouterr().out.isascii()


def test_headings_can_be_left_out():
    lines = as_text(make_table("", ("a", "b"), [["x", "1"], ["y", "10"]], numbers=("b",), header=False)).splitlines()
    assert lines == ["x   1", "y  10"]


def test_a_narrow_terminal_cuts_no_number():
    """Rich itself would write 1,234,5... there."""
    code = (
        "from mcmfh_lightning.tables import make_table, show\n"
        "names = [f'number {n}' for n in range(9)]\n"
        "show(make_table('t', ['name', *names], [['a' * 30, *['1,234,567.89'] * 9]], numbers=names))\n"
    )
    primary, secondary = pty.openpty()
    env = os.environ | {"COLUMNS": "60", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", code], stdout=secondary, env=env, check=True)
    os.close(secondary)
    printed = os.read(primary, 65536).decode()
    assert printed.count("1,234,567.89") == 9
    assert "…" not in printed


def test_a_paragraph_keeps_paths_whole():
    path = "/a/folder/" + "x" * 120 + "/file.json"
    lines = as_text(paragraph("word " * 30 + path)).splitlines()
    assert lines[-1] == path
    assert max(map(len, lines[:-1])) <= WIDTH
    assert as_text(paragraph("骨" * 20)) == "骨" * 20 + "\n"


@pytest.mark.parametrize(
    "words",
    [
        ["mcmfh", "test"],
        ["mcmfh-data", "openi", *(word for n in range(9) for word in (f"--option-{n}", f"a value {n}")), "--switch"],
        ["mcmfh", "test", "--config", "x" * 150, "--text", 'it\'s "quoted" $HOME'],
    ],
)
def test_a_command_can_be_pasted(words):
    printed = command_line(words, "$ ").plain
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {printed.removeprefix('$ ')}"], capture_output=True, text=True)
    assert done.stdout.splitlines() == words
    assert shlex.split(printed.replace("\\\n", ""))[1:] == words
    for line in printed.splitlines():
        assert len(line) <= WIDTH or "x" * 150 in line


def test_counts_have_their_plural():
    assert [counted(number, "item") for number in (0, 1, 2, 12345)] == ["0 items", "1 item", "2 items", "12,345 items"]

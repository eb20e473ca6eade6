"""Command lines of mcmfh-data, mcmfh-bench and mcmfh-archive: values, misspellings, help pages and completion."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from cyclopts import Parameter

from mcmfh_lightning import __version__
from mcmfh_lightning.cli import archive, bench, data
from mcmfh_lightning.cli import main as mcmfh
from mcmfh_lightning.cli.command_line import build_app, commands_of_options, run_subcommand
from mcmfh_lightning.cli.help import PAGES
from mcmfh_lightning.datasets.roco import RocoOptions

PROGRAMS: Mapping[str, ModuleType] = {"mcmfh-archive": archive, "mcmfh-bench": bench, "mcmfh-data": data}
ALL: Mapping[str, ModuleType] = {**PROGRAMS, "mcmfh": mcmfh}
"""With the one whose commands have a help of their own."""
COMMANDS = [(program, command) for program, module in PROGRAMS.items() for command in module.COMMANDS]
TEXTS = [
    "null",
    "~",
    "007",
    "[x]",
    "[a, b]",
    '["a"]',
    "{a: 1}",
    "true",
    "none",
    "-x",
    "-1",
    "",
    "a=b",
    "O'Hara, Zoë",
    "@x",
]
LINES, COLUMNS = 50, 100


class Seen:
    """A program whose commands keep what they are called with."""

    values: Mapping[str, Any]

    def run(self, *words: str) -> Mapping[str, Any]:
        def look(
            folder: str,
            *,
            text: str | None = None,
            ids: list[str] | None = None,
            k: list[int] | None = None,
            radius: int | None = None,
            scale: tuple[float, float] | None = None,
            erase: bool = False,
            has_image: bool | None = None,
            split_by: Literal["given", "group", "date"] = "given",
            out: Path | None = None,
        ) -> None:
            """Look at a folder.

            Args:
                folder: Folder with values such as [0, 4095] and [bold]loud[/bold].
                text: A text.
                ids: Ids.
                k: Depths.
                radius: A radius.
                scale: Two numbers.
                erase: A switch.
                has_image: Only items that have one.
                split_by: Source of the splits.
                out: A file.
            """
            self.values = locals()

        def roco(*, out: Path, options: Annotated[RocoOptions, Parameter(name="*")]) -> None:
            """Convert ROCO."""
            self.values = locals()

        run_subcommand("program", {"look": look, "roco": roco}, words)
        return self.values

    def refused(self, capsys: pytest.CaptureFixture[str], *words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            self.run(*words)
        assert stop.value.code == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("program: error: ")
        assert printed.err.count("\n") == 1
        return printed.err.removeprefix("program: error: ").removesuffix("\n")


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("equals", [False, True])
def test_a_text_is_the_text_that_it_is(seen, text, equals):
    for option, value in (("text", text), ("ids", [text]), ("out", Path(text))):
        words = [f"--{option}={text}"] if equals else [f"--{option}", text]
        assert seen.run("look", "X", *words, "--erase")[option] == value
        assert seen.run("look", *words, "X")[option] == value
    assert seen.run("look", "--", text)["folder"] == text


def test_after_two_hyphens_nothing_is_an_option(seen):
    assert seen.run("look", "--", "--help")["folder"] == "--help"


def test_a_value_that_begins_with_two_hyphens_is_joined(seen, capsys):
    assert seen.run("look", "X", "--text=--erase")["text"] == "--erase"
    said = seen.refused(capsys, "look", "X", "--text", "--erase")
    assert said == "--text needs a value; one that begins with -- is written --text=--VALUE; help: program look --help"


def test_several_values_repeat_the_option(seen):
    values = seen.run("look", "X", "--ids", "a b", "--k", "5", "--ids=-c", "--k=7")
    assert (values["ids"], values["k"]) == (["a b", "-c"], [5, 7])


def test_names_are_spelled_with_hyphens_or_underscores(seen):
    for words in (["--split-by", "date", "--has-image"], ["--split_by=date", "--has_image"]):
        values = seen.run("look", "--folder", "X", *words)
        assert (values["folder"], values["split_by"], values["has_image"]) == ("X", "date", True)


def test_switches_stand_alone_or_have_a_value(seen):
    for words, value in ((["--has-image", "false"], False), (["--has-image=false"], False), (["--has-image"], True)):
        assert seen.run("look", "X", *words)["has_image"] is value
        assert seen.run("look", *words, "X")["folder"] == "X"
    assert seen.run("look", "X", "--erase", "true")["erase"] is True


def test_two_numbers_may_be_negative(seen):
    assert seen.run("look", "X", "--scale", "-1000", "400.5")["scale"] == (-1000.0, 400.5)


def test_options_of_a_dataclass_are_options_of_the_command(seen):
    options = seen.run("roco", "--out", "X", "--root", "R", "--min_label_count", "3", "--split-by", "date")["options"]
    assert options == RocoOptions(root=Path("R"), min_label_count=3, split_by="date")


WRONG = {
    "nothing": ([], "which command? There are look, roco; help: program --help"),
    "command": (["lok"], "lok is not a command of program; did you mean 'look'?; help: program --help"),
    "other command": (["zzz"], "zzz is not a command of program; commands: look, roco; help: program --help"),
    "command with help": (
        ["lok", "--help"],
        "lok is not a command of program; did you mean 'look'?; help: program --help",
    ),
    "option first": (["--text", "x", "look"], "the command comes first: program look --text ...; help: program --help"),
    "program option": (
        ["--vrsion"],
        "--vrsion is not an option of program; did you mean '--version'?; help: program --help",
    ),
    "option": (["look", "X", "--txt", "x"], "--txt is not an option of program look; did you mean '--text'?"),
    "old style": (
        ["look", "X", "--split_bi", "x"],
        "--split_bi is not an option of program look; did you mean '--split-by'?",
    ),
    "misspelled and missing": (
        ["roco", "--out", "x", "--rot", "y"],
        "--rot is not an option of program roco; did you mean",
    ),
    "short": (["look", "X", "-k"], "'-k' belongs to no option"),
    "choice": (
        ["look", "X", "--split-by", "dat"],
        "--split-by 'dat' is not one of given, group, date; did you mean 'date'?",
    ),
    "number": (["look", "X", "--radius", "ten"], "--radius 'ten' is not a whole number"),
    "part of a number": (["look", "X", "--k", "10.7"], "--k '10.7' is not a whole number"),
    "list": (["look", "X", "--k", "[5, 7]"], "--k '[5, 7]' is not a whole number"),
    "several": (["look", "X", "--ids", "a", "b c"], "repeat --ids for several values: --ids a --ids 'b c'"),
    "twice": (["look", "X", "--text", "a", "--text", "b"], "--text takes one value and is given several times"),
    "too many": (["look", "X", "Y"], "'Y' belongs to no option; put a value with blanks in quotes"),
    "blanks": (
        ["look", "X", "--text", "left", "lung"],
        "'lung' belongs to no option; put a value with blanks in quotes",
    ),
    "value of a switch": (["look", "X", "--erase", "all"], "--erase takes no value, and 'all' follows it"),
    "joined to a switch": (["look", "X", "--erase=all"], "--erase 'all' is not true or false"),
    "no value": (["look", "X", "--radius"], "--radius needs a value; help: program look --help"),
    "one of two numbers": (["look", "X", "--scale", "5"], "--scale takes two numbers, such as --scale 0 4095"),
    "brackets": (["look", "X", "--scale", "[0, 4095]"], "--scale takes two numbers, such as --scale 0 4095"),
    "no folder": (["look", "--text", "x"], "FOLDER is missing; help: program look --help"),
    "no option": (["roco", "--out", "x"], "--root is missing; help: program roco --help"),
    "neither folder nor option": (["roco", "--roo"], "--roo is not an option of program roco; did you mean '--root'?"),
    "no options": (["roco"], "--out and --root are missing; help: program roco --help"),
    "no split": (["roco", "--out", "x", "--root", "y", "--resplit", "9"], "9"),
    "after the hyphens": (["look", "X", "--", "--text"], "'--text' belongs to no option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_command_line_is_one_line(seen, capsys, case):
    words, said = WRONG[case]
    assert said in seen.refused(capsys, *words)


@pytest.mark.parametrize("program", ALL)
def test_every_program_says_its_version(program, capsys):
    ALL[program].main(["--version"])
    assert capsys.readouterr().out == f"mcmfh-lightning {__version__}\n"


@pytest.mark.parametrize("program", ALL)
def test_the_help_of_a_program_has_a_line_for_each_command(program, capsys):
    ALL[program].main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    start = lines.index("Commands:") + 1
    assert [line.split()[0] for line in lines[start : lines.index("", start)]] == list(ALL[program].COMMANDS)
    assert lines[-1] == "Research use, not diagnosis."


@pytest.mark.parametrize(("program", "command"), COMMANDS)
def test_the_help_of_a_command_fits_a_screen(program, command, capsys):
    main = PROGRAMS[program].main
    main([command, "--help"])
    short = capsys.readouterr().out
    main([command, "--help", "all"])
    full = capsys.readouterr().out
    main([command, "--help=all"])
    assert capsys.readouterr().out == full
    assert len(short.splitlines()) <= LINES
    assert max(map(len, full.splitlines())) <= COLUMNS
    assert full.isascii()
    assert f"Usage: {program} {command}" in short
    assert "Research use, not diagnosis." in short
    options = _options(program, command)
    labels = [option.name if option.index is None else f"  {option.name.lstrip('-').upper()} " for option in options]
    assert all(label in full for label in labels)
    assert (f"{program} {command} --help all" in short) == (_names(short) != _names(full))
    assert set(PAGES[program].main_options.get(command, "").split()) <= {option.name[2:] for option in options}
    for description in _descriptions(full):
        assert description[:1] == description[:1].upper(), description
        assert description.endswith("."), description


def _options(program: str, command: str) -> list[Any]:
    app = build_app(program, ALL[program].COMMANDS)
    options = app[command].assemble_argument_collection(parse_docstring=True)
    return [option for option in options if option.show and not option.children]


def _names(screen: str) -> set[str]:
    return {line.split()[0] for line in screen.splitlines() if line.startswith("  -")}


def _descriptions(screen: str) -> Iterator[str]:
    """The descriptions of a screen, each in one line."""
    text = ""
    for line in screen.splitlines():
        if line.startswith(" " * 26):
            text += " " + line.strip()
        else:
            if text:
                yield text.strip()
            text = line[26:] if line.startswith("  -") and not line.startswith("  --help") else ""


def test_examples_of_the_help_are_command_lines_that_can_be_read():
    """Each word that looks like an option is one, and nothing that a command needs is missing."""
    for program, page in PAGES.items():
        for example in page.examples:
            name, command, *words = example.split()
            assert name == program
            known = {name for option in _options(program, command) for name in option.names}
            assert {word for word in words if word.startswith("--")} <= known
            needed = {option.name for option in _options(program, command) if option.required and option.index is None}
            assert needed <= set(words)


def test_help_texts_are_shown_as_they_are(seen, capsys):
    with pytest.raises(AttributeError):  # no command is run
        seen.run("look", "--text", "--help")
    screen = " ".join(capsys.readouterr().out.split())
    assert "Folder with values such as [0, 4095] and [bold]loud[/bold]." in screen
    assert "Source of the splits. One of given, group, date. Default: given." in screen
    assert "Ids. Can be repeated." in screen


def test_an_empty_name_leaves_an_array_out(tmp_path):
    keys = bench.Keys(groups="", ids="null")
    assert keys.names_in(tmp_path, ["codes", "labels", "groups", "ids"]) == ["codes", "labels"]
    assert "null" in keys.names_in(tmp_path, ["codes", "labels", "null"])


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZSH", raising=False)
    monkeypatch.delenv("ZSH_CUSTOM", raising=False)
    return tmp_path


def completed(script: Path, *words: str) -> list[str]:
    """What bash offers for the last word of a command line."""
    function = "_" + words[0].replace("-", "_")
    code = (
        f'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); {function}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    run = ["bash", "-c", code, "bash", str(script), *words]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("program", ALL)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_written_where_the_shell_looks_and_nowhere_else(home, program, shell, capsys):
    ALL[program].main(["--install-completion", "--shell", shell])
    files = [path for path in home.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert str(files[0]) in capsys.readouterr().out
    script = files[0].read_text(encoding="utf-8")
    assert all(command in script for command in ALL[program].COMMANDS)
    if shell == "bash":
        subprocess.run(["bash", "-n", str(files[0])], check=True)
        assert set(completed(files[0], program, "")) == set(ALL[program].COMMANDS)


def test_bash_completes_commands_options_and_choices(home):
    script = home / "data.bash"
    data.main(["--install-completion", "--shell", "bash", "--out", str(script)])
    assert completed(script, "mcmfh-data", "man") == ["manifest"]
    assert completed(script, "mcmfh-data", "roco", "--spl") == ["--split-by"]
    assert completed(script, "mcmfh-data", "roco", "--split-by", "a") == ["article"]
    assert not [path for path in home.iterdir() if path != script]


def test_a_start_up_file_is_changed_only_where_it_is_asked_for(home):
    data.main(["--install-completion", "--shell", "bash", "--add-to-startup"])
    assert str(home / ".local") in (home / ".bashrc").read_text(encoding="utf-8")


def test_a_program_with_another_parser_is_completed_from_a_list(home):
    options = [("--data.root DIR", "Features."), ("--trainer.max-epochs N", "Epochs.")]
    script = home / "mcmfh.bash"
    words = ["--install-completion", "--shell", "bash", "--out", str(script)]
    run_subcommand("mcmfh", commands_of_options({"fit": ("Train.", options), "demo": ("Draw.", [])}), words)
    assert completed(script, "mcmfh", "") == ["fit", "demo"]
    assert completed(script, "mcmfh", "fit", "--d") == ["--data.root"]
    assert completed(script, "mcmfh", "fit", "--data.root", str(home / "mc")) == [str(script)]

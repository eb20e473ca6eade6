"""Help pages of programs and of their commands: plain text, 100 columns, at most one screen."""

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import TextWrapper

from cyclopts import App
from cyclopts.argument import Argument

from mcmfh_lightning.cli.usage import choices, kinds, shown_name
from mcmfh_lightning.tables import WIDTH

_INDENT = 26
"""Column in which descriptions begin."""
_METAVARS = {int: "N", float: "LOW HIGH", Path: "PATH", str: "TEXT"}


@dataclass(frozen=True)
class ProgramPage:
    """Summary, examples and main options of a program.

    Args:
        summary: What the program is for.
        examples: Command lines that can be typed; those of a command are shown on its page too.
        main_options: Names of the options that most people need, by command; the page of another command shows all.
    """

    summary: str = ""
    examples: tuple[str, ...] = ()
    main_options: Mapping[str, str] = field(default_factory=dict)


PAGES: Mapping[str, ProgramPage] = {
    "mcmfh": ProgramPage(
        summary="Medical cross-modal hashing: train, evaluate and apply hashers. Other programs: mcmfh-data (make and\n"
        "inspect data), mcmfh-bench (evaluate codes, run sweeps), mcmfh-archive (search).",
        examples=(
            "mcmfh demo",
            "mcmfh init --manifest pairs.csv --images films",
            "mcmfh fit --config experiments/query_towers.yaml --data.root FEATURES --run-dir RUN",
            "mcmfh test --config experiments/query_towers.yaml --data.root FEATURES --run-dir RUN",
        ),
    ),
    "mcmfh-data": ProgramPage(
        summary="Make and inspect data: pair shards, of images and texts, and feature shards, of encoded pairs.",
        examples=(
            "mcmfh-data manifest --manifest pairs.csv --images films --out data/pairs",
            "mcmfh-data openi --out data/openi",
            "mcmfh-data mimic-cxr --root mimic-cxr-jpg --reports mimic-cxr --out data/mimic",
            "mcmfh-data padchest --root padchest --out data/padchest",
            "mcmfh-data chexpert-plus --root chexpert-plus --out data/chexpert-plus",
            "mcmfh-data phantom --out data/phantom --studies 200",
            "mcmfh-data roco --root roco-dataset --out data/roco",
            "mcmfh-data rocov2 --root rocov2 --out data/rocov2",
            "mcmfh-data verify data/pairs",
            "mcmfh-data stats data/pairs --out report",
        ),
        main_options={
            "manifest": "manifest images out id-column image-column text-column labels-column label-columns "
            "group-column date-column split-column label-separator normal-label split-by resplit seed "
            "min-label-count skip-bad-rows",
        },
    ),
    "mcmfh-bench": ProgramPage(
        summary="Evaluate codes of any program, run sweeps, and write model cards.",
        examples=(
            "mcmfh-bench rank --query codes.npz --database codes.npz --k 10 --k 50 --out report",
            "mcmfh-bench sweep sweeps/experts_bits.yaml --jobs 2",
            "mcmfh-bench card runs/a --out README.md",
        ),
    ),
    "mcmfh-archive": ProgramPage(
        summary="Build, change, search and serve an archive of encoded images and texts.",
        examples=(
            "mcmfh-archive build archive --checkpoint runs/a/fit/checkpoints/best.ckpt --pairs data/pairs",
            "mcmfh-archive add archive --pairs data/new",
            "mcmfh-archive delete archive --ids 'film 20' --ids 'film 21'",
            'mcmfh-archive search archive --text "small left pleural effusion" --k 10',
            "mcmfh-archive search archive --image film.png --labels effusion --since 2020-01-01",
            "mcmfh-archive serve archive",
        ),
        main_options={
            "search": "archive text image id match k radius against labels any-labels since until groups "
            "without-groups splits has-image format out",
        },
    ),
}
"""By name of the program."""


def program_help(app: App) -> str:
    """Write the help of a program: one line a command, the first half of its first sentence."""
    name, page = app.name[0], PAGES.get(app.name[0], ProgramPage())
    lines = [f"Usage: {name} COMMAND [options]", "", page.summary, "", "Commands:"]
    commands = [command for command in app if not command.startswith("-")]
    indent = max(12, 4 + max(map(len, commands)))
    for command in commands:
        lines += _entry(command, re.split(r"[;:]\s|\.(?:\s|$)", " ".join(app[command].help.split()))[0], indent)
    lines += ["", f"{name} COMMAND --help shows the main options of a command, --help all shows every option."]
    lines += [f"{name} --install-completion lets the shell complete names of commands and options."]
    return _text([*lines, *_examples(page.examples)])


def command_help(app: App, command: str, *, everything: bool) -> str:
    """Write the help of a command.

    Args:
        app: The program.
        command: Name of the command.
        everything: Show every option, not only the main ones.
    """
    full, page = f"{app.name[0]} {command}", PAGES.get(app.name[0], ProgramPage())
    listed = app[command].assemble_argument_collection(parse_docstring=True)
    options = [option for option in listed if option.show and not option.children]  # no groups, no old names
    main = page.main_options.get(command, "").split()
    shown = [one for one in options if everything or not main or one.name.lstrip("-") in main or one.required]
    # An optional argument without dashes is one of any number of places.
    places = (_label(one) if one.required else f"[{_label(one)} ...]" for one in options if one.required or one.index)
    usage = " ".join(["Usage:", full, *places, "[options]"])
    lines = TextWrapper(WIDTH, subsequent_indent=" " * 8).wrap(usage)
    text = re.split(r"\n\n(?:Args|Raises|Example|Returns):\n", inspect.getdoc(app[command].default_command) or "")[0]
    for paragraph in text.split("\n\n"):
        lines += ["", *TextWrapper(WIDTH).wrap(" ".join(paragraph.split()))]
    lines += ["", *(line for option in shown for line in _entry(_label(option), _description(option)))]
    if len(shown) < len(options):
        lines += ["", f"{len(options) - len(shown)} more options: {full} --help all"]
    return _text([*lines, *_examples(example for example in page.examples if example.startswith(f"{full} "))])


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def _examples(examples: Iterable[str]) -> list[str]:
    lines = [f"  {example}" for example in examples]
    return ["", *(["Examples:", *lines, ""] if lines else []), "Research use, not diagnosis."]


def _entry(label: str, text: str, indent: int = _INDENT) -> list[str]:
    """Lay out a name and its description in two columns; a long name has a line of its own."""
    wrapper = TextWrapper(WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent, break_on_hyphens=False)
    lines = wrapper.wrap(text) or [""]
    left = f"  {label}"
    if len(left) + 2 > indent:
        return [left, *lines]
    return [left.ljust(indent) + lines[0].strip(), *lines[1:]]


def _label(option: Argument) -> str:
    """Return the option as it is typed, with what stands for its value."""
    if option.index is not None:
        return shown_name(option)
    if bool in kinds(option):
        return option.name if option.field_info.default is False else f"{option.name} [false]"
    values = choices(option)
    metavar = "CHOICE" if values else next((name for kind, name in _METAVARS.items() if kind in kinds(option)), "VALUE")
    return f"{option.name} {metavar}"


def _description(option: Argument) -> str:
    """Return what the docstring says, with choices and default where it does not name them."""
    text = " ".join((option.parameter.help or "").split())
    values = choices(option)
    if not all(re.search(rf"\b{re.escape(value)}\b", text) for value in values):
        text += f" One of {', '.join(values)}."
    default = option.field_info.default
    if isinstance(default, (int, float, str)) and default is not False and "Default" not in text:
        text += f" Default: {default}."
    if option.token_count()[1] and "epeat" not in text:
        text += " Can be repeated."
    return text

"""Options of ``mcmfh fit`` and the others, read without torch: their spelling, their order, and those of a class."""

import ast
import math
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

CONFIGS = ("-c", "--config")
_WHOLE = ("--model", "--data", "--trainer")
"""Options that set a whole section: written after an option of that section, they would reset it."""
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
"""Names that ``--trainer.accelerator`` takes."""
DIGITS = 18
"""Most digits of a whole number: those have 64 bits where they are used."""


def split_options(args: Sequence[str]) -> list[list[str]]:
    """Split a command line at its options, each with its value.

    Example:
        >>> split_options(["--a", "1", "--b=2", "-c", "file"])
        [['--a', '1'], ['--b=2'], ['-c', 'file']]
    """
    parts: list[list[str]] = []
    for arg in args:
        if arg.startswith("--") or arg in ("-c", "-h") or not parts:
            parts.append([arg])
        else:
            parts[-1].append(arg)
    return parts


def options_of(args: Sequence[str]) -> list[tuple[str, str]]:
    """List the options of a command line with their values, which are empty where there is none.

    Example:
        >>> options_of(["--a", "1", "--b=2", "-c"])
        [('--a', '1'), ('--b', '2'), ('-c', '')]
    """
    parts = ((*part[0].partition("="), *part[1:2]) for part in split_options(args))
    return [(name, value or "".join(after)) for name, _, value, *after in parts]


def underscored(arg: str) -> str:
    """Write the name of an option as Python does; its value is left alone.

    Example:
        >>> underscored("--data.global-batch-size=as-it-is")
        '--data.global_batch_size=as-it-is'
    """
    name, equals, value = arg.partition("=")
    return name.replace("-", "_").replace("__", "--", 1) + equals + value if arg.startswith("--") else arg


def hyphenated(name: str) -> str:
    """Write a dotted name as an option is shown.

    Example:
        >>> hyphenated("data.global_batch_size")
        '--data.global-batch-size'
    """
    return "--" + name.removeprefix("--").replace("_", "-")


def ordered(args: Sequence[str]) -> list[str]:
    """Put configs in front of the options that would be lost, and whole sections in front of their options.

    A section is whatever has options of its own on the command line, such as ``--model.hasher FILE`` with
    ``--model.hasher.num_bits 8``; one that is given several times, as callbacks are, keeps its place.

    LightningCLI lets what comes later win. An option before the first ``--config`` would thus be replaced by the file,
    or refused because its class is not known yet. Options between two configs keep their place. The result stays the
    same if it is ordered again, as in the processes that Lightning starts for several devices.

    Args:
        args: A subcommand and its options, with underscores.

    Example:
        >>> ordered(["fit", "--data.root", "x", "--config", "a.yaml"])
        ['fit', '--config', 'a.yaml', '--data.root', 'x']
    """
    parts = split_options(args[1:])
    places = [place for place, part in enumerate(parts) if part[0].partition("=")[0] in CONFIGS]
    first, last = (places[0], places[-1] + 1) if places else (0, 0)
    others = parts[:first] + parts[last:]
    # By the place that each sets, which may be spelled in two ways.
    names = [part[0].partition("=")[0].replace(".init_args", "") for part in others]
    whole = {name for name in names if names.count(name) == 1 and any(one.startswith(f"{name}.") for one in names)}
    # Stable: all else keeps its order, at the end.
    depths = [name.count(".") if name in whole.union(_WHOLE) else math.inf for name in names]
    others = [others[place] for place in sorted(range(len(others)), key=depths.__getitem__)]
    return [*args[:1], *(arg for part in parts[first:last] + others for arg in part)]


class Option(NamedTuple):
    """Argument of a class.

    Attributes:
        name: Its name in Python.
        default: The source of its default, such as ``"mean"``; None if it is required.
        text: What it is for.
    """

    name: str
    default: str | None
    text: str


def class_options(name: str) -> list[Option] | None:
    """List the arguments of a class by its name, in their order.

    ``**objective``, documented as "Fields of `FusionLoss`", stands for the fields of that class.

    Args:
        name: ``MCMFH``, or with its module.

    Returns:
        The arguments; None if this package has no such class.
    """
    node = _find(name.rpartition(".")[2]) if "." not in name or name.startswith("mcmfh_lightning.") else None
    if node is None:
        return None
    texts = _documented(ast.get_docstring(node) or "")
    init = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    if init is None:  # a dataclass
        fields = (one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name))
        inherited = [option for base in node.bases for option in class_options(ast.unparse(base)) or ()]
        return inherited + [_option(ast.unparse(one.target), one.value, texts) for one in fields]
    positional = [*init.args.posonlyargs, *init.args.args][1:]  # without self
    required = [None] * (len(positional) - len(init.args.defaults))
    defaults = [*required, *init.args.defaults, *init.args.kw_defaults]
    named = zip([*positional, *init.args.kwonlyargs], defaults, strict=True)
    options = [_option(argument.arg, default, texts) for argument, default in named]
    others = re.search(r"`(\w+)`", texts.get(init.args.kwarg.arg, "")) if init.args.kwarg else None
    return options + (class_options(others[1]) or [] if others else [])


def _option(name: str, default: ast.expr | None, texts: Mapping[str, str]) -> Option:
    return Option(name, None if default is None else ast.unparse(default), texts.get(name, ""))


def _find(name: str) -> ast.ClassDef | None:
    """Find the definition of a class in the source of the package."""
    for package in ("hashers", "encoders", "losses", "datamodules", "callbacks"):
        spec = find_spec(f"mcmfh_lightning.{package}")  # finds the folder without importing it
        for folder in (spec and spec.submodule_search_locations) or ():
            for file in sorted(Path(folder).glob("*.py")):
                source = file.read_text(encoding="utf-8")
                if re.search(rf"^class {re.escape(name)}\b", source, re.MULTILINE):
                    body = ast.parse(source).body
                    return next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name)
    return None


def _documented(docstring: str) -> dict[str, str]:
    """Read the section ``Args:`` of a docstring."""
    section = docstring.partition("\nArgs:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    \*{0,2}(\w+): (.*(?:\n     .*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}

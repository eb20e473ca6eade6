"""Options of a class of this package, read from its source: importing torch for a help screen takes seconds."""

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

_PACKAGES = ("hashers", "encoders", "losses", "datamodules", "callbacks")
_ENTRY = re.compile(r"^    (\*{0,2}\w+): (.*)$")


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
    if init is None:
        inherited = [option for base in node.bases for option in class_options(ast.unparse(base)) or ()]
        return inherited + [Option(*field, texts.get(field[0], "")) for field in _fields(node)]
    options = [Option(*argument, texts.get(argument[0], "")) for argument in _arguments(init.args)]
    others = re.search(r"`(\w+)`", texts.get(init.args.kwarg.arg, "")) if init.args.kwarg else None
    return options + (class_options(others[1]) or [] if others else [])


def _find(name: str) -> ast.ClassDef | None:
    """Find the definition of a class in the source of the package."""
    for package in _PACKAGES:
        spec = find_spec(f"mcmfh_lightning.{package}")  # finds the folder without importing it
        for folder in (spec and spec.submodule_search_locations) or ():
            for file in sorted(Path(folder).glob("*.py")):
                source = file.read_text(encoding="utf-8")
                if re.search(rf"^class {re.escape(name)}\b", source, re.MULTILINE):
                    body = ast.parse(source).body
                    return next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name)
    return None


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str | None]]:
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            yield one.target.id, None if one.value is None else ast.unparse(one.value)


def _arguments(arguments: ast.arguments) -> Iterator[tuple[str, str | None]]:
    positional = [*arguments.posonlyargs, *arguments.args][1:]  # without self
    required = [None] * (len(positional) - len(arguments.defaults))
    defaults = [*required, *arguments.defaults, *arguments.kw_defaults]
    for argument, default in zip([*positional, *arguments.kwonlyargs], defaults, strict=True):
        yield argument.arg, None if default is None else ast.unparse(default)


def _documented(docstring: str) -> dict[str, str]:
    """Read the section ``Args:`` of a docstring."""
    texts: dict[str, str] = {}
    section = docstring.partition("\nArgs:\n")[2].partition("\n\n")[0]
    name = ""
    for line in section.splitlines():
        if entry := _ENTRY.match(line):
            name = entry[1].lstrip("*")
            texts[name] = entry[2]
        elif name:
            texts[name] += " " + line.strip()
    return texts

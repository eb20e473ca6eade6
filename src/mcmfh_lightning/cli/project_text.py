"""Text of a project file: tables of options with comments, as TOML."""

import json
from collections.abc import Iterable, Mapping
from textwrap import wrap

from mcmfh_lightning.cli.project import UNDECIDED
from mcmfh_lightning.cli.project_keys import Value
from mcmfh_lightning.datasets.table.guess.columns import Choice
from mcmfh_lightning.errors import ConfigError

_WIDTH = 100
_MOST_IN_A_LINE = 3


def toml_value(value: Value) -> str:
    r"""Write a value as TOML.

    Raises:
        ConfigError: If it is half of a surrogate pair, as of a file name that is not UTF-8.

    Example:
        >>> print(toml_value('a "b" \\ c'), toml_value(["x", "y"]), toml_value(True), toml_value(3))
        "a \"b\" \\ c" ["x", "y"] true 3
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        items = [toml_value(item) for item in value]
        if len(items) > _MOST_IN_A_LINE:
            return "[\n" + "".join(f"  {item},\n" for item in items) + "]"
        return f"[{', '.join(items)}]"
    if isinstance(value, int):
        return str(value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{value!r}: a name that is not UTF-8 cannot be in a project file; rename it") from error
    # JSON's escapes are those of TOML; but TOML wants DEL and C1 controls escaped too, or readers refuse the file.
    escaped = json.dumps(value, ensure_ascii=False)
    return "".join(f"\\u{ord(c):04x}" if "\x7f" <= c <= "\x9f" else c for c in escaped)


def comment(text: str, width: int | None = _WIDTH) -> str:
    """Write a text as lines of comments of at most that width where words allow it; None writes one line."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    lines = [plain] if width is None else wrap(plain, width - 2, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


def table(
    name: str,
    options: Mapping[str, Value],
    note: str = "",
    reasons: Mapping[str, str] | None = None,
    choices: Iterable[Choice] = (),
) -> str:
    """Write a table: a note, its options, and what has to be chosen.

    Args:
        name: Such as ``mcmfh-data.manifest``.
        options: Its keys and values.
        note: Comment above it.
        reasons: Comment of each option, written after it, or above it if the line would be too long.
        choices: What its owner has to decide; proposals stand there as comments.
    """
    lines = [comment(note)] if note else []
    lines.append(f"[{name}]")
    for key, value in options.items():
        line = f"{key} = {toml_value(value)}"
        reason = comment(reasons[key]) if reasons and key in reasons else ""
        if reason and "\n" not in line + reason and len(line) + len(reason) + 2 <= _WIDTH:
            line = f"{line}  {reason}"
        elif reason:
            lines.append(reason)
        lines.append(line)
    asked = list(choices)
    for choice in asked:
        lines += ["", comment(f"CHOOSE: {choice.question.rstrip('.?')}? Remove the # before one line:")]
        for answer in choice.answers:
            meaning = f"  {comment(answer.meaning, width=None)}" if answer.meaning else ""
            value = " ".join(toml_value(answer.value).split("\n"))
            lines.append(f"# {answer.option} = {value}{meaning}")
        if not choice.answers:
            lines += [f'# {option} = "..."' for option in choice.options]
    if asked:
        names = [" or ".join(choice.options) for choice in asked]
        lines.append(f"{UNDECIDED} = {toml_value(names)}")
    return "\n".join(lines) + "\n"

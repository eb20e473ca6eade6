"""The ``mcmfh init`` command: look at a table of somebody's own collection, and write a project file for it."""

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Literal

from mcmfh_lightning.cli.project import PROJECT_FILE, UNDECIDED
from mcmfh_lightning.cli.project_keys import Value
from mcmfh_lightning.datasets.table.guess.columns import Choice, Proposal
from mcmfh_lightning.datasets.table.guess.look import propose
from mcmfh_lightning.errors import ConfigError, DataError, say
from mcmfh_lightning.files import atomic_write
from mcmfh_lightning.tables import WIDTH, counted, quoted

Encoder = Literal["offline", "biomedclip"]
_MOST_ODD = 8
_OF_ARCHIVE = ("search", "serve", "info", "verify", "add", "upsert", "delete", "reindex")
_NOTES = {
    "mcmfh-data.manifest": "Table and images to pair shards. `mcmfh-data manifest --help all` lists all options.",
    "mcmfh-data.verify": "Check the shards.",
    "mcmfh-data.stats": "Labels, groups, and what rankings that learn nothing reach.",
    "mcmfh.predict": "Encode the pairs.",
    "mcmfh.fit": "Train; validate and test take the best weights of the same run.",
    "mcmfh-archive.build": "An archive to search. With store-content it keeps texts and small pictures.",
}
_NEXT = (
    "mcmfh-data manifest, mcmfh-data verify, mcmfh predict, mcmfh fit, mcmfh test, mcmfh-archive build, "
    "mcmfh-archive search --text"
)


def init(
    *, manifest: Path, images: Path, out: Path = PROJECT_FILE, encoder: Encoder = "offline", force: bool = False
) -> None:
    """Look at a table of your own collection, propose how to read it, and write mcmfh.toml for the other commands.

    What the table does not say, such as which rows are of one patient, is left for you to choose in that file.

    Args:
        manifest: Table of the collection: .csv, .tsv, .jsonl or .parquet.
        images: Folder of its images.
        out: Project file to write. Commands read mcmfh.toml of the folder that they are started in.
        encoder: Encoder of images and texts. offline takes two towers of the extra `offline`, biomedclip the encoder of
            the paper from the model hub (784 MB).
        force: Replace the file if it exists.
    """
    if out.exists() and not force:
        raise DataError(f"{out} exists: pass --force to replace it, or another --out")
    if not out.parent.is_dir():
        raise DataError(f"{out.parent}: no such folder; make it, or correct --out")
    proposal = propose(manifest, images)
    text = project_text(manifest, images, out, encoder, proposal)
    with atomic_write(out) as stream:
        stream.write(text.encode())
    for line in _report(manifest, images, out, proposal):
        say(line)


def project_text(manifest: Path, images: Path, out: Path, encoder: Encoder, proposal: Proposal) -> str:
    """Write the tables of all commands for one collection, with comments."""
    name = re.sub(r"[^\w.-]+", "_", manifest.stem).strip("._") or "mine"
    run, pairs, features, archive = f"runs/{name}", "data/pairs", "data/features", "archive"
    folder = Path(str(proposal.options.get("images", images)))
    read: dict[str, Value] = {"manifest": _seen_from(out, manifest), "images": _seen_from(out, folder), "out": pairs}
    read |= {option: value for option, value in proposal.options.items() if option != "images"}
    config: dict[str, Value] = {"config": "experiments/query_towers.yaml", "data.root": features, "run-dir": run}
    tables: Mapping[str, Mapping[str, Value]] = {
        "mcmfh-data.verify": {"folder": pairs},
        "mcmfh-data.stats": {"folder": pairs, "out": "data/stats"},
        "mcmfh.predict": {
            "config": f"experiments/encode_{encoder}.yaml",
            "data.root": pairs,
            "model.output-dir": features,
            "run-dir": f"{run}/encode",
        },
        **dict.fromkeys(("mcmfh.fit", "mcmfh.validate", "mcmfh.test"), config),
        "mcmfh-archive.build": {
            "archive": archive,
            "features": features,
            "pairs": pairs,
            "checkpoint": f"{run}/fit/checkpoints/best.ckpt",
            **({} if encoder == "offline" else {"encoder": f"model/encoder_{encoder}.yaml"}),
            "store-content": True,
        },
        **{f"mcmfh-archive.{command}": {"archive": archive} for command in _OF_ARCHIVE},
    }
    head = comment(
        f"Options of the commands that are started in this folder; those of a command line win. Made by: mcmfh init "
        f"--manifest {shlex.quote(str(manifest))} --images {shlex.quote(str(images))}"
    )
    odd = "\n".join(comment(f"Odd: {text}") for text in proposal.odd)
    first = table("mcmfh-data.manifest", read, _NOTES["mcmfh-data.manifest"], proposal.reasons, proposal.choices)
    rest = [table(title, options, _NOTES.get(title, "")) for title, options in tables.items()]
    return "\n".join([head, *([odd] if odd else []), "", first, *rest])


def _seen_from(out: Path, path: Path) -> str:
    """Return a path as it is written in a project file: relative to its folder, unless it was given as absolute."""
    return str(path) if path.is_absolute() else os.path.relpath(path, out.parent)


def _report(manifest: Path, images: Path, out: Path, proposal: Proposal) -> Iterator[str]:
    """List what a person reads: the proposal, what is odd, what to choose, and the next commands."""
    yield f"{manifest}: {counted(proposal.rows, 'row')}, {proposal.trainable:,} of them with an image and a text"
    yield "Proposed:"
    for option, value in proposal.options.items():
        shown = ", ".join(value) if isinstance(value, list) else str(value)
        shown = shown if shown.strip() else repr(shown)
        shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
        yield from _wrapped(f"  {option:16} {shown}", f" ({proposal.reasons[option]})")
    if proposal.unread:
        yield from _wrapped("  not read:", f" {quoted(proposal.unread, 10)}")
    if proposal.odd:
        yield "Odd:"
        for text in proposal.odd[:_MOST_ODD]:
            yield from _wrapped("  -", f" {text}")
        if len(proposal.odd) > _MOST_ODD:
            yield f"  ... and {len(proposal.odd) - _MOST_ODD} more, all of them in {out}"
    yield f"Written: {out}"
    if proposal.choices:
        yield f"Choose in {out}, which `mcmfh-data manifest` asks for:"
        for number, choice in enumerate(proposal.choices, 1):
            yield from _wrapped(f"  {number}.", f" {' or '.join(choice.options)}: {choice.question}")
    yield from _wrapped("Next:", f" {_NEXT} {shlex.quote(proposal.search or 'enlarged heart')}")


def _wrapped(head: str, text: str) -> Iterator[str]:
    """Break a line at 100 columns; the lines after it are indented."""
    plain = "".join(c if c.isprintable() else " " for c in head + text)
    yield from wrap(plain, WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def toml_value(value: Value) -> str:
    r"""Write a value as TOML.

    Raises:
        ConfigError: If it is half of a surrogate pair, as of a file name that is not UTF-8.

    Example:
        >>> print(toml_value('a "b" \\ c'), toml_value(["x", "y"]), toml_value(True), toml_value(3))
        "a \"b\" \\ c" ["x", "y"] true 3
    """
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, list):
        items = [toml_value(item) for item in value]
        if len(items) > 3:
            return "[\n" + "".join(f"  {item},\n" for item in items) + "]"
        return f"[{', '.join(items)}]"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{value!r}: a name that is not UTF-8 cannot be in a project file; rename it") from error
    # JSON's escapes are those of TOML; but TOML wants DEL and C1 controls escaped too, or readers refuse the file.
    escaped = json.dumps(value, ensure_ascii=False)
    return "".join(f"\\u{ord(c):04x}" if "\x7f" <= c <= "\x9f" else c for c in escaped)


def comment(text: str, width: int | None = WIDTH) -> str:
    """Write a text as lines of comments of at most that width where words allow it; None writes one line."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    lines = [plain] if width is None else wrap(plain, width - 2, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


def table(
    name: str,
    options: Mapping[str, Value],
    note: str = "",
    reasons: Mapping[str, str] | None = None,
    choices: Sequence[Choice] = (),
) -> str:
    """Write a table: a note, its options, and what has to be chosen.

    Args:
        name: Such as ``mcmfh-data.manifest``.
        options: Its keys and values.
        note: Comment above it.
        reasons: Comment of each option, written after it, or above it if the line would be too long.
        choices: What its owner has to decide; proposals stand there as comments.
    """
    lines = [*([comment(note)] if note else []), f"[{name}]"]
    for key, value in options.items():
        line = f"{key} = {toml_value(value)}"
        reason = comment(reasons[key]) if reasons and key in reasons else ""
        if reason and "\n" not in line + reason and len(line) + len(reason) + 2 <= WIDTH:
            line = f"{line}  {reason}"
        elif reason:
            lines.append(reason)
        lines.append(line)
    for choice in choices:
        asked = choice.question if choice.question.endswith("?") else f"{choice.question}."
        lines += ["", comment(f"CHOOSE: {asked} Remove the # before one line:")]
        for answer in (*choice.answers, *choice.also):
            meaning = f"  {comment(answer.meaning, width=None)}" if answer.meaning else ""
            value = " ".join(toml_value(answer.value).split("\n"))
            lines.append(f"# {answer.option} = {value}{meaning}")
        if not choice.answers:
            lines += [f'# {option} = "..."' for option in choice.options]
    if choices:
        names = [" or ".join(choice.options) for choice in choices]
        lines.append(f"{UNDECIDED} = {toml_value(names)}")
    return "\n".join(lines) + "\n"

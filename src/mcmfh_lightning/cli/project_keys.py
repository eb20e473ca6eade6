"""The closed list of what a project file may hold: its tables, their keys, and the values of each key."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from mcmfh_lightning.cli.options import ACCELERATORS, DIGITS
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.nearest import did_you_mean

Value = bool | int | str | list[str]
Kind = Literal["text", "texts", "cell", "cells", "path", "number", "switch"] | tuple[str, ...]
"""What a value may be: see `_EXPECTED`; a tuple lists the values."""

_ARCHIVE: Mapping[str, Kind] = {"archive": "text", "device": "text"}
_ADD: Mapping[str, Kind] = {**_ARCHIVE, "features": "text", "pairs": "text", "splits": "texts", "checkpoint": "text"}
_RUN: Mapping[str, Kind] = {
    "config": "text",
    **dict.fromkeys(("data.root", "run-dir"), "path"),
    "trainer.accelerator": ACCELERATORS,
    "model.supervision": ("pairs", "labels"),
    **dict.fromkeys(("seed-everything", "trainer.devices", "trainer.max-epochs", "model.num-bits"), "number"),
    **dict.fromkeys(("data.batch-size", "data.global-batch-size", "data.num-workers"), "number"),
}
_MANIFEST: Mapping[str, Kind] = {
    **dict.fromkeys(("manifest", "images", "out", "name", "source", "licence", "encoding"), "text"),
    **dict.fromkeys((f"{name}-column" for name in ("id", "image", "text", "labels", "group", "date")), "cell"),
    **dict.fromkeys((f"{name}-column" for name in ("split", "source", "licence")), "cell"),
    **dict.fromkeys(("delimiter", "label-separator"), "cell"),
    **dict.fromkeys(("split-by", "resplit", "drop-labels", "label-map", "bad-images", "bad-texts"), "text"),
    **dict.fromkeys(("label-columns", "normal-label", "split-names"), "cells"),
    **dict.fromkeys(("date-format", "no-column"), "texts"),
    **dict.fromkeys(("uncertain-is-present", "no-labels", "prefix-labels", "no-stratify", "skip-bad-rows"), "switch"),
    **dict.fromkeys(("seed", "min-label-count"), "number"),
}
TABLES: Mapping[str, Mapping[str, Mapping[str, Kind]]] = {
    "mcmfh-data": {
        "manifest": _MANIFEST,
        "verify": {"folder": "text"},
        "stats": {"folder": "text", "out": "text"},
    },
    "mcmfh": {
        "predict": {**_RUN, "model.output-dir": "path"},
        **{command: {**_RUN, "ckpt-path": "path"} for command in ("fit", "validate", "test")},
    },
    "mcmfh-archive": {
        "build": {**_ADD, "encoder": "text", "store-content": "switch", "without-relaxed": "switch"},
        "add": _ADD,
        "upsert": _ADD,
        "delete": {"archive": "text"},
        **{command: {"archive": "text"} for command in ("reindex", "tags")},
        "info": {"archive": "text"},
        "verify": {"archive": "text", "features": "text", "pairs": "text"},
        "search": {**_ARCHIVE, "model": "text", "k": "number", "rerank": "number", "against": "text", "index": "text"},
        "serve": {**_ARCHIVE, "model": "text", "port": "number"},
    },
}
"""Options that a project file may hold, by program and command."""

WRITTEN = frozenset(("out", "run-dir", "model.output-dir", "archive"))
"""Folders that commands write to."""

_EXPECTED: Mapping[str, tuple[type, str]] = {
    "switch": (bool, "true or false"),
    "number": (int, "a whole number"),
    "text": (str, 'a text in quotes, "..."'),
    "texts": (list, 'a list of texts, ["...", "..."]'),
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ODD_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
"""All but tabs and line breaks, which names of columns have and separators may be."""
_STRUCTURE = re.compile(r"[{}\[\]]|:(\s|$)|^\s*([-?](\s|$)|!)|\.(ya?ml|json)\s*$|^registry(:|$)", re.IGNORECASE)
"""What YAML reads as more than a text, LightningCLI as a file of it, or Lightning as a model elsewhere: it may name a
class."""


def checked(where: str, name: str, value: object, kind: Kind) -> Value:
    """Return the value of a key if the key may have it; one text alone is a list of it.

    Args:
        where: File, table and key, for messages.
        name: The option.
        value: What the file holds.
        kind: What is expected.

    Raises:
        ConfigError: If it is of another type, has control characters, or names what a project file may not.
    """
    choices, sort = (kind, "text") if isinstance(kind, tuple) else ((), kind)
    typed = {"path": "text", "cell": "text", "cells": "texts"}.get(sort, sort)
    if typed == "texts" and isinstance(value, str):
        value = [value]
    of_type, expected = _EXPECTED[typed]
    texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    if type(value) is not of_type or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"{where} = {str(value)[:40]!r}: {expected} is expected")
    if type(value) is int and abs(value) >= 10**DIGITS:
        raise ConfigError(f"{where} = {value}: too large a number; correct it")
    control = _ODD_CONTROL if sort in ("cell", "cells") else _CONTROL
    for text in texts:
        if control.search(text):
            raise ConfigError(
                f"{where} = {text[:40]!r}: control characters are not read from a file; correct it, or pass --{name}"
            )
        if choices and text not in choices:
            near = did_you_mean(text, choices)
            raise ConfigError(f"{where} = {text[:40]!r}: one of {', '.join(choices)} is expected{near}")
        if sort == "path" and _STRUCTURE.search(text):
            raise ConfigError(f"{where} = {text[:40]!r}: a plain path is expected; pass others by --{name}")
        if name in WRITTEN and not is_below(text):
            raise ConfigError(
                f"{where} = {text!r}: not below the folder of the file, once links are followed; pass it by --{name}"
            )
    return cast("Value", value)


def is_below(place: str) -> bool:
    """Return whether a place is below the working folder, also after links."""
    folder = Path(os.path.realpath(Path.cwd()))
    found = Path(os.path.realpath(folder / place))
    return "://" not in place and folder in found.parents

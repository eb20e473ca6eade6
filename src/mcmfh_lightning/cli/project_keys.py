"""Options that a project file may hold, by program and command: a closed list.

A folder with its project file may come from elsewhere: no option in this list names a class or deletes, and what a
command writes is below the folder of the file.
"""

from collections.abc import Mapping
from typing import Literal

Value = bool | int | str | list[str]
Kind = Literal["text", "texts", "number", "switch"]

_ARCHIVE: Mapping[str, Kind] = {"archive": "text", "device": "text"}
_ADD: Mapping[str, Kind] = {**_ARCHIVE, "features": "text", "pairs": "text", "splits": "texts", "checkpoint": "text"}
_RUN: Mapping[str, Kind] = {
    "config": "text",
    "data.root": "text",
    "run-dir": "text",
    "seed-everything": "number",
    "trainer.accelerator": "text",
    "trainer.devices": "number",
    "trainer.max-epochs": "number",
    "data.batch-size": "number",
    "data.global-batch-size": "number",
    "data.num-workers": "number",
    "model.num-bits": "number",
    "model.supervision": "text",
}
_TESTED: Mapping[str, Kind] = {**_RUN, "ckpt-path": "text"}
_MANIFEST: Mapping[str, Kind] = {
    **dict.fromkeys(("manifest", "images", "out", "name", "source", "licence", "encoding", "delimiter"), "text"),
    **dict.fromkeys((f"{name}-column" for name in ("id", "image", "text", "labels", "group", "date")), "text"),
    **dict.fromkeys((f"{name}-column" for name in ("split", "source", "licence")), "text"),
    **dict.fromkeys(("label-separator", "split-by", "resplit", "drop-labels", "bad-images", "bad-texts"), "text"),
    **dict.fromkeys(("label-columns", "normal-label", "date-format", "split-names", "no-column"), "texts"),
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
        "predict": {**_RUN, "model.output-dir": "text"},
        "fit": _TESTED,
        "validate": _TESTED,
        "test": _TESTED,
    },
    "mcmfh-archive": {
        "build": {**_ADD, "encoder": "text", "store-content": "switch", "without-relaxed": "switch"},
        "add": _ADD,
        "upsert": _ADD,
        "delete": {"archive": "text"},
        "info": {"archive": "text"},
        "verify": {"archive": "text", "features": "text", "pairs": "text"},
        "search": {**_ARCHIVE, "k": "number", "rerank": "number", "against": "text", "index": "text"},
        "serve": {**_ARCHIVE, "port": "number"},
    },
}
"""Options that a project file may hold, by program and command."""

WRITTEN = frozenset(("out", "run-dir", "model.output-dir", "archive"))
"""Folders that commands write to."""

TOGETHER = (
    frozenset(("labels-column", "label-columns", "no-labels", "normal-label", "prefix-labels", "uncertain-is-present")),
    frozenset(("features", "pairs")),
    frozenset(("split-by", "split-names", "resplit", "no-stratify")),
    frozenset(("run-dir", "ckpt-path")),
)
"""Options that belong together: if one is typed, the others are not taken from the file."""

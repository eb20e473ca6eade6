"""How a folder of sentence-transformers turns token states into a sentence embedding, read without that library."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from mcmfh_lightning.errors import DataError

Pooling = Literal["mean", "cls"]

_LEGACY_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True)
class SentenceFormat:
    """Pooling of token states, unit length or not, and the longest text the model was made for."""

    pooling: Pooling
    unit_length: bool
    max_tokens: int | None

    @classmethod
    def read(cls, folder: Path, pooling: Pooling | None) -> Self:
        """Read ``modules.json`` and what it names.

        Args:
            folder: Folder of a model. Without ``modules.json`` it is a plain transformers model, which does not say
                how it is pooled.
            pooling: What the user says; required for a plain model.

        Raises:
            ValueError: ``pooling`` is missing, unknown or contradicts the folder.
            DataError: The folder asks for something else than mean or first-token pooling and normalisation.
        """
        if pooling is not None and pooling not in get_args(Pooling):
            raise ValueError(f"text_pooling {pooling!r} is none of {', '.join(get_args(Pooling))}")
        if not (folder / "modules.json").is_file():
            if pooling is None:
                raise ValueError(f"{folder} does not say how its tokens are pooled: set text_pooling to mean or cls")
            return cls(pooling=pooling, unit_length=False, max_tokens=None)

        modules = _modules(folder / "modules.json")
        stored = _stored_pooling(folder / modules["Pooling"] / "config.json")
        if pooling not in (None, stored):
            raise ValueError(f"text_pooling is {pooling!r} but {folder} says {stored!r}: leave text_pooling out")
        path = folder / "sentence_bert_config.json"
        limits = _json_object(path) if path.is_file() else {}
        if limits.get("do_lower_case"):
            raise DataError(f"{path}: do_lower_case is not supported; use another model")
        return cls(pooling=stored, unit_length="Normalize" in modules, max_tokens=limits.get("max_seq_length"))


def _modules(path: Path) -> dict[str, str]:
    """Folder of each module, by the name of its class."""
    content = _json(path)
    if not isinstance(content, list) or not all(isinstance(m, dict) and {"type", "path"} <= m.keys() for m in content):
        raise DataError(f"{path}: not a list of modules; copy it again")
    modules = {str(module["type"]).rpartition(".")[2]: str(module["path"]) for module in content}
    if modules.keys() - {"Transformer", "Pooling", "Normalize"} or "Pooling" not in modules:
        raise DataError(f"{path}: modules {', '.join(modules)} are not supported; use another model")
    return modules


def _stored_pooling(path: Path) -> Pooling:
    config = _json_object(path)
    active = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    modes = [config["pooling_mode"]] if "pooling_mode" in config else [_LEGACY_MODES.get(key, key) for key in active]
    for mode in get_args(Pooling):
        if modes == [mode]:
            known: Pooling = mode
            return known
    raise DataError(f"{path}: pooling {modes} is not supported, only {' or '.join(get_args(Pooling))}")


def _json_object(path: Path) -> dict[str, Any]:
    content = _json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: not a JSON object; copy it again")
    return content


def _json(path: Path) -> object:
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); copy it again") from error
    return content

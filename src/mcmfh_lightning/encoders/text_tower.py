"""transformers text models with weights from a local folder.

The files in which sentence-transformers describes its pooling are read without that library. It warns instead of
failing if weights are missing, and imports the classes that a folder names. Version 6.2 adds 200 MB to the installation
(with scikit-learn and SciPy) and 3.5 s of CPU time to the import.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mcmfh_lightning.encoders.weights import checked_sha256, resolve_location, weights_in
from mcmfh_lightning.errors import DataError, check_choice
from mcmfh_lightning.portable.token_count import TokenCount

Pooling = Literal["mean", "cls"]

_LEGACY_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True)
class SentenceFormat:
    """Pooling of token states, whether embeddings have unit length, and the longest text of the model."""

    pooling: Pooling
    unit_length: bool
    max_tokens: int | None

    @classmethod
    def read(cls, folder: Path, pooling: Pooling | None) -> Self:
        """Read ``modules.json`` and the files that it names.

        Args:
            folder: Folder of a model. Without ``modules.json`` it is a plain transformers model, whose pooling is
                not stored.
            pooling: Choice of the user; required for a plain model.

        Raises:
            ValueError: If ``pooling`` is missing, unknown or contradicts the folder.
            DataError: If the folder asks for other modules than mean or first-token pooling and normalization.
        """
        if pooling is not None:
            check_choice("text_pooling", pooling, Pooling)
        if not (folder / "modules.json").is_file():
            if pooling is None:
                raise ValueError(f"{folder} does not say how its tokens are pooled: set text_pooling to mean or cls")
            return cls(pooling=pooling, unit_length=False, max_tokens=None)

        modules = _modules(folder / "modules.json")
        stored = _stored_pooling(folder / modules["Pooling"] / "config.json")
        if pooling not in (None, stored):
            raise ValueError(f"text_pooling is {pooling!r} but {folder} says {stored!r}: leave text_pooling out")
        path = folder / "sentence_bert_config.json"
        limits = _json(path, dict, "a JSON object") if path.is_file() else {}
        if limits.get("do_lower_case"):
            raise DataError(f"{path}: do_lower_case is not supported; use another model")
        return cls(pooling=stored, unit_length="Normalize" in modules, max_tokens=limits.get("max_seq_length"))


def _modules(path: Path) -> dict[str, str]:
    """Read the folder of each module, by the name of its class."""
    content = _json(path, list, "a list of modules")
    if not all(isinstance(module, dict) and {"type", "path"} <= module.keys() for module in content):
        raise DataError(f"{path}: not a list of modules; copy it again")
    modules = {str(module["type"]).rpartition(".")[2]: str(module["path"]) for module in content}
    if modules.keys() - {"Transformer", "Pooling", "Normalize"} or "Pooling" not in modules:
        raise DataError(f"{path}: modules {', '.join(modules)} are not supported; use another model")
    return modules


def _stored_pooling(path: Path) -> Pooling:
    config = _json(path, dict, "a JSON object")
    active = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    modes = [config["pooling_mode"]] if "pooling_mode" in config else [_LEGACY_MODES.get(key, key) for key in active]
    if len(modes) != 1 or modes[0] not in get_args(Pooling):
        raise DataError(f"{path}: pooling {modes} is not supported, only {' or '.join(get_args(Pooling))}")
    return cast("Pooling", modes[0])


def _json(path: Path, kind: type, named: str) -> Any:  # noqa: ANN401  # what json gives
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); copy it again") from error
    if not isinstance(content, kind):
        raise DataError(f"{path}: not {named}; copy it again")
    return content


_PROBES = (
    "Heart size is normal.",
    "No focal consolidation, pneumothorax or pleural effusion; XXXX 12.5 cm, T-spine.",
    "  Kardiomegalie\tnaïve µ-opacities (CPT 71046)  ",
)


def tokenizer_sha256(ids: Callable[[str], list[int]]) -> str:
    """Hash the token ids of a few fixed sentences.

    Tokenizers that differ in vocabulary, casing or special tokens have different hashes. The hash does not depend on
    the version of the library or on the file format.

    Args:
        ids: Maps a text to its token ids without padding.
    """
    return hashlib.sha256(json.dumps([ids(probe) for probe in _PROBES]).encode()).hexdigest()


class Tokenize:
    """Picklable ``tokenize`` with a transformers tokenizer; it pads to the longest text of the batch.

    Args:
        tokenizer: A tokenizer of transformers.
        context_length: Longest text in tokens.
    """

    def __init__(self, tokenizer: Any, context_length: int) -> None:  # noqa: ANN401  # transformers has no common type
        self.tokenizer = tokenizer
        self.context_length = context_length

    def __call__(self, texts: list[str]) -> dict[str, Tensor]:
        """Return the model's inputs (B, L) int64 and ``truncated`` (B,) bool."""
        rows = self.tokenizer(texts, truncation=True, max_length=self.context_length, padding=True, return_tensors="pt")
        # With one more place, a text that was cut uses it.
        longer = self.tokenizer(texts, truncation=True, max_length=self.context_length + 1)["input_ids"]
        return {**rows, "truncated": torch.tensor([len(ids) > self.context_length for ids in longer])}

    def count(self, text: str) -> TokenCount:
        """Count the tokens of a text, and those that fit the context."""
        tokens = len(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])
        return TokenCount(tokens, min(tokens, self.context_length))


class TextTower(nn.Module):
    """Text model that turns tokens into one embedding for each text.

    Args:
        location: Folder of transformers, see `mcmfh_lightning.encoders.TwoTowerEncoder`.
        expected_sha256: Expected hash of the file of weights.
        pooling: How token states become one embedding; None if the folder says so.
        context_length: Longest text in tokens; None takes that of the model.

    Raises:
        ValueError: If ``pooling`` is missing or contradicts the folder, or the context is longer than the model's.
        DataError: If a file is missing, has another SHA-256, or lacks weights of the model.
    """

    def __init__(
        self, location: str, expected_sha256: str | None, pooling: Pooling | None, context_length: int | None
    ) -> None:
        super().__init__()
        folder = resolve_location(location)
        if not folder.is_dir():
            raise DataError(f"{location}: text_model is a folder (config.json, tokenizer and weights), not a file")
        self._format = SentenceFormat.read(folder, pooling)
        file = weights_in(folder)
        sha256 = checked_sha256(file, expected_sha256)
        self.model, tokenizer = _load(folder, file)
        config: Any = self.model.config
        longest = min(int(config.max_position_embeddings), int(tokenizer.model_max_length))
        if context_length is not None and not 2 < context_length <= longest:
            raise ValueError(f"context_length {context_length} is outside 3 ... {longest}, what {location} can read")
        self.tokenize = Tokenize(tokenizer, context_length or min(longest, self._format.max_tokens or longest))
        self.dim = int(config.hidden_size)
        self.identity = {
            "model": str(config.model_type),
            "weights_sha256": sha256,
            "tokenizer_sha256": tokenizer_sha256(lambda text: self.tokenize([text])["input_ids"][0].tolist()),
            "context_length": self.tokenize.context_length,
            "pooling": self._format.pooling,
            "unit_length": self._format.unit_length,
        }

    def forward(self, text: dict[str, Tensor]) -> Tensor:
        """Embed the result of ``tokenize`` for B texts, as (B, dim) float32.

        Reports of one batch differ much in length, and padding costs as much as text: the batch is sorted by length
        and encoded in quarters, each cut to its own longest text.
        """
        inputs = {name: rows for name, rows in text.items() if name != "truncated"}
        tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # it has no types
        if tracing:  # one text, as a graph has no lengths to sort by
            return self._embed(inputs)
        lengths = inputs["attention_mask"].sum(dim=1)
        order = lengths.argsort()
        quarters = [
            self._embed({name: rows[part, : int(lengths[part].max())] for name, rows in inputs.items()})
            for part in order.chunk(4)
        ]
        return torch.cat(quarters)[order.argsort()]

    def _embed(self, inputs: dict[str, Tensor]) -> Tensor:
        states: Tensor = self.model(**inputs).last_hidden_state
        if self._format.pooling == "mean":
            mask = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
            embedding = (states * mask).sum(dim=1) / mask.sum(dim=1)
        else:
            embedding = states[:, 0]
        return normalize(embedding, dim=-1) if self._format.unit_length else embedding


def _load(folder: Path, file: Path) -> tuple[nn.Module, Any]:
    # transformers takes seconds to import, and the parser of the command line imports this module.
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of an instant
    try:
        model, report = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,  # None would ask the user at the terminal
            use_safetensors=file.suffix == ".safetensors",
            weights_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, padding_side="right"
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{folder}: transformers cannot load it ({error})") from error
    # Missing weights would silently stay random. The embedding does not use the pooler.
    absent = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if absent:
        raise DataError(
            f"{file}: lacks {len(absent)} weights of the model ({', '.join(absent[:3])} ...); copy it again"
        )
    return model, tokenizer

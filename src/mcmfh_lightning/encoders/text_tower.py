"""A transformers text model with weights from a local folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mcmfh_lightning.encoders.locations import resolve_location
from mcmfh_lightning.encoders.sentence_format import Pooling, SentenceFormat
from mcmfh_lightning.encoders.tokens import tokenizer_sha256
from mcmfh_lightning.encoders.weights import checked_sha256, weights_in
from mcmfh_lightning.errors import DataError


class _Tokenizer(Protocol):
    """A tokenizer of transformers, as far as it is used here."""

    model_max_length: int

    def __call__(self, text: list[str] | str, **options: object) -> Mapping[str, Any]: ...


class Tokenize:
    """Picklable ``tokenize`` of a transformers tokenizer; pads to the longest text of the batch.

    Args:
        tokenizer: The tokenizer.
        context_length: Longest text in tokens.
    """

    def __init__(self, tokenizer: _Tokenizer, context_length: int) -> None:
        self.tokenizer = tokenizer
        self.context_length = context_length

    def __call__(self, texts: list[str]) -> dict[str, Tensor]:
        """Return the model's inputs (B, L) int64 and ``truncated`` (B,) bool."""
        rows = self.tokenizer(texts, truncation=True, max_length=self.context_length, padding=True, return_tensors="pt")
        # With one place more, a text that had been cut uses it.
        longer = self.tokenizer(texts, truncation=True, max_length=self.context_length + 1)["input_ids"]
        return {**rows, "truncated": torch.tensor([len(ids) > self.context_length for ids in longer])}

    def unpadded_ids(self, text: str) -> list[int]:
        """Token ids of one text."""
        ids: list[int] = self.tokenizer(text, truncation=True, max_length=self.context_length)["input_ids"]
        return ids


class TextTower(nn.Module):
    """Tokens to one embedding a text.

    Args:
        location: Folder of transformers, see `mcmfh_lightning.encoders.TwoTowerEncoder`.
        expected_sha256: Of the file of weights.
        pooling: How token states become one embedding; None where the folder says so itself.
        context_length: Longest text in tokens; None for the model's own.

    Raises:
        ValueError: ``pooling`` is missing or contradicts the folder, or the context is longer than the model's.
        DataError: A file is missing, has another sha256, or holds less than the whole model.
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
            "tokenizer_sha256": tokenizer_sha256(self.tokenize.unpadded_ids),
            "context_length": self.tokenize.context_length,
            "pooling": self._format.pooling,
            "unit_length": self._format.unit_length,
        }

    def forward(self, text: dict[str, Tensor]) -> Tensor:
        """Embed what ``tokenize`` returned for B texts, as (B, dim) float32.

        Reports of one batch differ much in length, and padding costs as much as text: the batch is encoded in quarters
        of like length, each cut to its own longest text.
        """
        inputs = {name: rows for name, rows in text.items() if name != "truncated"}
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


def _load(folder: Path, file: Path) -> tuple[nn.Module, _Tokenizer]:
    # transformers takes seconds to import, and the parser of the command line imports this module.
    from transformers import AutoModel, AutoTokenizer

    try:
        model, report = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,  # None would ask whoever sits at the terminal
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
    # Weights that are absent would silently stay random. A pooler is no part of the embedding.
    absent = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if absent:
        raise DataError(
            f"{file}: lacks {len(absent)} weights of the model ({', '.join(absent[:3])} ...); copy it again"
        )
    return model, tokenizer

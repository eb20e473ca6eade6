"""Token ids of texts by the ``tokenizers`` library alone."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.portable.token_count import TokenCount


@dataclass(frozen=True, kw_only=True)
class Tokenization:
    """Parameters that a tokenizer's file does not hold.

    Attributes:
        context_length: Tokens that the encoder reads, special ones included.
        padded: Whether every text is padded to the context.
        padding_id: Id of the padding.
        cleaned: Whether texts are repaired (ftfy), freed of HTML entities and of repeated blanks, as open_clip does.
    """

    context_length: Annotated[int, Field(ge=3, le=1 << 20)]
    padded: bool
    padding_id: Annotated[int, Field(ge=0)]
    cleaned: bool

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)


class PortableTokenizer:
    """Tokenizer of an exported text tower; may be used from several threads.

    Args:
        file: ``tokenizer.json``.
        settings: Its other parameters.

    Raises:
        DataError: If the file is damaged.
    """

    def __init__(self, file: Path, settings: Tokenization) -> None:
        from tokenizers import Tokenizer

        self._settings = settings
        try:
            # Two, because the limit is a property of a tokenizer, which threads share.
            self._whole, self._cut = Tokenizer.from_file(str(file)), Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises this class itself
            raise DataError(f"{file} is not a file of the tokenizers library: export the run again") from error
        self._whole.no_truncation()
        self._whole.no_padding()
        self._cut.no_padding()
        self._cut.enable_truncation(settings.context_length)

    def __call__(self, text: str) -> NDArray[np.int64]:
        """Return the (1, L) ids of the tokens that are read."""
        ids = self._cut.encode(self._clean(text)).ids
        if self._settings.padded:
            ids = ids + [self._settings.padding_id] * (self._settings.context_length - len(ids))
        return np.array([ids], dtype=np.int64)

    def count(self, text: str) -> TokenCount:
        """Count the tokens of a text, and those that are read."""
        tokens = len(self._whole.encode(self._clean(text)).ids)
        return TokenCount(tokens, min(tokens, self._settings.context_length))

    def _clean(self, text: str) -> str:
        if not self._settings.cleaned:
            return text
        import ftfy

        return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())

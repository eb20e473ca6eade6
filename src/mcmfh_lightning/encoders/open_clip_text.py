"""Texts for open_clip models, cut to the longest of the batch where that leaves the embedding as it is.

open_clip pads every text to the full context (256 tokens for BiomedCLIP); most reports are far shorter, and the cost
of padding is most of the cost of encoding texts.
"""

from typing import Any, Protocol

from torch import Tensor, nn
from torch.func import functional_call


class Tokenizer(Protocol):
    """What all tokenizers of open_clip have in common."""

    context_length: int

    def __call__(self, texts: list[str], context_length: int) -> Tensor:
        """Return (B, context_length) int64."""
        ...


class OpenCLIPTokenize:
    """Picklable ``tokenize`` of an open_clip model.

    Args:
        tokenizer: What ``open_clip.get_tokenizer`` returned.
        trim: Cut the padding down to the longest text of the batch.
    """

    def __init__(self, tokenizer: Tokenizer, *, trim: bool) -> None:
        self.tokenizer = tokenizer
        self.trim = trim
        self.context_length = tokenizer.context_length

    def __call__(self, texts: list[str]) -> dict[str, Tensor]:
        """Return ``tokens`` (B, L) int64 and ``truncated`` (B,) bool."""
        tokens, used = self._tokens(texts, self.context_length)
        # With one place more, a text that had been cut uses it.
        truncated = self._tokens(texts, self.context_length + 1)[1].sum(dim=1) > used.sum(dim=1)
        if self.trim:
            tokens = tokens[:, : int(used.any(dim=0).nonzero().max()) + 1]
        return {"tokens": tokens, "truncated": truncated}

    def unpadded_ids(self, text: str) -> list[int]:
        """Token ids of one text."""
        tokens, used = self._tokens([text], self.context_length)
        ids: list[int] = tokens[used].tolist()
        return ids

    def _tokens(self, texts: list[str], context_length: int) -> tuple[Tensor, Tensor]:
        tokens = self.tokenizer(texts, context_length=context_length)
        return tokens, tokens != _padding_id(self.tokenizer)


class OpenCLIPTextTower:
    """The text side of an open_clip model, for token rows of any length where the model allows it."""

    def __init__(self, clip: nn.Module, tokenizer: Tokenizer) -> None:
        from open_clip import SimpleTokenizer
        from open_clip.hf_model import HFTextEncoder

        self._clip: Any = clip
        # CLIP keeps the parts of its text tower among its own, all later classes in ``text``.
        self._text: Any = getattr(clip, "text", clip)
        self._prefix = "" if self._text is clip else "text."
        self._masks_padding = isinstance(self._text, HFTextEncoder)
        # A causal tower pooled at the end-of-text token never sees what follows it. Towers that attend to padding
        # (SigLIP) or append a class token (CoCa) do, and get the full context.
        self._is_causal = (
            isinstance(tokenizer, SimpleTokenizer)
            and getattr(self._text, "attn_mask", None) is not None
            and getattr(self._text, "cls_emb", None) is None
            and getattr(self._text, "pool_type", getattr(self._text, "text_pool_type", None)) in ("argmax", "eos")
        )

    @property
    def ignores_padding(self) -> bool:
        """Whether padding can be cut without changing an embedding."""
        return self._masks_padding or self._is_causal

    def __call__(self, tokens: Tensor) -> Tensor:
        """Embed token rows (B, L) to unit length (B, D)."""
        embedding: Tensor
        if not self._is_causal:
            embedding = self._clip.encode_text(tokens, normalize=True)
            return embedding
        # The positions and the mask of a causal tower have the length of the full context: lend it shorter ones.
        length = tokens.shape[1]
        shorter = {
            f"{self._prefix}positional_embedding": self._text.positional_embedding[:length],
            f"{self._prefix}attn_mask": self._text.attn_mask[:length, :length],
        }
        _, embedding, *_ = functional_call(self._clip, shorter, kwargs={"text": tokens})
        return embedding


def _padding_id(tokenizer: Tokenizer) -> int:
    """Id of the padding token; open_clip's own tokenizer pads with 0."""
    return int(getattr(getattr(tokenizer, "tokenizer", None), "pad_token_id", 0) or 0)

"""Encoders that open_clip builds: BiomedCLIP and its many relatives.

Texts are cut to the longest of their batch where this does not change embeddings: open_clip pads every text to the full
context (256 tokens for BiomedCLIP), most reports are far shorter, and padding is most of the cost of encoding texts.
"""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mcmfh_lightning.encoders.base import Encoder
from mcmfh_lightning.encoders.image_tower import to_rgb
from mcmfh_lightning.encoders.text_tower import tokenizer_sha256
from mcmfh_lightning.encoders.weights import state_sha256
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.portable.token_count import TokenCount

_CONFIG = "open_clip_config.json"


def offline_options(model: str) -> dict[str, Any]:
    """Build the options of open_clip with which a ``local-dir:FOLDER`` model does not ask the hub.

    The repository's configuration names a text tower of transformers by its hub id, and open_clip would ask the hub
    for the tower's architecture although all weights are in the folder. The answer is read from
    ``FOLDER/text_encoder`` instead.

    Returns:
        ``{"text_cfg": {...}}``, or an empty mapping for other models and where open_clip builds the text tower itself.

    Raises:
        DataError: If the folder lacks its configuration, weights, the text tower's architecture or the tokenizer.
    """
    if not model.startswith("local-dir:"):
        return {}
    folder = Path(model.removeprefix("local-dir:"))
    if not (folder / _CONFIG).is_file():
        raise DataError(f"{folder / _CONFIG} is missing; copy all files of the model's repository into {folder}")
    if not any(path.suffix in {".safetensors", ".bin", ".pth"} for path in folder.iterdir()):
        raise DataError(f"{folder}: no weights; copy open_clip_model.safetensors or open_clip_pytorch_model.bin there")
    try:
        text_config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{folder / _CONFIG}: no model_cfg.text_cfg ({error!r}); copy it again") from error
    if "hf_model_name" not in text_config:
        return {}
    text_encoder = folder / "text_encoder"
    if not (text_encoder / "config.json").is_file():
        raise DataError(
            f"{text_encoder / 'config.json'} is missing; copy the config.json of {text_config['hf_model_name']} there "
            f"(the architecture of the text tower; its weights are not needed)"
        )
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise DataError(f"{folder}: no tokenizer; copy tokenizer.json and tokenizer_config.json of the model there")
    return {"text_cfg": {**text_config, "hf_model_name": str(text_encoder), "hf_model_pretrained": False}}


class OpenCLIPTokenize:
    """Picklable ``tokenize`` for an open_clip model.

    Args:
        tokenizer: Result of ``open_clip.get_tokenizer``.
        trim: Whether to cut the padding to the longest text of the batch.
    """

    def __init__(self, tokenizer: Any, *, trim: bool) -> None:  # noqa: ANN401  # open_clip has no common type
        self.tokenizer = tokenizer
        self.trim = trim
        self.context_length: int = tokenizer.context_length
        # The tokenizer of open_clip itself pads with 0.
        self.padding_id = getattr(getattr(tokenizer, "tokenizer", None), "pad_token_id", 0) or 0

    def __call__(self, texts: list[str]) -> dict[str, Tensor]:
        """Return ``tokens`` (B, L) int64 and ``truncated`` (B,) bool."""
        tokens, used = self._tokens(texts, self.context_length)
        # With one more place, a text that was cut uses it.
        truncated = self._tokens(texts, self.context_length + 1)[1].sum(dim=1) > used.sum(dim=1)
        if self.trim:
            tokens = tokens[:, : int(used.any(dim=0).nonzero().max()) + 1]
        return {"tokens": tokens, "truncated": truncated}

    def count(self, text: str) -> TokenCount:
        """Count the tokens of a text, and those that fit the context."""
        # More places than it can have tokens: no tokenizer makes several of one byte, and a character has at most four.
        tokens = int(self._tokens([text], 8 * len(text) + self.context_length)[1].sum())
        return TokenCount(tokens, min(tokens, self.context_length))

    def unpadded_ids(self, text: str) -> list[int]:
        """Return the token ids of one text."""
        tokens, used = self._tokens([text], self.context_length)
        ids: list[int] = tokens[used].tolist()
        return ids

    def _tokens(self, texts: list[str], context_length: int) -> tuple[Tensor, Tensor]:
        tokens = self.tokenizer(texts, context_length=context_length)
        return tokens, tokens != self.padding_id


class OpenCLIPTextTower:
    """Text tower of an open_clip model, for token rows of any length if the model allows it."""

    def __init__(self, clip: nn.Module, tokenizer: object) -> None:
        from open_clip import SimpleTokenizer
        from open_clip.hf_model import HFTextEncoder

        self._clip: Any = clip
        # CLIP keeps the parts of its text tower among its own, all later classes in ``text``.
        self._text: Any = getattr(clip, "text", clip)
        self._prefix = "" if self._text is clip else "text."
        # A causal tower that is pooled at the end-of-text token never sees later tokens. Towers that attend to padding
        # (SigLIP) or append a class token (CoCa) do, and get the full context.
        self._is_causal = (
            isinstance(tokenizer, SimpleTokenizer)
            and getattr(self._text, "attn_mask", None) is not None
            and getattr(self._text, "cls_emb", None) is None
            and getattr(self._text, "pool_type", getattr(self._text, "text_pool_type", None)) in ("argmax", "eos")
        )
        # Padding can then be cut without changing an embedding.
        self.ignores_padding = self._is_causal or isinstance(self._text, HFTextEncoder)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Embed token rows (B, L) to unit length (B, D)."""
        embedding: Tensor
        if not self._is_causal:
            embedding = self._clip.encode_text(tokens, normalize=True)
            return embedding
        # The positions and the mask of a causal tower have the length of the full context: call it with shorter ones.
        length = tokens.shape[1]
        shorter = {
            f"{self._prefix}positional_embedding": self._text.positional_embedding[:length],
            f"{self._prefix}attn_mask": self._text.attn_mask[:length, :length],
        }
        _, embedding, *_ = functional_call(self._clip, shorter, kwargs={"text": tokens})
        return embedding


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class OpenCLIPEncoder(Encoder):
    """Both towers of a CLIP model, with the tokenizer and the preprocessing that belong to it.

    Embeddings have unit length.

    Args:
        model: ``hf-hub:OWNER/NAME``, for example
            ``hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224``; ``local-dir:FOLDER`` for a copy of such
            a repository, used without any look-up in the network (a model whose text tower is from transformers needs
            that tower's ``config.json`` in ``FOLDER/text_encoder`` besides); or a name that open_clip knows.
        pretrained: Tag or file of the weights; with a name that open_clip knows only, and there required.
        precision: Precision, as open_clip names it. ``bf16`` and ``fp16`` run the towers in that type; embeddings are
            always returned as float32.

    Raises:
        ValueError: If ``pretrained`` is missing or does not go with ``model``, or ``precision`` is unknown.
        DataError: If the weights, the configuration or the tokenizer cannot be loaded.
    """

    tokenize: OpenCLIPTokenize

    def __init__(
        self, model: str, pretrained: str | None = None, precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    ) -> None:
        super().__init__()
        # open_clip takes seconds to import and the other encoders do without it.
        import open_clip
        from torchvision.transforms import Compose

        if precision not in _DTYPES:
            raise ValueError(f"precision {precision!r} is not one of {', '.join(_DTYPES)}")
        options = offline_options(model)
        has_schema = model.startswith(("hf-hub:", "local-dir:"))
        if has_schema and pretrained is not None:
            raise ValueError(f"{model!r} brings its own weights: leave out pretrained={pretrained!r}")
        if not has_schema and not pretrained:
            known = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none known: is the name right?"
            raise ValueError(f"{model!r} without pretrained weights would be random: set pretrained to a tag ({known})")
        try:
            clip, preprocess = open_clip.create_model_from_pretrained(
                model, pretrained=pretrained, precision=precision, **options
            )
            config = open_clip.get_model_config(model)
            # Files of a model must not run code, whatever they ask for.
            safe = {"trust_remote_code": False} if config["text_cfg"].get("hf_tokenizer_name") else {}
            tokenizer = open_clip.get_tokenizer(model, **safe)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"open_clip cannot load {model!r} (pretrained={pretrained!r}): {error}") from error

        self.clip = clip.eval().requires_grad_(requires_grad=False)
        self.image_dim = self.text_dim = int(config["embed_dim"])
        self._dtype = _DTYPES[precision]
        self._text_tower = OpenCLIPTextTower(clip, tokenizer)
        self.preprocess = Compose([to_rgb, preprocess])
        self.tokenize = OpenCLIPTokenize(tokenizer, trim=self._text_tower.ignores_padding)
        self.identity = {
            "name": f"open_clip {_tower_names(config)}",
            "weights_sha256": state_sha256(clip),
            "precision": precision,
            "image": json.loads(json.dumps(open_clip.get_model_preprocess_cfg(clip))),
            "context_length": self.tokenize.context_length,
            "tokenizer_sha256": tokenizer_sha256(self.tokenize.unpadded_ids),
        }

    def count_tokens(self, text: str) -> TokenCount:
        """Count the tokens of a text; see `Encoder.count_tokens`."""
        return self.tokenize.count(text)

    def encode_image(self, image: Tensor) -> Tensor:
        """Embed pictures; see `Encoder.encode_image`."""
        embedding: Tensor = self.clip.encode_image(image.to(self._dtype), normalize=True)
        return embedding.float()

    def encode_text(self, text: dict[str, Tensor]) -> Tensor:
        """Embed texts; see `Encoder.encode_text`."""
        return self._text_tower(text["tokens"]).float()


def _tower_names(config: dict[str, Any]) -> str:
    vision, text = config["vision_cfg"], config["text_cfg"]
    image_name = vision.get("timm_model_name") or f"ViT {vision.get('layers')}x{vision.get('width')}"
    text_name = "transformers" if text.get("hf_model_name") else f"{text.get('layers')}x{text.get('width')}"
    return f"{image_name} + {text_name} text tower, {config['embed_dim']}-d"

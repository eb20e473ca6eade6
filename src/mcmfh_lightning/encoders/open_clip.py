"""Encoders that open_clip builds: BiomedCLIP and its many relatives."""

from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.transforms import Compose

from mcmfh_lightning.encoders.base import Encoder
from mcmfh_lightning.encoders.images import to_rgb
from mcmfh_lightning.encoders.open_clip_local import local_folder, offline_text_config
from mcmfh_lightning.encoders.open_clip_text import OpenCLIPTextTower, OpenCLIPTokenize
from mcmfh_lightning.encoders.tokens import tokenizer_sha256
from mcmfh_lightning.encoders.weights import state_sha256
from mcmfh_lightning.errors import DataError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class OpenCLIPEncoder(Encoder):
    """Both towers of a CLIP model, with the tokenizer and the preprocessing that belong to it.

    Embeddings have unit length, as CLIP compares them.

    Args:
        model: ``hf-hub:OWNER/NAME``, for example
            ``hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224``; ``local-dir:FOLDER`` for a copy of such
            a repository, used without any look-up in the network (a model whose text tower is from transformers needs
            that tower's ``config.json`` in ``FOLDER/text_encoder`` besides); or a name that open_clip knows.
        pretrained: Tag or file of the weights; with a name that open_clip knows only, and there required.
        precision: As open_clip names them. ``bf16`` and ``fp16`` run the towers in that type; embeddings are returned
            as float32 in any case.

    Raises:
        ValueError: ``pretrained`` is missing or does not go with ``model``, or ``precision`` is none of the three.
        DataError: The weights, the configuration or the tokenizer cannot be loaded.
    """

    def __init__(
        self, model: str, pretrained: str | None = None, precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    ) -> None:
        super().__init__()
        # open_clip takes seconds to import and the other encoders do without it.
        import open_clip

        if precision not in _DTYPES:
            raise ValueError(f"precision {precision!r} is none of {', '.join(_DTYPES)}")
        folder = local_folder(model)
        _check_weights_are_named(model, pretrained, open_clip.list_pretrained_tags_by_model(model))
        overrides = {} if folder is None else offline_text_config(folder)
        try:
            clip, preprocess = open_clip.create_model_from_pretrained(
                model, pretrained=pretrained, precision=precision, **overrides
            )
            config = open_clip.get_model_config(model)
            tokenizer = open_clip.get_tokenizer(model, **_tokenizer_options(config))
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
            "image": _json(open_clip.get_model_preprocess_cfg(clip)),
            "context_length": self.tokenize.context_length,
            "tokenizer_sha256": tokenizer_sha256(self.tokenize.unpadded_ids),
        }

    def encode_image(self, image: Tensor) -> Tensor:
        """Embed pictures; see `Encoder.encode_image`."""
        embedding: Tensor = self.clip.encode_image(image.to(self._dtype), normalize=True)
        return embedding.float()

    def encode_text(self, text: dict[str, Tensor]) -> Tensor:
        """Embed texts; see `Encoder.encode_text`."""
        return self._text_tower(text["tokens"]).float()


def _tokenizer_options(config: dict[str, Any]) -> dict[str, Any]:
    """What is said to transformers whatever the model says of itself: its files must not run code."""
    return {"trust_remote_code": False} if config["text_cfg"].get("hf_tokenizer_name") else {}


def _check_weights_are_named(model: str, pretrained: str | None, tags: list[str]) -> None:
    has_schema = model.startswith(("hf-hub:", "local-dir:"))
    if has_schema and pretrained is not None:
        raise ValueError(f"{model!r} brings its own weights: leave out pretrained={pretrained!r}")
    if not has_schema and not pretrained:
        known = ", ".join(tags) or "none known: is the name right?"
        raise ValueError(f"{model!r} without pretrained weights would be random: set pretrained to a tag ({known})")


def _tower_names(config: dict[str, Any]) -> str:
    vision, text = config["vision_cfg"], config["text_cfg"]
    image_name = vision.get("timm_model_name") or f"ViT {vision.get('layers')}x{vision.get('width')}"
    text_name = "transformers" if text.get("hf_model_name") else f"{text.get('layers')}x{text.get('width')}"
    return f"{image_name} + {text_name} text tower, {config['embed_dim']}-d"


def _json(config: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}

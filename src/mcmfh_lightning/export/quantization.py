"""Weights of an exported text tower as 8-bit integers.

Matrix products with weights and tables of embeddings are quantized: nearly all of a text tower. Activations are
quantized by onnxruntime as they come, so that no data is needed. Hashers stay as they are, and so does the image tower:
convolutions are slower and less exact that way (docs/guides/export.md), and an archive recognizes a film by its code,
which has to be equal.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.export.check import check_flips
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.portable.description import TEXT_TOWER
from mcmfh_lightning.portable.hasher import PortableHasher


def quantize_text_tower(folder: Path) -> str:
    """Quantize the text tower of an exported model in its place.

    Args:
        folder: Folder with an encoder that was compared with torch; see `mcmfh_lightning.export.check`.

    Returns:
        What was done, with the number of bits that differ.

    Raises:
        ConfigError: If there are no weights to quantize, or the embeddings of trial texts become others.
    """
    original = PortableHasher(folder)
    if not quantize_graph(folder / TEXT_TOWER):
        raise ConfigError("the text tower has no matrix product whose weights could be int8: leave --int8 out")
    files = dict(original.description.files) | {TEXT_TOWER: sha256_of(folder / TEXT_TOWER)}
    replace(original.description, int8=True, files=files).write(folder)
    flipped, bits = check_flips(PortableHasher(folder), original)
    return f"text tower in int8, {flipped} of {bits} bits of trial texts differ from float32's"


def quantize_graph(file: Path) -> bool:
    """Quantize the weights of matrix products and embeddings of a graph, in its place.

    Returns:
        Whether there were any; a graph without such weights stays as it is.
    """
    with tempfile.TemporaryDirectory(dir=file.parent) as place:
        prepared, quantized = (Path(place, name) for name in ("prepared.onnx", "quantized.onnx"))
        # The shapes alone: torch has folded constants, and the symbolic inference needs one more package.
        quant_pre_process(file, prepared, skip_optimization=True, skip_symbolic_shape=True)
        # Weights are unsigned: sums of signed ones overflow on processors without VNNI, and codes would then depend on
        # the machine. Each column has a scale of its own: with one for all, more bits differ.
        quantize_dynamic(
            prepared,
            quantized,
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            weight_type=QuantType.QUInt8,
        )
        weights = onnx.load(quantized).graph.initializer
        # Zero points are 8-bit numbers too, but of one entry.
        found = any(one.data_type == onnx.TensorProto.UINT8 and len(one.dims) > 1 for one in weights)
        if found:
            quantized.replace(file)
    return found

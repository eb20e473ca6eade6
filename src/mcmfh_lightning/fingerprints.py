"""Which weights are these: a hash that an archive and a report of a test both write."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch


def weights_sha256(architecture: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Hash weights by name, whatever the layout of the file that they came from.

    Args:
        architecture: What decides the shape of the model; plain JSON.
        state: Tensors by name, on any device.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

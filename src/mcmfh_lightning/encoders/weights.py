"""Weight files: their checksums, and loading them without running any code they may hold."""

import hashlib
import pickle
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mcmfh_lightning.errors import DataError


def checked_sha256(path: Path, expected: str | None) -> str:
    """Hash a weight file and compare it with what was promised.

    Args:
        path: The file.
        expected: Hexadecimal sha256, or None where nothing was promised.

    Returns:
        The hexadecimal sha256 of the file.

    Raises:
        DataError: The sums differ.
    """
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and actual != expected.lower():
        raise DataError(
            f"{path}: sha256 is {actual}, expected {expected}; the file is damaged or another version: "
            f"install or download it again, or correct the expected sum"
        )
    return actual


def state_sha256(module: nn.Module) -> str:
    """Hash the names, types, shapes and values of a module's state.

    Equal for equal weights, whichever file or hub they came from.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a ``.safetensors`` or a PyTorch file, without unpickling objects.

    Raises:
        DataError: The file holds something else.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise DataError(f"{path}: not a file of weights that can be loaded safely ({error}); convert it") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{path}: not a state dict; save the model's state_dict() and use that file")
    return state


def weights_in(folder: Path) -> Path:
    """The file of weights in a folder of timm or transformers.

    Raises:
        DataError: There is none, or it is split over several files.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: neither model.safetensors nor pytorch_model.bin is there (split weights are not read)")

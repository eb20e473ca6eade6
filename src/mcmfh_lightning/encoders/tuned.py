"""What the file of a tuned image tower says of the data that it was tuned on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from mcmfh_lightning.datamodules.pairs import PairDataModule
from mcmfh_lightning.datamodules.shards.files import atomic_write
from mcmfh_lightning.errors import DataError

_KEY = "tuned_on"


class TunedOn(NamedTuple):
    """A data set."""

    data: str
    """Its name."""
    shards: str
    """Equal for equal shards, splits included."""

    @classmethod
    def of(cls, data: PairDataModule) -> "TunedOn":
        """Of the pairs of a datamodule."""
        return cls(data.info.name, data.state_dict()["data"])


def save_tuned(path: Path, state: Mapping[str, Tensor], tuned_on: TunedOn) -> None:
    """Write weights and what they were tuned on, atomically; equal content makes equal files.

    Args:
        path: A ``.safetensors`` file.
        state: Weights by name.
        tuned_on: The data set.
    """
    # One entry: safetensors writes several in any order, and the file's sha256 is part of the encoder's identity.
    metadata = {_KEY: json.dumps(tuned_on._asdict())}
    content = save({name: value.detach().cpu().contiguous() for name, value in state.items()}, metadata)
    with atomic_write(path) as stream:
        stream.write(content)


def read_tuned_on(path: Path) -> TunedOn | None:
    """The data set that a file of weights was tuned on; None for a file that says nothing of it."""
    if path.suffix != ".safetensors":
        return None
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    return TunedOn(**json.loads(metadata[_KEY])) if _KEY in metadata else None


def check_tuned_on(identity: Mapping[str, Any], data: object) -> None:
    """Refuse an encoder that may have been tuned on what is a validation or test pair now.

    Args:
        identity: `mcmfh_lightning.encoders.Encoder.identity`.
        data: The datamodule.

    Raises:
        DataError: It was tuned on a data set of that name with other pairs or splits.
    """
    found = identity.get("image", {}).get(_KEY)
    if found is None or not isinstance(data, PairDataModule):
        return
    theirs, ours = TunedOn(**found), TunedOn.of(data)
    if theirs.data == ours.data and theirs != ours:
        raise DataError(
            f"the image tower was tuned on {theirs.data!r} with other pairs or splits than {data.root} (shards "
            f"{theirs.shards}, here {ours.shards}): it may know images of this test split; tune it on these pairs"
        )

"""Checkpoint files that are written atomically, errors that name the file, and the hash of weights."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.files import PART_SUFFIX, atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint plugin that writes a local checkpoint next to its final name, syncs it and renames it.

    Lightning's own writer goes through the folder for temporary files (``TMPDIR``). If that is another file system
    than the run folder's, which is common on clusters, the finished file is *copied* over the old one (fsspec's
    ``LocalFileOpener.commit`` calls ``shutil.move``): a kill or a full disk in between leaves half a checkpoint under
    the name of the last good one. Lightning handles addresses of other file systems (``s3://`` ...).
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:  # noqa: ANN401  # Lightning's signature
        """Write a checkpoint.

        Raises:
            CheckpointError: If it cannot be written; the earlier file is intact.
        """
        files, local = url_to_fs(str(path))
        if not isinstance(files, LocalFileSystem) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        # Into memory first: torch reports a failed write without its cause, and the disk sees one sequential write.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        target = Path(local)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as stream:
                stream.write(content.getbuffer())
        except OSError as error:
            target.with_name(target.name + PART_SUFFIX).unlink(missing_ok=True)
            kept = f"; the earlier one is intact, --ckpt-path {target} resumes it" if target.is_file() else ""
            raise CheckpointError(
                f"{target} cannot be written ({error.strerror}): make room or permit it, or choose another --run-dir"
                f"{kept}"
            ) from error

    def load_checkpoint(
        self,
        path: _PATH,
        map_location: Any | None = lambda storage, _: storage,  # noqa: ANN401  # as Lightning's
        weights_only: bool | None = None,  # noqa: FBT001  # Lightning's signature
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            CheckpointError: If it is missing or damaged, or Lightning did not write it.
        """
        try:
            checkpoint = super().load_checkpoint(path, map_location=map_location, weights_only=weights_only)
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} does not exist: pass a checkpoint that `mcmfh fit` wrote") from error
        except Exception as error:  # torch raises many kinds on damaged files, even KeyError
            raise CheckpointError(
                f"{path} is not a whole checkpoint ({_first_sentence(error)}): pass another that `mcmfh fit` wrote"
            ) from error
        if not isinstance(checkpoint, dict) or "pytorch-lightning_version" not in checkpoint:
            raise CheckpointError(f"{path} holds no run: pass a checkpoint that `mcmfh fit` wrote")
        return checkpoint


def _first_sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].partition(". ")[0]


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

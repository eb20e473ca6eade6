"""Groups (studies, articles, patients) that weights were trained on, which no evaluation may ask for."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def trained_on(name: str, groups: NDArray[np.int64]) -> dict[str, Any]:
    """Note the groups of a training split, for checkpoints.

    Groups are stored as hashes, because the number of a group may be the number of a patient.

    Args:
        name: Name of the data set.
        groups: (N,) int64, group of each training item.

    Returns:
        ``name``, and ``groups``: (G,) int64 hashes, ascending.
    """
    return {"name": name, "groups": torch.from_numpy(np.unique(_hashes(name, np.unique(groups))))}


def describe_overlap(stored: Mapping[str, Any], split: str, groups: NDArray[np.int64], folder: object) -> str:
    """Say how many groups of a split were trained on; nothing if none was.

    Args:
        stored: What `trained_on` noted of the training split of a checkpoint.
        split: Name of the split.
        groups: (N,) int64, group of each item of the split.
        folder: Where it is.
    """
    own = np.unique(groups)
    seen = int(np.isin(_hashes(stored["name"], own), stored["groups"].numpy()).sum())
    if not seen:
        return ""
    return f"{seen:,} of {len(own):,} groups in the split {split!r} of {folder} {'was' if seen == 1 else 'were'}"


def _hashes(name: str, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hash groups together with the name of their data set."""
    digests = (hashlib.sha256(f"{name}:{group}".encode()).digest()[:8] for group in groups.tolist())
    return np.fromiter((int.from_bytes(digest, "little", signed=True) for digest in digests), np.int64, len(groups))

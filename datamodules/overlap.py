"""Groups (studies, articles, patients) that weights were trained on, which no evaluation may ask for."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray

from mcmfh_lightning.errors import CheckpointError


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


def check_overlap(
    stored: Mapping[str, Any], name: str, split: str, groups: NDArray[np.int64], folder: object, *, warn: bool
) -> None:
    """Look for groups of a split of queries among those that were trained on.

    Those of another data set are other groups in most cases (both may count their studies from 1): a warning says so.

    Args:
        stored: What `trained_on` noted of the training split of a checkpoint.
        name: Name of the data set.
        split: Name of the split.
        groups: (N,) int64, group of each item of the split.
        folder: Where it is.
        warn: Whether to warn instead of raising an error.

    Raises:
        CheckpointError: If there are any, of this data set.
    """
    own = np.unique(groups)
    seen = int(np.isin(_hashes(stored["name"], own), stored["groups"].numpy()).sum())
    if not seen:
        return
    found = f"{seen:,} of {len(own):,} groups in the split {split!r} of {folder} {'was' if seen == 1 else 'were'}"
    if stored["name"] != name:
        rank_zero_warn(
            f"{found} trained on, if groups of {name!r} and {stored['name']!r} that have one name are the same: then "
            "the numbers are of training data"
        )
    elif warn:
        rank_zero_warn(f"{found} trained on: a ranking of these codes measures training data; fit again")
    else:
        raise CheckpointError(
            f"{found} trained on: the collection was split again since. Fit again, or convert it with the splits that "
            "it had (--split-by given)"
        )


def _hashes(name: str, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hash groups together with the name of their data set."""
    digests = (hashlib.sha256(f"{name}:{group}".encode()).digest()[:8] for group in groups.tolist())
    return np.fromiter((int.from_bytes(digest, "little", signed=True) for digest in digests), np.int64, len(groups))

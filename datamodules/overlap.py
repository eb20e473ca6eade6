"""Groups (studies, articles, patients) that weights were trained on, which no evaluation may ask for."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray

from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.shards.joined import Groups


def trained_on(groups: Iterable[Groups]) -> dict[str, Any]:
    """Note the groups of a training split, for checkpoints.

    Groups are stored as hashes, because the number of a group may be the number of a patient.

    Args:
        groups: Groups of the training items: of the data set, then of each collection that it was joined from.

    Returns:
        ``name``, and ``groups``: (G,) int64 hashes, ascending; of a joined data set ``joined``, a list of the same.
    """
    first, *parts = (
        {"name": one.name, "groups": torch.from_numpy(np.unique(_hashes(one.name, np.unique(one.numbers))))}
        for one in groups
    )
    return {**first, "joined": parts} if parts else first


def check_overlap(
    stored: Mapping[str, Any], groups: Iterable[Groups], split: str, folder: object, *, warn: bool
) -> None:
    """Look for groups of a split of queries among those that were trained on.

    Those of another data set are other groups in most cases (both may count their studies from 1): a warning says so.
    What was joined is compared collection by collection.

    Args:
        stored: What `trained_on` noted of the training split of a checkpoint.
        groups: Groups of the items of the split: of the data set, then of each collection that it was joined from.
        split: Name of the split.
        folder: Where it is.
        warn: Whether to warn instead of raising an error.

    Raises:
        CheckpointError: If there are any, of this data set or collection.
    """
    first, *parts = groups
    _check(stored, first, split, folder, warn=warn)
    for noted in (stored, *stored.get("joined", ())):
        for one in (first, *parts):
            if one.name == noted["name"] and (noted is not stored or one is not first):
                _check(noted, one, split, folder, warn=warn)


def _check(stored: Mapping[str, Any], groups: Groups, split: str, folder: object, *, warn: bool) -> None:
    own = np.unique(groups.numbers)
    seen = int(np.isin(_hashes(stored["name"], own), stored["groups"].numpy()).sum())
    if not seen:
        return
    name = groups.name
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

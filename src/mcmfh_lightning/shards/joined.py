"""Folders that were joined from those of several collections: how their items and groups are called."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.shards.feature_reader import FeatureShardReader
from mcmfh_lightning.shards.packing import group_number
from mcmfh_lightning.shards.pair_reader import PairShardReader
from mcmfh_lightning.shards.relabel import conversion

JOINED = "joined"
"""Entry of the settings of the pairs: a list of the collections, each with its ``name``."""


class Groups(NamedTuple):
    """Groups of the items of one collection.

    Attributes:
        name: Name of the collection.
        numbers: (N,) int64, group of each item by its number in that collection.
    """

    name: str
    numbers: NDArray[np.int64]


def joined_name(collection: str, name: str) -> str:
    """Name an item or a group of a collection in a folder that holds several."""
    return f"{collection}/{name}"


def groups_of_collections(reader: PairShardReader | FeatureShardReader) -> Iterator[Groups]:
    """Yield the groups of what a reader reads, then those of each collection that was joined, by their own numbers."""
    yield Groups(reader.info.name, reader.groups)
    for part in conversion(reader.info).get(JOINED, ()):
        prefix = joined_name(part["name"], "")
        own = [group_number(name.removeprefix(prefix)) for name in reader.group_names if name.startswith(prefix)]
        yield Groups(part["name"], np.array(own, dtype=np.int64))

"""What a code may see: the protocols of evaluation, as pairs of the codes that a hasher gives."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

ProtocolName = Literal["unimodal", "asymmetric", "paired"]
Side = Literal["image", "text", "both"]

SIDES: Mapping[str, Side] = {
    "image": "image",
    "text": "text",
    "case": "both",
    "fused_image": "both",
    "fused_text": "both",
}
"""What an item must have for each code of `EvaluationOutput`: databases may hold images without a text and texts
without an image, and a database of one side has the items that have it."""


class Direction(NamedTuple):
    """One ranking of a protocol; the codes are named as in `EvaluationOutput`."""

    name: str
    query: str
    database: str

    @property
    def side(self) -> Side:
        """What the items of the database must have."""
        return SIDES[self.database]


PROTOCOLS: Mapping[str, tuple[Direction, Direction]] = {
    "unimodal": (Direction("i2t", "image", "text"), Direction("t2i", "text", "image")),
    "asymmetric": (Direction("i2case", "image", "case"), Direction("t2case", "text", "case")),
    "paired": (Direction("i2t", "fused_image", "fused_text"), Direction("t2i", "fused_text", "fused_image")),
}
"""Image queries first, then text queries. In ``paired`` a query sees its own partner: it stands apart."""


def database_side(protocol: str, direction: str) -> Side:
    """What the database of a ranking holds.

    Args:
        protocol: A key of `PROTOCOLS`.
        direction: Name of one of its directions.
    """
    return next(one.side for one in PROTOCOLS[protocol] if one.name == direction)


class LabelledItems(Protocol):
    """The table of a split, as far as the nulls, the query subsets and ``queries.csv`` need it."""

    @property
    def ids(self) -> list[str]:
        """N ids, as the collection names its items."""

    @property
    def group_names(self) -> list[str]:
        """N groups, as the collection names them."""

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(N, ceil(num_labels / 8)) packed label sets."""

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) study, article or patient of an item."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """(N, 2) whether an item has an image, a text."""

    @property
    def text_hashes(self) -> NDArray[np.int64]:
        """(N,) equal for equal texts."""


@runtime_checkable
class EvaluationData(Protocol):
    """What the ranking callback asks of a datamodule; `FeatureDataModule` gives it."""

    label_vocabulary: Sequence[str]
    normal_label: str | None
    encoder: Mapping[str, Any]

    def evaluation_loaders(self, stage: Literal["validate", "test"]) -> list[str]:
        """Names of the stage's loaders: "query", then the databases."""

    def reader(self, split: str) -> LabelledItems:
        """The table of a split."""

"""What a code may see: the protocols of evaluation, as pairs of the codes that a hasher gives."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

ProtocolName = Literal["unimodal", "asymmetric", "paired"]


class Direction(NamedTuple):
    """One ranking of a protocol; the codes are named as in `EvaluationOutput`."""

    name: str
    query: str
    database: str


PROTOCOLS: Mapping[str, tuple[Direction, Direction]] = {
    "unimodal": (Direction("i2t", "image", "text"), Direction("t2i", "text", "image")),
    "asymmetric": (Direction("i2case", "image", "case"), Direction("t2case", "text", "case")),
    "paired": (Direction("i2t", "fused_image", "fused_text"), Direction("t2i", "fused_text", "fused_image")),
}
"""Image queries first, then text queries. In ``paired`` a query sees its own partner: it stands apart."""


class LabelledTexts(Protocol):
    """The table of a split, as far as the nulls and the query subsets need it."""

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(N, ceil(num_labels / 8)) packed label sets."""

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

    def reader(self, split: str) -> LabelledTexts:
        """The table of a split."""

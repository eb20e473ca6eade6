"""Protocols of evaluation: which code is ranked for which, by what name a report calls it, and what it asks of data.

Nothing here imports torch, so that whatever reads reports can share these names.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

ProtocolName = Literal["unimodal", "asymmetric", "paired"]
Side = Literal["image", "text", "both"]

MODEL, HYPERPLANES, CONSTANT, CHANCE = "model", "hyperplanes", "constant", "chance"
SHUFFLED, SHUFFLED_WITHIN = "shuffled queries", "shuffled within"
INSTANCE_PROTOCOL, INSTANCE_DATABASE = "unimodal", "unseen"
"""Where finding one's own partner is a question: in the split of the queries, by codes that have not seen it."""


class Direction(NamedTuple):
    """One ranking of a protocol: one search.

    Attributes:
        name: Name in reports, and of the search in ``EvaluationOutput["queries"]``.
        query: Code of the queries, named as in `EvaluationOutput`, of a method with one code for all searches.
        database: Code of the database.
        side: What an item of the database needs to have this code. Databases may hold images without a text and texts
            without an image; only the items that have the side are ranked.
    """

    name: str
    query: str
    database: str
    side: Side


PROTOCOLS: Mapping[str, tuple[Direction, ...]] = {
    "unimodal": (
        Direction("i2t", "image", "text", "text"),
        Direction("t2i", "text", "image", "image"),
        Direction("i2i", "image", "image", "image"),
        Direction("t2t", "text", "text", "text"),
    ),
    "asymmetric": (Direction("i2case", "image", "case", "both"), Direction("t2case", "text", "case", "both")),
    "paired": (
        Direction("i2t", "fused_image", "fused_text", "both"),
        Direction("t2i", "fused_text", "fused_image", "both"),
    ),
}
"""In ``paired`` a query sees its own partner: it stands apart. In ``i2i`` and ``t2t``, as everywhere, items of the
query's own group are left out, and with them the query itself."""

CROSS_MODAL = PROTOCOLS["unimodal"][:2]
"""The directions in which a query has a partner among the items."""


class Ranking(NamedTuple):
    """One ranking of a database, by the model or by a null."""

    system: str
    protocol: str
    direction: Direction


def query_code(outputs: Mapping[str, Any], protocol: str, direction: Direction) -> Any:  # noqa: ANN401  # a tensor
    """Return the code of the queries of a search: its own, or that of the modality.

    Args:
        outputs: What a method returns, an `EvaluationOutput`.
        protocol: Name of the protocol.
        direction: The search.
    """
    of_search = {} if protocol == "paired" else outputs.get("queries", {})
    return of_search.get(direction.name, outputs[direction.query])


class LabeledItems(Protocol):
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
    """Interface of a datamodule for the ranking callback; `FeatureDataModule` has it."""

    label_vocabulary: Sequence[str]
    normal_label: str | None
    encoder: Mapping[str, Any]

    def evaluation_loaders(self, stage: Literal["validate", "test"]) -> list[str]:
        """Names of the stage's loaders: "query", then the databases."""

    def reader(self, split: str) -> LabeledItems:
        """Return the table of a split."""


def normal_position(data: EvaluationData) -> int | None:
    """Find the position of the normal label in the vocabulary; None without a normal label."""
    return None if data.normal_label is None else list(data.label_vocabulary).index(data.normal_label)

"""The searches that people make: what they search by, and what they search for.

Nothing here imports torch, so that whatever reads reports and archives can share these names.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

SearchName = Literal["i2t", "t2i", "i2i", "t2t", "i2case", "t2case"]


class Search(NamedTuple):
    """One search.

    Attributes:
        query: Modality that is searched by.
        target: Code of the items that are searched: of images, of texts, or of cases, which have both.
    """

    query: Literal["image", "text"]
    target: Literal["image", "text", "case"]


SEARCHES: Mapping[SearchName, Search] = {
    "i2t": Search("image", "text"),
    "t2i": Search("text", "image"),
    "i2i": Search("image", "image"),
    "t2t": Search("text", "text"),
    "i2case": Search("image", "case"),
    "t2case": Search("text", "case"),
}
"""Every search by its name."""
MEASURED: tuple[SearchName, ...] = ("i2t", "t2i", "i2i", "i2case", "t2case")
"""The searches whose mean speaks for a method. A text finds other texts by its words too: ``t2t`` is reported, outside
the mean."""


def find_search(query: str, target: str) -> SearchName:
    """Name the search by a modality for images, texts or cases.

    >>> find_search("text", "case")
    't2case'
    """
    return next(name for name, search in SEARCHES.items() if search == (query, target))

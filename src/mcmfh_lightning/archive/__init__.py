"""Archives of hashed cases: build, search, show, serve."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mcmfh_lightning.archive import remote_catalogs

if TYPE_CHECKING:
    from mcmfh_lightning.archive.filters import Filters
    from mcmfh_lightning.archive.queries import Query
    from mcmfh_lightning.archive.results import Hit, Item, Reason, SearchResult
    from mcmfh_lightning.archive.search import Archive

__all__ = ["Archive", "Filters", "Hit", "Item", "Query", "Reason", "SearchResult"]

_MODULES = {
    "Archive": "search",
    "Filters": "filters",
    "Query": "queries",
    **dict.fromkeys(("Hit", "Item", "Reason", "SearchResult"), "results"),
}

remote_catalogs.put_off()


def __getattr__(name: str) -> Any:  # noqa: ANN401  # classes
    """Import a class on first use: the command line reads `results` before it knows that faiss and Arrow are there."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

"""Archives of hashed cases that people search."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcmfh_lightning.archive.archive import Archive
    from mcmfh_lightning.archive.filters import Filters
    from mcmfh_lightning.archive.results import Hit, Item, SearchResult

__all__ = ["Archive", "Filters", "Hit", "Item", "SearchResult"]

_MODULES = {"Archive": "archive", "Filters": "filters", "Hit": "results", "Item": "results", "SearchResult": "results"}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # classes
    """Import what is asked for: the extra ``archive`` may be missing, which the command line says in one line."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

"""Medical cross-modal hashing in PyTorch Lightning. Research use, not diagnosis."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcmfh_lightning.pretrained import load

__version__ = version("mcmfh-lightning")
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # one function
    """Import `load` on first use: it needs torch, which most commands do without."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mcmfh_lightning.pretrained import load

    return load

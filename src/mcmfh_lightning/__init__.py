"""Medical cross-modal hashing in PyTorch Lightning. Research use, not diagnosis."""

import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcmfh_lightning.pretrained import load

# onnxruntime (1.32) sends events of its use to Microsoft unless this is set before it is imported, wherever that is.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = version("mcmfh-lightning")
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # one function
    """Import `load` on first use: it needs torch, which most commands do without."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mcmfh_lightning.pretrained import load

    return load

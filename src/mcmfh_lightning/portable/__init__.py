"""Exported hashers and encoders, run by onnxruntime: nothing here imports torch.

`mcmfh_lightning.export` writes the folders that are read here.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcmfh_lightning.portable.hasher import PortableHasher

__all__ = ["PortableHasher"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # a class
    """Import the class on first use: encoders take `TokenCount` from here, and need no onnxruntime."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mcmfh_lightning.portable import hasher

    return getattr(hasher, name)

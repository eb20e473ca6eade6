"""Medical cross-modal hashing in PyTorch Lightning. Research use, not diagnosis."""

from importlib.metadata import version

__version__ = version("mcmfh-lightning")

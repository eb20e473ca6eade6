"""Registry of the methods, which tests, configs, checkpoints and the index of the docs read.

A new method touches five files: its module, its export in ``hashers/__init__.py``, ``model/<name>.yaml`` among the
configs, a page of the docs, and an entry here. ``--config experiments/<name>.yaml`` then works without a file.
"""

from dataclasses import dataclass

from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.cca_itq import CCAITQ
from mcmfh_lightning.hashers.dchmt import DCHMT
from mcmfh_lightning.hashers.ddbh import DDBH
from mcmfh_lightning.hashers.dscph import DScPH
from mcmfh_lightning.hashers.label_classifier import LabelClassifier
from mcmfh_lightning.hashers.mcmfh import MCMFH
from mcmfh_lightning.hashers.real_valued import RealValued
from mcmfh_lightning.hashers.tripah import TriPAH
from mcmfh_lightning.hashers.two_tower import TwoTower
from mcmfh_lightning.hashers.ucmfh import UCMFH
from mcmfh_lightning.nearest import did_you_mean


@dataclass(frozen=True)
class Method:
    """Entry of the registry.

    Attributes:
        name: Name of its configs, ``experiments/<name>.yaml`` and ``model/<name>.yaml``, and of its page of the docs.
        title: Name in tables and on pages.
        hasher: Class of the method.
        learns_from: ``labels``, ``pairs``, or ``labels or pairs`` where ``--model.supervision`` chooses.
        codes_see: Modalities that enter a code, for the index of the docs.
        by_gradients: Whether gradients train it, so that `EndToEnd` can train an encoder with it; else it is fitted in
            closed form.
        published: Whether ``<name>_published.yaml`` has the settings of its authors; ``<name>.yaml`` is then tuned.
    """

    name: str
    title: str
    hasher: type[Hasher]
    learns_from: str
    codes_see: str = "one modality"
    by_gradients: bool = True
    published: bool = False

    @property
    def hashes(self) -> bool:
        """Say whether it makes codes; other methods rank real-valued vectors by cosine."""
        return self.hasher.distance == "hamming"


_METHODS = (
    Method("mcmfh", "MCMFH", MCMFH, "labels or pairs", "one modality, or both"),
    Method("two_tower", "TwoTower", TwoTower, "labels or pairs"),
    Method("ucmfh", "UCMFH", UCMFH, "pairs", "both; zeros for a missing one", published=True),
    Method("dscph", "DScPH", DScPH, "labels", published=True),
    Method("ddbh", "DDBH", DDBH, "labels", published=True),
    Method("dchmt", "DCHMT", DCHMT, "labels", published=True),
    Method("tripah", "TriPAH", TriPAH, "labels", published=True),
    Method("cca_itq", "CCA-ITQ", CCAITQ, "pairs", by_gradients=False),
    Method("real_valued", "RealValued", RealValued, "labels or pairs", "one modality; no codes"),
    Method("label_classifier", "LabelClassifier", LabelClassifier, "labels", "one modality; no codes"),
)


def list_methods() -> tuple[Method, ...]:
    """List all methods, in the order of the docs."""
    return _METHODS


def get_method(name: str) -> Method:
    """Find a method by its name.

    Raises:
        ConfigError: If there is no such method; the message names the nearest, or all.
    """
    for method in _METHODS:
        if method.name == name:
            return method
    names = [method.name for method in _METHODS]
    fix = did_you_mean(name, names) or f"; choose one of {', '.join(names)}"
    raise ConfigError(f"unknown method {name!r}{fix}")

"""Registry of the methods: what tests, configs, checkpoints and the index of the docs go through.

A new method touches five files: its module, its export in ``hashers/__init__.py``, ``model/<name>.yaml`` among the
configs, a page of the docs, and an entry here. ``--config experiments/<name>.yaml`` then works without a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.cca_itq import CCAITQ
from mcmfh_lightning.hashers.ddbh import DDBH
from mcmfh_lightning.hashers.dscph import DScPH
from mcmfh_lightning.hashers.label_classifier import LabelClassifier
from mcmfh_lightning.hashers.mcmfh import MCMFH
from mcmfh_lightning.hashers.real_valued import RealValued
from mcmfh_lightning.hashers.two_tower import TwoTower
from mcmfh_lightning.hashers.ucmfh import UCMFH


@dataclass(frozen=True)
class Method:
    """Entry of the registry."""

    name: str
    """Name of its configs, ``experiments/<name>.yaml`` and ``model/<name>.yaml``, and of its page of the docs."""
    title: str
    """Name in tables and on pages."""
    hasher: type[Hasher]
    """Its class."""
    learns_from: str
    """``labels``, ``pairs``, or ``labels or pairs`` where ``--model.supervision`` chooses."""
    codes_see: str
    """Modalities that enter a code, for the index of the docs."""
    by_gradients: bool = True
    """Whether it is trained by gradients, so that `EndToEnd` can train its encoder too; else in closed form."""
    published: Mapping[str, Any] = field(default_factory=dict)
    """Constants of the authors' code by flag; methods that have some come with ``<name>_published.yaml`` as well."""

    @property
    def hashes(self) -> bool:
        """Whether it makes codes; other methods rank real-valued vectors by cosine."""
        return self.hasher.distance == "hamming"


_METHODS = [
    Method("mcmfh", "MCMFH", MCMFH, "labels or pairs", "one modality, or both"),
    Method("two_tower", "TwoTower", TwoTower, "labels or pairs", "one modality"),
    Method(
        "ucmfh",
        "UCMFH",
        UCMFH,
        "pairs",
        "both; zeros for a missing one",
        published={
            "model.temperature": 0.5,
            "model.d_model": 512,
            "model.fusion_lr_scale": 0.1,
            "model.optimizer.init_args.betas": [0.5, 0.999],
            "data.global_batch_size": 128,
        },
    ),
    Method(
        "dscph",
        "DScPH",
        DScPH,
        "labels",
        "one modality",
        published={
            "model.negative_threshold": 0.9,
            "model.negative_offset": 0.7,
            "model.bit_variance_weight": 1,
            "model.triplet_weight": 0,
            "data.global_batch_size": 128,
        },
    ),
    Method(
        "ddbh",
        "DDBH",
        DDBH,
        "labels",
        "one modality",
        published={"model.quantization_weight": 0.1, "data.global_batch_size": 64},
    ),
    Method("cca_itq", "CCA-ITQ", CCAITQ, "pairs", "one modality", by_gradients=False),
    Method("real_valued", "RealValued", RealValued, "labels or pairs", "one modality; no codes"),
    Method("label_classifier", "LabelClassifier", LabelClassifier, "labels", "one modality; no codes"),
]


def list_methods() -> list[Method]:
    """List all methods, in the order of the docs."""
    return list(_METHODS)


def get_method(name: str) -> Method:
    """Find a method by its name.

    Raises:
        ConfigError: If there is no such method; the message lists them.
    """
    for method in _METHODS:
        if method.name == name:
            return method
    raise ConfigError(f"unknown method {name!r}; choose one of {', '.join(method.name for method in _METHODS)}")

"""Modules of PyTorch that the hashers are made of."""

import warnings

from mcmfh_lightning.layers.concat_fusion import ConcatFusion
from mcmfh_lightning.layers.dropout_voting import DropoutVoting, EvalVotes, KeyedDropout, Vote
from mcmfh_lightning.layers.fusion import Fused, Fusion, FusionTransformer, View
from mcmfh_lightning.layers.heads import HashHead, HouseholderRotation, MakeHead, Projection, QueryHeads, SelectingHead
from mcmfh_lightning.layers.mixture_of_experts import (
    MixtureOfExperts,
    Routing,
    tokens_per_expert,
    utilization,
)

__all__ = [
    "ConcatFusion",
    "DropoutVoting",
    "EvalVotes",
    "Fused",
    "Fusion",
    "FusionTransformer",
    "HashHead",
    "HouseholderRotation",
    "KeyedDropout",
    "MakeHead",
    "MixtureOfExperts",
    "Projection",
    "QueryHeads",
    "Routing",
    "SelectingHead",
    "View",
    "Vote",
    "tokens_per_expert",
    "utilization",
]


def __getattr__(name: str) -> object:
    """Return `utilization` by its former name, with a warning."""
    if name != "utilisation":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{__name__}.{name} is now utilization; the next release drops the old name", DeprecationWarning, 2)
    return utilization

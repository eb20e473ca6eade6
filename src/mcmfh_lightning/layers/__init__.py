"""Plain modules that the hashers are made of."""

from mcmfh_lightning.layers.concat_fusion import ConcatFusion
from mcmfh_lightning.layers.dropout_voting import DropoutVoting, EvalVotes, KeyedDropout, Vote
from mcmfh_lightning.layers.fusion_transformer import Fused, Fusion, FusionTransformer
from mcmfh_lightning.layers.heads import HashHead, HouseholderRotation, Projection
from mcmfh_lightning.layers.mixture_of_experts import (
    MixtureOfExperts,
    Routing,
    tokens_per_expert,
    tokens_with_content,
    utilisation,
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
    "MixtureOfExperts",
    "Projection",
    "Routing",
    "Vote",
    "tokens_per_expert",
    "tokens_with_content",
    "utilisation",
]

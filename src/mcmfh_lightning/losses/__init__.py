"""Losses: pure functions of codes, and the objective that several methods share."""

import warnings

from mcmfh_lightning.losses.average_precision import average_precision_loss
from mcmfh_lightning.losses.batch import (
    Positives,
    Supervision,
    find_positives,
    find_positives_between,
    gather_rows,
    in_full,
    shares_label,
)
from mcmfh_lightning.losses.contrastive import CodesOfBatch, ContrastiveLoss, HashingLoss, info_nce, nt_xent
from mcmfh_lightning.losses.regularizers import (
    bit_balance,
    bit_variance,
    importance,
    load_balance,
    quantization,
    router_z,
    similarity_quantization,
)
from mcmfh_lightning.losses.supervised import (
    boundary_point_loss,
    bounded_distance_loss,
    class_proxy_loss,
    semi_hard_triplet,
    similarity_likelihood,
)

__all__ = [
    "CodesOfBatch",
    "ContrastiveLoss",
    "HashingLoss",
    "Positives",
    "Supervision",
    "average_precision_loss",
    "bit_balance",
    "bit_variance",
    "boundary_point_loss",
    "bounded_distance_loss",
    "class_proxy_loss",
    "find_positives",
    "find_positives_between",
    "gather_rows",
    "importance",
    "in_full",
    "info_nce",
    "load_balance",
    "nt_xent",
    "quantization",
    "router_z",
    "semi_hard_triplet",
    "shares_label",
    "similarity_likelihood",
    "similarity_quantization",
]


def __getattr__(name: str) -> object:
    """Return a function by its former, British name, with a warning."""
    present = name.replace("quantisation", "quantization")
    if present == name or present not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{__name__}.{name} is now {present}; the next release drops the old name", DeprecationWarning, 2)
    return globals()[present]

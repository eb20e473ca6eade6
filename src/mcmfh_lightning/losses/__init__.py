"""Losses as pure functions, one a file."""

from mcmfh_lightning.losses.average_precision import average_precision_loss
from mcmfh_lightning.losses.bit_balance import bit_balance
from mcmfh_lightning.losses.bit_variance import bit_variance
from mcmfh_lightning.losses.boundary_points import boundary_point_loss, similarity_quantisation
from mcmfh_lightning.losses.class_proxy import class_proxy_loss
from mcmfh_lightning.losses.gather import gather_rows
from mcmfh_lightning.losses.gating import importance, load_balance, router_z
from mcmfh_lightning.losses.info_nce import info_nce
from mcmfh_lightning.losses.nt_xent import nt_xent
from mcmfh_lightning.losses.positives import Positives, Supervision, find_positives, shares_label
from mcmfh_lightning.losses.quantisation import quantisation
from mcmfh_lightning.losses.triplet import semi_hard_triplet

__all__ = [
    "Positives",
    "Supervision",
    "average_precision_loss",
    "bit_balance",
    "bit_variance",
    "boundary_point_loss",
    "class_proxy_loss",
    "find_positives",
    "gather_rows",
    "importance",
    "info_nce",
    "load_balance",
    "nt_xent",
    "quantisation",
    "router_z",
    "semi_hard_triplet",
    "shares_label",
    "similarity_quantisation",
]

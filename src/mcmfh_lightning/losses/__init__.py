"""Losses as pure functions, one a file."""

from mcmfh_lightning.losses.average_precision import average_precision_loss
from mcmfh_lightning.losses.boundary_points import boundary_point_loss, similarity_quantisation
from mcmfh_lightning.losses.class_proxy import bit_variance, class_proxy_loss, semi_hard_triplet
from mcmfh_lightning.losses.codes import bit_balance, quantisation
from mcmfh_lightning.losses.contrastive import Positives, Supervision, find_positives, info_nce, nt_xent, shares_label
from mcmfh_lightning.losses.gather import gather_rows
from mcmfh_lightning.losses.gating import importance, load_balance, router_z

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

"""Losses as pure functions, one a file."""

from mcmfh_lightning.losses.average_precision import average_precision_loss
from mcmfh_lightning.losses.bit_balance import bit_balance
from mcmfh_lightning.losses.gather import gather_rows
from mcmfh_lightning.losses.gating import importance, load_balance, router_z
from mcmfh_lightning.losses.info_nce import info_nce
from mcmfh_lightning.losses.positives import Positives, Supervision, find_positives, shares_label
from mcmfh_lightning.losses.quantisation import quantisation

__all__ = [
    "Positives",
    "Supervision",
    "average_precision_loss",
    "bit_balance",
    "find_positives",
    "gather_rows",
    "importance",
    "info_nce",
    "load_balance",
    "quantisation",
    "router_z",
    "shares_label",
]

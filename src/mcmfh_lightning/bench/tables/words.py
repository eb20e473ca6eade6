"""What the tables show, in their order and under the names of ``ranking.csv``."""

from collections.abc import Mapping

PROTOCOLS: Mapping[str, tuple[str, str]] = {
    "unimodal": ("i2t", "t2i"),
    "asymmetric": ("i2case", "t2case"),
    "paired": ("i2t", "t2i"),
}
"""The directions of each protocol; as `mcmfh_lightning.evaluation.protocols` has them, which needs Lightning."""
DATABASES = ("unseen", "train+val")
METRICS = ("mAP@all", "mAP@50", "NDCG@50")
MODEL, CHANCE, HYPERPLANES = "model", "chance", "hyperplanes"
NULLS = (CHANCE, HYPERPLANES, "constant", "shuffled queries", "shuffled within")
HEADLINE = "unimodal", "unseen"
"""The protocol and the database that speak for a system."""
HEADLINE_METRIC = "mAP@all"
MONITOR = "val/mAP"
"""As `mcmfh_lightning.callbacks.hamming_ranking` logs it."""
ALL, ABNORMAL = "all", "abnormal"
PAIRED_NOTE = "A query sees its own partner: not comparable with the other protocols."
RESEARCH_USE = "Research use, not diagnosis."


def arrow(direction: str) -> str:
    """A direction for the eye.

    >>> arrow("i2case")
    'I→case'
    """
    query, _, found = direction.partition("2")
    return f"{query.upper()}→{found.upper() if len(found) == 1 else found}"


def short(value: float) -> str:
    """Three decimals without the leading zero.

    >>> short(0.25), short(-0.0317), short(1.0)
    ('.250', '-.032', '1.000')
    """
    text = f"{value:.3f}"
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    return sign + digits.removeprefix("0")

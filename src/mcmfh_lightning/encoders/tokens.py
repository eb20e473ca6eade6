"""What text towers of any library need: a fingerprint of the tokenizer."""

import hashlib
import json
from collections.abc import Callable

_PROBES = (
    "Heart size is normal.",
    "No focal consolidation, pneumothorax or pleural effusion; XXXX 12.5 cm, T-spine.",
    "  Kardiomegalie\tnaïve µ-opacities (CPT 71046)  ",
)


def tokenizer_sha256(ids: Callable[[str], list[int]]) -> str:
    """Hash the token ids of a few fixed sentences.

    It differs for tokenizers with another vocabulary, casing or special tokens, and stays the same for one tokenizer
    under every version and file format.

    Args:
        ids: Maps a text to its token ids without padding.
    """
    return hashlib.sha256(json.dumps([ids(probe) for probe in _PROBES]).encode()).hexdigest()

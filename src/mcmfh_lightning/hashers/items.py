"""Codes of items, which do not depend on the batch that they are hashed in."""

from typing import Literal, cast

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.searches import SearchName
from mcmfh_lightning.types import FeatureBatch

Side = Literal["image", "text", "case"]
"""Code of an item."""

# Rounding could decide the sign of a relaxed code that is so near to 0: products of matrices differ by about 1e-7 with
# the number of rows, and where tokens are routed to experts, with the other rows.
_DOUBT = 1e-5


@torch.inference_mode()
def item_codes(hasher: Hasher, batch: FeatureBatch, device: str = "cpu") -> dict[Side | SearchName, Tensor]:
    """Compute relaxed codes of items.

    The code of an image or a text is that of the protocol ``unimodal``. The code of a case sees what there is: both
    modalities (protocol ``asymmetric``), or the one that the item has. Where the code of a query depends on what it
    searches, an item also has those of its image and its text as queries, each from that one alone. No sign depends on
    the batch: items for which rounding could decide are hashed once more, each alone, as a query is.

    Args:
        hasher: Hasher in evaluation mode.
        batch: B items.
        device: Where the hasher is.

    Returns:
        (B, num_bits) float32 on the CPU for each side, and for each search where queries have codes of their own; not
        defined where an item lacks the modality.
    """
    codes = _codes(hasher, batch, device)
    doubtful = torch.stack([relaxed.abs() < _DOUBT for relaxed in codes.values()]).any(2).any(0)  # (B,)
    for row in doubtful.nonzero()[:, 0].tolist():
        alone = cast("FeatureBatch", {name: cast("Tensor", column)[row : row + 1] for name, column in batch.items()})
        for side, relaxed in _codes(hasher, alone, device).items():
            codes[side][row] = relaxed[0]
    return codes


def _codes(hasher: Hasher, batch: FeatureBatch, device: str) -> dict[Side | SearchName, Tensor]:
    moved: FeatureBatch = move_data_to_device(batch, device)
    codes = hasher.evaluate(moved)
    has_image, has_text = moved["present"].unbind(1)  # (B,) each
    alone = torch.where(has_image[:, None], codes["image"], codes["text"])  # (B, num_bits)
    case = torch.where((has_image & has_text)[:, None], codes["case"], alone)
    items: dict[Side, Tensor] = {"image": codes["image"], "text": codes["text"], "case": case}
    everything = [*items.items(), *codes.get("queries", {}).items()]
    return {name: relaxed.float().cpu() for name, relaxed in everything}

"""What is shared of a trained hasher, and what is known of its test."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcmfh_lightning.evaluation.card import render_card
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.trainer.checkpoint_io import weights_sha256

REPORT = Path("test") / "metrics.json"
"""Report of ``mcmfh test`` in the folder of a run."""


@dataclass(frozen=True)
class Origin:
    """Everything that is shared with the weights of a hasher.

    Attributes:
        stored: Our entry of its checkpoint, and the weights that are shared.
        encoder_spec: How to build its encoder; None where an encoder was passed.
        value_range: Values of deep pictures that become black and white.
        report: Report of its test, None if there is none.
        card: Model card that it came with, None if there was none.
    """

    stored: Mapping[str, Any] = field(repr=False)
    encoder_spec: Mapping[str, Any] | None = None
    value_range: ValueRange | None = None
    report: Mapping[str, Any] | None = None
    card: str | None = field(default=None, repr=False)

    @property
    def weights_sha256(self) -> str:
        """Name of the shared weights, which their model card and ``config.json`` have."""
        return weights_sha256(self.stored[CHECKPOINT_KEY]["architecture"], self.stored["state_dict"])

    def card_text(self) -> str:
        """Return the card that it came with, or render one."""
        if self.card is not None:
            return self.card
        entry = self.stored[CHECKPOINT_KEY]
        known = {
            "package": f"mcmfh-lightning {entry['package_version']}",
            "hasher": entry["architecture"],
            "num_bits": entry["num_bits"],
            "encoder": entry["encoder"],
        }
        return render_card(known | dict(self.report or {}) | {"weights_sha256": self.weights_sha256})


def find_report(run: Path, weights: str) -> dict[str, Any] | None:
    """Read the report of the test of a run; None if there is none, or it is of other weights.

    Args:
        run: Folder of the run.
        weights: Hash of the weights that it must be about.
    """
    try:
        report = json.loads((run / REPORT).read_bytes())
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) and report.get("weights_sha256") == weights else None

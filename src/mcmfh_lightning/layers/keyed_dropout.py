"""Dropout whose masks belong to samples."""

from torch import Tensor, nn

from mcmfh_lightning.randomness import SampleKey, keyed_mask

_BETWEEN_SITES = 1_000_003


class KeyedDropout(nn.Module):
    """Dropout (Srivastava et al., JMLR 2014) drawn from (seed, site, step, sample id).

    ``torch.nn.Dropout`` draws from a free-running generator: another number of processes, or a resumed run, would drop
    other units.

    Args:
        rate: Chance that a unit is dropped, in [0, 1).
        seed: Seed of the masks.
        site: Number of this dropout among those of its model; each draws masks of its own.

    Raises:
        ValueError: If the rate is outside [0, 1).
    """

    def __init__(self, rate: float, seed: int, site: int) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"rate={rate} is outside [0, 1)")
        self.keep = 1.0 - rate
        self.seed = seed + _BETWEEN_SITES * site

    def forward(self, units: Tensor, key: SampleKey | None) -> Tensor:
        """Drop units and scale the others by 1 / (1 - rate).

        Args:
            units: (B, ...), a row for each sample.
            key: Draws the masks; None drops nothing.

        Returns:
            (B, ...).
        """
        if key is None:
            return units
        mask = keyed_mask(self.keep, seed=self.seed, step=key.step, ids=key.ids, shape=tuple(units.shape[1:]))
        return units * (mask.to(units.dtype) / self.keep)

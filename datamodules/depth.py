"""From pixel values of any depth to 8 bits: one rule for PNG and DICOM, collections and queries.

Values from 0 to the greatest that their depth can hold are scaled linearly to 0 to 255. The depth is what the file
says (sBIT of a PNG, BitsStored of DICOM), else the smallest of `DEPTHS` that holds the greatest value of the picture.
A range that the user gives takes the place of both.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import ConfigError

ValueRange = tuple[float, float]
"""The values that become black and white."""

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that detectors and their files have; what has more is taken by its own length."""

BY_RANGE = "scaled by --value-range"


class Scale(NamedTuple):
    """How values become 8 bits.

    Attributes:
        low: The value that becomes 0.
        high: The value that becomes 255.
        bits: The depth that was taken; None where something else decided.
        assumed: What a summary counts, or nothing.
    """

    low: float
    high: float
    bits: int | None
    assumed: str


def check_value_range(value_range: ValueRange | None) -> ValueRange | None:
    """Check a range that a user or a file gives.

    Returns:
        The same as a pair of floats, or None.

    Raises:
        ConfigError: If it is not two finite numbers, the lower one first.
    """
    if value_range is None:
        return None
    low, high = (float(value) for value in value_range)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ConfigError(f"--value-range [{low:g}, {high:g}]: give two finite numbers, the lower one first")
    return low, high


def choose_scale(greatest: int, stated: int | None, value_range: ValueRange | None) -> Scale:
    """Choose how the values of a picture become 8 bits.

    Args:
        greatest: Its greatest value; the least is 0 or more.
        stated: Bits that its file says it has, or None.
        value_range: The user's range, or None.
    """
    if value_range is not None:
        return Scale(*value_range, None, BY_RANGE)
    if stated is not None:
        return Scale(0, 2**stated - 1, stated, f"scaled from {stated} bits, as the file says")
    bits = next((bits for bits in DEPTHS if greatest < 2**bits), greatest.bit_length())
    return Scale(0, 2**bits - 1, bits, f"scaled from {bits} bits, by its greatest value")


def to_eight_bits(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.uint8]:
    """Scale values linearly, so that `low` becomes 0 and `high` 255; those beyond are cut to these.

    Args:
        values: Numbers, of any shape.
        low: Less than `high`.
        high: See `low`.
    """
    shifted = values.astype(np.float64) - low
    return np.rint(np.clip(shifted * (255 / (high - low)), 0, 255)).astype(np.uint8)


def sixteen_to_eight_bits(values: NDArray[np.uint16], scale: Scale) -> NDArray[np.uint8]:
    """Do what `to_eight_bits` does by a table of all values, with a byte a pixel instead of eight."""
    return to_eight_bits(np.arange(2**16), scale.low, scale.high)[values]

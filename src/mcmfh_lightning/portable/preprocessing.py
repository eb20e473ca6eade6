"""Preparation of pictures for an image tower with Pillow and NumPy, equal to the last bit to the tower's transforms."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ConfigDict, Field

Fit = Literal["shorter", "exact", "around", "inside"]
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
_Side = Annotated[int, Field(ge=1, le=8192)]  # a file from elsewhere must not ask for all memory
_Level = Annotated[int, Field(ge=0, le=255)]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Parameters of the preparation: RGB, scaled, cut or padded to a size, standardized.

    Attributes:
        fit: How a picture is scaled. ``shorter``: its shorter side becomes ``height``, the longer one is rounded down.
            ``exact``: its sides become ``height`` and ``width``. ``around`` and ``inside``: it keeps its proportions
            and just covers, or just fits into, a rectangle of them.
        height: See ``fit``.
        width: See ``fit``.
        resample: Filter of Pillow.
        out_height: Height of the result, which is cut from the center.
        out_width: Width of the result.
        fill: Color around a picture that is smaller than the result.
        mean: Mean of each channel, in [0, 1].
        std: Divisor of each channel.
    """

    fit: Fit
    height: _Side
    width: _Side
    resample: Resample
    out_height: _Side
    out_width: _Side
    fill: tuple[_Level, _Level, _Level]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    def __call__(self, picture: Image.Image) -> NDArray[np.float32]:
        """Prepare a picture of any mode and size.

        Returns:
            (3, out_height, out_width).
        """
        rgb = picture.convert("RGB")
        scaled = rgb.resize(self._scaled_size(*rgb.size), Image.Resampling[self.resample.upper()])
        pixels: NDArray[np.float32] = np.array(self._centered(scaled), dtype=np.float32)
        pixels /= np.float32(255)
        pixels -= np.array(self.mean, np.float32)
        pixels /= np.array(self.std, np.float32)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def _scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height of the scaled picture; each way rounds as the transforms do."""
        match self.fit:
            case "exact":
                return self.width, self.height
            case "shorter":
                longer = int(self.height * max(width, height) / min(width, height))
                return (self.height, longer) if width <= height else (longer, self.height)
        ratios = height / self.height, width / self.width
        ratio = max(ratios) if self.fit == "inside" else min(ratios)
        return max(round(width / ratio), 1), max(round(height / ratio), 1)

    def _centered(self, picture: Image.Image) -> Image.Image:
        """Cut or pad each side to the result's."""
        canvas = Image.new("RGB", (self.out_width, self.out_height), self.fill)
        canvas.paste(picture, (_offset(self.out_width, picture.width), _offset(self.out_height, picture.height)))
        return canvas


def _offset(out: int, side: int) -> int:
    """Find where a side begins in the result: negative where the picture is cut."""
    return (out - side) // 2 if out > side else -round((side - out) / 2)

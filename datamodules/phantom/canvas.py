"""A grey canvas in unit coordinates on which shapes add or remove density."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Point = tuple[float, float]
Grid = NDArray[np.float32]
SIZE = 300
"""Side of the canvas in pixels; the film is made from it a quarter smaller, which smooths its edges."""


class Canvas:
    """Density (SIZE, SIZE) float32, 0 is air and about 1 is bone; x to the right and y down, both in [0, 1]."""

    def __init__(self) -> None:
        self.density: Grid = np.zeros((SIZE, SIZE), dtype=np.float32)

    def add(self, mask: Grid, amount: float) -> None:
        """Add ``amount`` of density where ``mask`` is 1."""
        self.density += mask * np.float32(amount)

    def fill(self, mask: Grid, level: float) -> None:
        """Raise the density to ``level`` where ``mask`` is 1 and it is lower."""
        self.density += mask * np.maximum(np.float32(level) - self.density, np.float32(0))


class Stencil:
    """Shapes drawn together, then blurred together into a mask with values in [0, 1]."""

    def __init__(self) -> None:
        self._image = Image.new("L", (SIZE, SIZE))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Sequence[Point]) -> None:
        """Fill a polygon."""
        self._draw.polygon(_pixels(points), fill=255)

    def ellipse(self, centre: Point, radii: Point) -> None:
        """Fill an ellipse along the axes."""
        (x, y), (rx, ry) = centre, radii
        self._draw.ellipse(_pixels([(x - rx, y - ry), (x + rx, y + ry)]), fill=255)

    def line(self, points: Sequence[Point], width: float) -> None:
        """Draw a polyline with round joints; ``width`` in units."""
        self._draw.line(_pixels(points), fill=255, width=max(1, round(width * SIZE)), joint="curve")

    def erase(self, points: Sequence[Point]) -> None:
        """Cut a polygon out of what was drawn."""
        self._draw.polygon(_pixels(points), fill=0)

    def mask(self, blur: float = 0.0) -> Grid:
        """The mask, its edges softened by a Gaussian of ``blur`` units."""
        image = self._image.filter(ImageFilter.GaussianBlur(blur * SIZE)) if blur else self._image
        return np.asarray(image, dtype=np.float32) / np.float32(255)


def _pixels(points: Sequence[Point]) -> list[Point]:
    return [(x * SIZE, y * SIZE) for x, y in points]


@cache
def _axis() -> Grid:
    return ((np.arange(SIZE) + 0.5) / SIZE).astype(np.float32)


def blob(centre: Point, radii: Point, angle: float = 0.0) -> Grid:
    """A soft ellipse: a Gaussian with standard deviations ``radii``, turned by ``angle`` radians."""
    x = _axis()[None] - np.float32(centre[0])
    y = _axis()[:, None] - np.float32(centre[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = (x * cos + y * sin) / np.float32(radii[0]), (y * cos - x * sin) / np.float32(radii[1])
    return np.exp(np.float32(-0.5) * (along * along + across * across))


def clouds(rng: np.random.Generator, cells: int) -> Grid:
    """Smooth random texture with mean 0 and about unit variance, ``cells`` bumps across."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    smooth = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float32)

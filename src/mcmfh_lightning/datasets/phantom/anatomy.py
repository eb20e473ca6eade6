"""Chest without findings: its measures, and how they are drawn on a gray canvas.

The film is seen as radiologists see it: the patient's right side is on the left of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

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

    def polygon(self, points: Sequence[Point]) -> "Stencil":
        """Fill a polygon."""
        self._draw.polygon(_pixels(points), fill=255)
        return self

    def ellipse(self, center: Point, radii: Point) -> "Stencil":
        """Fill an ellipse along the axes."""
        (x, y), (rx, ry) = center, radii
        self._draw.ellipse(_pixels([(x - rx, y - ry), (x + rx, y + ry)]), fill=255)
        return self

    def line(self, points: Sequence[Point], width: float) -> "Stencil":
        """Draw a polyline with round joints; ``width`` in units."""
        self._draw.line(_pixels(points), fill=255, width=max(1, round(width * SIZE)), joint="curve")
        return self

    def mask(self, blur: float = 0.0) -> Grid:
        """Return the mask, its edges softened by a Gaussian of ``blur`` units."""
        image = self._image.filter(ImageFilter.GaussianBlur(blur * SIZE)) if blur else self._image
        return np.asarray(image, dtype=np.float32) / np.float32(255)


def _pixels(points: Sequence[Point]) -> list[Point]:
    return [(x * SIZE, y * SIZE) for x, y in points]


@cache
def _axis() -> Grid:
    return ((np.arange(SIZE) + 0.5) / SIZE).astype(np.float32)


def blob(center: Point, radii: Point, angle: float = 0.0) -> Grid:
    """Return a soft ellipse: a Gaussian with standard deviations ``radii``, turned by ``angle`` radians."""
    x = _axis()[None] - np.float32(center[0])
    y = _axis()[:, None] - np.float32(center[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = (x * cos + y * sin) / np.float32(radii[0]), (y * cos - x * sin) / np.float32(radii[1])
    return np.exp(np.float32(-0.5) * (along * along + across * across))


def clouds(rng: np.random.Generator, cells: int) -> Grid:
    """Draw a smooth random texture with mean 0 and about unit variance, ``cells`` bumps across."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    smooth = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float32)


Side = Literal["right", "left"]
SIDES: tuple[Side, Side] = ("right", "left")


@dataclass(frozen=True)
class Anatomy:
    """Measures of one patient, in units of the picture's side.

    Attributes:
        middle: X of the midline.
        apex: Y of the top of the lungs.
        base: Y of the domes of the diaphragm, right and left.
        half_width: Half the width of the rib cage at its widest.
        heart: Width of the heart over that of the rib cage; below .5 is normal.
        curve: Sideways bend of the spine; about 0 is straight.
        flat: 0 for a domed diaphragm, 1 for a flat one.
        breast: Density of breast shadows, 0 for none.
        ribs: Phase of the ribs, 0 to 1.
    """

    middle: float
    apex: float
    base: tuple[float, float]
    half_width: float
    heart: float
    curve: float
    flat: float
    breast: float
    ribs: float

    def sign(self, side: Side) -> int:
        """Return the direction in the picture of a side of the patient."""
        return -1 if side == "right" else 1

    def bottom(self, side: Side) -> float:
        """Return y of the dome of one side."""
        return self.base[0] if side == "right" else self.base[1]

    def in_lung(self, side: Side, across: float, down: float) -> Point:
        """Return a point, ``across`` a lung from midline (0) to chest wall (1), ``down`` from apex (0) to base (1)."""
        y = self.apex + down * (self.bottom(side) - self.apex)
        return self.middle + self.sign(side) * across * self.half_width * _bulge(down), y

    def spine(self, y: float) -> float:
        """Return x of the spine at a height."""
        return self.middle + self.curve * float(np.sin((y - 0.05) * 2 * np.pi / 0.9))

    def lung(self, side: Side) -> list[Point]:
        """Return the outline of one lung."""
        sign, bottom = self.sign(side), self.bottom(side)
        wall = [self.in_lung(side, 0.98, down) for down in np.linspace(0.0, 1.0, 12)]
        corner = (self.middle + sign * self.half_width * 0.99, bottom + 0.09 - 0.05 * self.flat)
        dome = [
            (
                self.middle + sign * self.half_width * (0.97 - 0.84 * t),
                bottom
                + (1 - self.flat) * (0.085 * (1 - np.sin(np.pi * (0.12 + 0.8 * t))))
                + 0.03 * self.flat * (1 - t),
            )
            for t in np.linspace(0.0, 1.0, 10)
        ]
        hilum = [self.in_lung(side, across, down) for across, down in ((0.17, 0.75), (0.2, 0.5), (0.16, 0.25))]
        return [self.in_lung(side, 0.3, -0.02), *wall, corner, *dome, *hilum]


def _bulge(down: float) -> float:
    """Return the width of the rib cage, as a share of the widest, from apex to base."""
    return float(np.interp(down, (-0.05, 0.0, 0.12, 0.3, 0.6, 1.0, 1.2), (0.35, 0.5, 0.72, 0.86, 0.96, 1.0, 1.0)))


def lung_mask(anatomy: Anatomy) -> Grid:
    """Return the mask of both lungs, to keep findings inside them."""
    return Stencil().polygon(anatomy.lung("right")).polygon(anatomy.lung("left")).mask(0.006)


def draw_anatomy(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> None:
    """Draw the chest: body, lungs with vessels, spine, heart, ribs and clavicles."""
    _body(canvas, anatomy)
    lungs = lung_mask(anatomy)
    canvas.add(lungs, -0.52)
    canvas.add(_vessels(anatomy, rng) * lungs, 0.13)
    canvas.add(_heart(anatomy) * lungs, 0.42)
    _spine(canvas, anatomy)
    _ribs(canvas, anatomy)
    for side in SIDES:
        if anatomy.breast:
            x, y = anatomy.in_lung(side, 0.62, 0.93)
            canvas.add(blob((x, y), (0.11, 0.09)), anatomy.breast)


def _body(canvas: Canvas, a: Anatomy) -> None:
    half, m, top = a.half_width, a.middle, a.apex
    right = [(m - 0.09, -0.1), (m - 0.1, top - 0.07), (m - half * 0.9, top + 0.0), (m - half - 0.14, top + 0.09)]
    right += [(m - half - 0.15, top + 0.3), (m - half - 0.07, top + 0.42), (m - half - 0.075, 1.1)]
    trunk = Stencil().polygon(right + [(2 * m - x, y) for x, y in reversed(right)])
    canvas.add(trunk.mask(0.015), 0.62)
    belly = Stencil().polygon([(0.0, max(a.base) + 0.04), (1.0, max(a.base) + 0.04), (1.0, 1.1), (0.0, 1.1)])
    canvas.add(belly.mask(0.03) * trunk.mask(0.01), 0.12)


def _vessels(a: Anatomy, rng: np.random.Generator) -> Grid:
    stencil = Stencil()
    for side in SIDES:
        hilum = a.in_lung(side, 0.25, 0.47)
        stencil.ellipse(hilum, (0.018, 0.04))
        for _ in range(11):
            tip = a.in_lung(side, rng.uniform(0.45, 0.9), rng.uniform(0.1, 0.97))
            bend = ((hilum[0] + tip[0]) / 2 + rng.normal(0, 0.02), (hilum[1] + tip[1]) / 2 + rng.normal(0, 0.02))
            stencil.line([hilum, bend], 0.009)
            stencil.line([bend, tip], 0.004)
    return stencil.mask(0.006)


def _spine(canvas: Canvas, a: Anatomy) -> None:
    column = Stencil().line([(a.spine(y), y) for y in np.arange(-0.02, 1.06, 0.02)], 0.085)
    gaps = Stencil()
    for y in np.arange(0.03, 1.0, 0.052):
        x = a.spine(y)
        gaps.line([(x - 0.04, y), (x + 0.04, y)], 0.008)
    canvas.add(column.mask(0.006), 0.14)
    canvas.add(gaps.mask(0.003), -0.06)
    airway = Stencil().line([(a.middle, -0.05), (a.middle - 0.004, a.apex + 0.2)], 0.03)
    canvas.add(airway.mask(0.006), -0.13)


def _heart(a: Anatomy) -> Grid:
    width = a.heart * 2 * a.half_width
    bottom = a.base[1] + 0.035
    height = 0.2 + 0.32 * width
    middle = [(a.middle - 0.06, -0.05), (a.middle + 0.06, -0.05), (a.middle + 0.075, 1), (a.middle - 0.07, 1)]
    center = a.middle + 0.17 * width
    turn = np.linspace(0, 2 * np.pi, 40)
    tilt = 0.35
    rx, ry = width / 2, height / 2
    outline = [
        (
            center + rx * np.cos(t) * np.cos(tilt) * 1.06 - ry * np.sin(t) * np.sin(tilt) * 0.45,
            bottom - ry + rx * np.cos(t) * np.sin(tilt) * 0.8 + ry * np.sin(t) * np.cos(tilt),
        )
        for t in turn
    ]
    aortic_knob = (a.middle + 0.055, a.apex + 0.24)
    trunk = [(a.middle, a.apex + 0.2), (a.middle + 0.09, a.apex + 0.25), (center + 0.02, bottom - height * 0.7)]
    stencil = Stencil().polygon(middle).polygon(outline).ellipse(aortic_knob, (0.042, 0.045)).polygon(trunk)
    return stencil.mask(0.009)


def _ribs(canvas: Canvas, a: Anatomy) -> None:
    posterior, anterior, clavicles = Stencil(), Stencil(), Stencil()
    t = np.linspace(0, 1, 9)
    for side in SIDES:
        for number in range(10):
            down = -0.06 + (number + 0.4 * a.ribs) * 0.115
            rib = [a.in_lung(side, 0.12 + 0.9 * u, down + 0.03 * np.sin(2.2 * u) * 1.5 + 0.12 * u**2) for u in t]
            posterior.line(rib, 0.017)
            if 1 < number < 8:
                front = [a.in_lung(side, 1.0 - 0.62 * u, down + 0.13 + 0.24 * u - 0.08 * u**2) for u in t]
                anterior.line(front, 0.02)
        x, sign = a.middle, a.sign(side)
        clavicles.line(
            [(x + sign * 0.05, a.apex + 0.085), (x + sign * 0.17, a.apex + 0.05), (x + sign * 0.34, a.apex + 0.02)],
            0.026,
        )
    canvas.add(posterior.mask(0.0035), 0.13)
    canvas.add(anterior.mask(0.006), 0.055)
    canvas.add(clavicles.mask(0.004), 0.17)

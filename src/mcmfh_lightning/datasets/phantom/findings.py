"""Findings of the phantom: how each changes a chest, in shape or in density, and the film of a patient with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from PIL import Image

from mcmfh_lightning.datasets.phantom.anatomy import (
    SIDES,
    SIZE,
    Anatomy,
    Canvas,
    Grid,
    Side,
    Stencil,
    blob,
    clouds,
    draw_anatomy,
    lung_mask,
)
from mcmfh_lightning.shards.info import Split

FILM_SIZE = 224


@dataclass(frozen=True)
class Finding:
    """One finding of one study, the same on each of its films.

    Attributes:
        label: MeSH heading.
        side: Side of the patient, for findings that have one.
        size: 0 for the smallest, 1 for the largest.
        across: Place from the midline (0) to the chest wall (1).
        down: Place from the top (0) to the base of the lung (1).
        seed: Seed of its irregularities.
    """

    label: str
    side: Side
    size: float
    across: float
    down: float
    seed: int


@dataclass(frozen=True)
class PhantomStudy:
    """One patient, examined once.

    Attributes:
        seed: Seed of the whole data set.
        number: Number of the study, from 1.
        split: Split of the study; decides the wording of its report.
        anatomy: The chest without its findings.
        findings: Its findings; at most one of a label.
        mentioned: Labels that the report speaks of. Some reports miss a finding, as reports do.
        day: ISO date.
        images: Ids of its films.
    """

    seed: int
    number: int
    split: Split
    anatomy: Anatomy
    findings: tuple[Finding, ...]
    mentioned: frozenset[str]
    day: str
    images: tuple[str, ...]


Shape = Callable[[Anatomy, Finding], Anatomy]
Paint = Callable[[Canvas, Anatomy, Grid, Finding, np.random.Generator], None]


def _cardiomegaly(anatomy: Anatomy, finding: Finding) -> Anatomy:
    return replace(anatomy, heart=0.57 + 0.12 * finding.size)


def _scoliosis(anatomy: Anatomy, finding: Finding) -> Anatomy:
    return replace(anatomy, curve=anatomy.sign(finding.side) * (0.04 + 0.025 * finding.size))


def _emphysema(anatomy: Anatomy, finding: Finding) -> Anatomy:
    base = (anatomy.base[0] + 0.07 + 0.03 * finding.size, anatomy.base[1] + 0.07 + 0.03 * finding.size)
    return replace(anatomy, flat=0.8 + 0.2 * finding.size, base=base, heart=anatomy.heart - 0.06)


def _eventration(anatomy: Anatomy, finding: Finding) -> Anatomy:
    lift = 0.09 + 0.05 * finding.size
    right, left = anatomy.base
    return replace(anatomy, base=(right - lift, left) if finding.side == "right" else (right, left - lift))


def _hyperlucency(canvas: Canvas, _: Anatomy, lungs: Grid, finding: Finding, __: np.random.Generator) -> None:
    canvas.add(lungs, -0.06 - 0.03 * finding.size)


def _effusion(canvas: Canvas, a: Anatomy, _lungs: Grid, finding: Finding, _: np.random.Generator) -> None:
    height = 0.09 + 0.2 * finding.size
    bottom = a.bottom(finding.side)
    surface = [  # the meniscus climbs along the chest wall
        (a.in_lung(finding.side, u, 1.0)[0], bottom + 0.03 - height * (0.35 + 0.85 * u**3))
        for u in np.linspace(0.0, 1.05, 12)
    ]
    fluid = Stencil().polygon([*surface, (surface[-1][0], 1.0), (surface[0][0], 1.0)])
    canvas.fill(fluid.mask(0.008), 0.62)


def _airspace(canvas: Canvas, a: Anatomy, lungs: Grid, finding: Finding, rng: np.random.Generator) -> None:
    x, y = a.in_lung(finding.side, finding.across, finding.down)
    patch = np.zeros_like(lungs)
    for _ in range(6):
        spread = 0.03 + 0.02 * finding.size
        center = (x + rng.normal(0, spread), y + rng.normal(0, spread))
        radius = rng.uniform(0.02, 0.035) * (1 + 0.5 * finding.size)
        patch = np.maximum(patch, blob(center, (radius, radius * rng.uniform(0.7, 1.3)), rng.uniform(0, np.pi)))
    canvas.add(patch * lungs, 0.42)


def _nodule(canvas: Canvas, a: Anatomy, lungs: Grid, finding: Finding, rng: np.random.Generator) -> None:
    radius = 0.022 + 0.018 * finding.size
    center = a.in_lung(finding.side, finding.across, finding.down)
    canvas.add(Stencil().ellipse(center, (radius, radius * rng.uniform(0.9, 1.1))).mask(0.004) * lungs, 0.4)


def _pneumothorax(canvas: Canvas, a: Anatomy, lungs: Grid, finding: Finding, _: np.random.Generator) -> None:
    depth = 0.25 + 0.25 * finding.size
    heights = np.linspace(0.0, 0.75, 12)
    edge = [a.in_lung(finding.side, 1.0 - depth * np.cos(np.pi / 2 * (d / 0.8) ** 2), d + 0.06) for d in heights]
    air = Stencil().polygon([*edge, *(a.in_lung(finding.side, 1.05, d) for d in (0.8, 0.4, 0.0, -0.05))])
    canvas.add(air.mask(0.004) * lungs, -0.14)
    canvas.add(Stencil().line(edge, 0.008).mask(0.002) * lungs, 0.22)  # the pleura


def _device(canvas: Canvas, a: Anatomy, _: Grid, finding: Finding, rng: np.random.Generator) -> None:
    x, y = a.in_lung(finding.side, 0.82 + 0.1 * rng.random(), 0.13)
    sign, half = a.sign(finding.side), 0.036 + 0.01 * finding.size
    case = [(x - half, y), (x + half, y), (x + half * 0.9, y + half), (x - half * 0.9, y + half)]
    tip = (a.middle + 0.09 + 0.04 * rng.random(), a.base[1] - 0.03)
    way = [(x, y), (x - sign * 0.1, y - 0.03), (a.middle - 0.05, a.apex + 0.16), (a.middle - 0.07, a.base[0] - 0.12)]
    canvas.add(Stencil().ellipse((x, y), (half, half * 0.85)).polygon(case).mask(0.002), 0.75)
    canvas.add(Stencil().line(_smooth([*way, tip]), 0.007).mask(0.0015), 0.5)


def _catheter(canvas: Canvas, a: Anatomy, _: Grid, finding: Finding, rng: np.random.Generator) -> None:
    sign = a.sign(finding.side)
    port = a.in_lung(finding.side, 0.7, 0.24 + 0.06 * rng.random())
    way = [port, (port[0] - sign * 0.04, a.apex + 0.03), (a.middle + sign * 0.09, a.apex - 0.01)]
    way += [(a.middle - 0.05, a.apex + 0.1), (a.middle - 0.06, a.apex + 0.3 + 0.06 * finding.size)]
    ring, hole = Stencil().ellipse(port, (0.028, 0.028)), Stencil().ellipse(port, (0.014, 0.014))
    canvas.add(Stencil().line(_smooth(way), 0.009).mask(0.0015), 0.35)
    canvas.add(np.maximum(ring.mask(0.002) - hole.mask(0.002), 0), 0.55)


def _granuloma(canvas: Canvas, a: Anatomy, _: Grid, finding: Finding, rng: np.random.Generator) -> None:
    stencil = Stencil()
    for _number in range(4 + round(4 * finding.size)):
        spot = a.in_lung(finding.side, finding.across + rng.normal(0, 0.12), finding.down + rng.normal(0, 0.1))
        stencil.ellipse(spot, (rng.uniform(0.006, 0.01), rng.uniform(0.006, 0.01)))
    canvas.add(stencil.mask(0.0015), 0.8)


def _atelectasis(canvas: Canvas, a: Anatomy, lungs: Grid, finding: Finding, rng: np.random.Generator) -> None:
    bands = Stencil()
    for number in range(3 + round(finding.size)):
        y = 0.93 - 0.075 * number + rng.normal(0, 0.01)
        tilt = rng.normal(0, 0.03)
        bands.line([a.in_lung(finding.side, 0.35, y - tilt), a.in_lung(finding.side, 0.95, y + tilt)], 0.014)
    canvas.add(bands.mask(0.003) * lungs, 0.36)


def _surgical(canvas: Canvas, a: Anatomy, _: Grid, finding: Finding, rng: np.random.Generator) -> None:
    wires = Stencil()
    for number in range(5 + round(finding.size)):
        x, y = a.middle + rng.normal(0, 0.003), a.apex + 0.13 + 0.08 * number
        turn = np.linspace(0.3, 2 * np.pi, 14)
        wires.line([(x + 0.026 * np.cos(t), y + 0.017 * np.sin(t)) for t in turn], 0.007)
    for _number in range(5):
        x, y = a.middle + 0.1 + rng.normal(0, 0.03), a.apex + 0.4 + rng.normal(0, 0.06)
        wires.line([(x, y), (x + 0.012, y + 0.008)], 0.007)
    canvas.add(wires.mask(0.001), 0.9)


def _congestion(canvas: Canvas, a: Anatomy, lungs: Grid, finding: Finding, rng: np.random.Generator) -> None:
    haze = np.zeros_like(lungs)
    streaks = Stencil()
    for side in SIDES:
        hilum = a.in_lung(side, 0.3, 0.5)
        haze += blob(hilum, (0.075, 0.13))
        for _ in range(16):
            tip = a.in_lung(side, rng.uniform(0.3, 0.75), rng.uniform(0.05, 0.9))
            streaks.line([hilum, tip], 0.011)
    canvas.add((0.75 * haze + 0.45 * streaks.mask(0.008)) * lungs, 0.3 + 0.12 * finding.size)


def _smooth(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Round the corners of a polyline (two steps of Chaikin's corner cutting)."""
    for _ in range(2):
        cut = [points[0]]
        for (x0, y0), (x1, y1) in pairwise(points):
            cut += [(0.75 * x0 + 0.25 * x1, 0.75 * y0 + 0.25 * y1), (0.25 * x0 + 0.75 * x1, 0.25 * y0 + 0.75 * y1)]
        points = [*cut, points[-1]]
    return points


SHAPES: Mapping[str, Shape] = {
    "Cardiomegaly": _cardiomegaly,
    "Scoliosis": _scoliosis,
    "Pulmonary Emphysema": _emphysema,
    "Diaphragmatic Eventration": _eventration,
}
"""Findings that change the shape of the chest before it is drawn."""

PAINTS: Mapping[str, Paint] = {
    "Pulmonary Emphysema": _hyperlucency,
    "Pulmonary Congestion": _congestion,
    "Airspace Disease": _airspace,
    "Nodule": _nodule,
    "Pulmonary Atelectasis": _atelectasis,
    "Pneumothorax": _pneumothorax,
    "Pleural Effusion": _effusion,
    "Calcified Granuloma": _granuloma,
    "Surgical Instruments": _surgical,
    "Catheters, Indwelling": _catheter,
    "Implanted Medical Device": _device,
}
"""Findings that add density to the drawn chest, in the order in which they are painted."""

UNSIDED = frozenset({"Cardiomegaly", "Pulmonary Congestion", "Pulmonary Emphysema", "Surgical Instruments"})
"""Findings of the middle or of both sides, whose ``side`` has no meaning."""

LABELS = tuple(sorted(SHAPES.keys() | PAINTS.keys()))


def draw_film(study: PhantomStudy, exposure: int) -> Image.Image:
    """Draw one film of a study, (224, 224) gray; the same arguments give the same pixels.

    Pose, exposure and noise differ between films, patient and findings do not.

    Args:
        study: The patient and the findings.
        exposure: Number of the film.
    """
    patient = np.random.default_rng([study.seed, study.number])
    anatomy = study.anatomy
    for finding in study.findings:
        if finding.label in SHAPES:
            anatomy = SHAPES[finding.label](anatomy, finding)
    canvas = Canvas()
    draw_anatomy(canvas, anatomy, patient)
    lungs = lung_mask(anatomy)
    findings = {finding.label: finding for finding in study.findings}
    for label, paint in PAINTS.items():
        if label in findings:
            finding = findings[label]
            paint(canvas, anatomy, lungs, finding, np.random.default_rng(finding.seed))
    return _develop(canvas.density, np.random.default_rng([study.seed, study.number, exposure]))


def _develop(density: Grid, rng: np.random.Generator) -> Image.Image:
    """Expose the plate (Beer-Lambert: the film blackens with exp(-density)), move the patient, add noise."""
    density = density + 0.025 * clouds(rng, 8) + 0.012 * clouds(rng, 40)
    light = 1 - np.exp(-np.maximum(density, 0) * np.float32(rng.uniform(1.35, 1.9)))
    light = (light / np.float32(rng.uniform(0.84, 0.92))) ** np.float32(rng.uniform(0.85, 1.15))
    plate = Image.fromarray(np.clip(light, 0, 1).astype(np.float32))
    angle, zoom = rng.normal(0, 0.025), SIZE / FILM_SIZE * rng.uniform(0.88, 0.97)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    x, y = SIZE / 2 + rng.normal(0, 0.012, 2) * SIZE  # the point that moves to the middle of the film
    half = FILM_SIZE / 2
    turned = (cos, -sin, x - half * (cos - sin), sin, cos, y - half * (sin + cos))
    plate = plate.transform((FILM_SIZE, FILM_SIZE), Image.Transform.AFFINE, turned, Image.Resampling.BILINEAR)
    grain = rng.standard_normal((FILM_SIZE, FILM_SIZE), dtype=np.float32) * np.float32(rng.uniform(0.008, 0.022))
    return Image.fromarray(np.clip((np.asarray(plate) + grain) * 255, 0, 255).astype(np.uint8))

"""From a study to a film: pose, exposure and noise differ between films, patient and findings do not."""

import numpy as np
from PIL import Image

from mcmfh_lightning.datamodules.phantom.anatomy import draw_anatomy, lung_mask
from mcmfh_lightning.datamodules.phantom.canvas import SIZE, Canvas, Grid, clouds
from mcmfh_lightning.datamodules.phantom.findings import PAINTS, SHAPES
from mcmfh_lightning.datamodules.phantom.study import PhantomStudy

FILM_SIZE = 224


def draw_film(study: PhantomStudy, exposure: int) -> Image.Image:
    """Draw one film of a study, (224, 224) grey; the same arguments give the same pixels.

    Args:
        study: the patient and the findings.
        exposure: number of the film.
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
    x, y = SIZE / 2 + rng.normal(0, 0.012, 2) * SIZE  # what comes to lie in the middle of the film
    half = FILM_SIZE / 2
    turned = (cos, -sin, x - half * (cos - sin), sin, cos, y - half * (sin + cos))
    plate = plate.transform((FILM_SIZE, FILM_SIZE), Image.Transform.AFFINE, turned, Image.Resampling.BILINEAR)
    grain = rng.standard_normal((FILM_SIZE, FILM_SIZE), dtype=np.float32) * np.float32(rng.uniform(0.008, 0.022))
    return Image.fromarray(np.clip((np.asarray(plate) + grain) * 255, 0, 255).astype(np.uint8))

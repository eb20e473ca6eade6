"""Random changes of films in training: what another day at the same machine would change."""

from math import radians

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from mcmfh_lightning.randomness import SampleKey, keyed_uniforms

_TURN = radians(10)
_SIZE = 1.1
_SHIFT = 0.1  # of half the width
_CONTRAST = 0.2
_BRIGHTNESS = 0.2  # of the standard deviation that the preprocessing divides by: half the gray range in offline towers


def augment_films(images: Tensor, strength: float, *, seed: int, key: SampleKey) -> Tensor:
    """Turn, scale, shift, brighten and darken prepared pictures at random; never mirror them, as the heart has a side.

    A picture changes as (seed, step, sample id) say: workers, ranks, batches and interruptions make no difference.
    Strength 1 turns by up to 10 degrees, scales by up to 10 %, shifts by up to 5 % of the width and height, and changes
    contrast by up to 20 % and brightness by up to a fifth of the standard deviation of the preprocessing.

    Args:
        images: (B, 3, S, S), prepared by an encoder: 0 is its mean gray, which also fills what comes into view.
        strength: Factor of all changes.
        seed: The run's seed.
        key: Step and sample ids.

    Returns:
        (B, 3, S, S).
    """
    drawn = keyed_uniforms(seed=seed, step=key.step, ids=key.ids, count=6)
    turn, size, right, down, contrast, brightness = (strength * (2 * drawn - 1)).to(images.dtype).unbind(dim=1)
    gain, offset = 1 + _CONTRAST * contrast, _BRIGHTNESS * brightness
    changed = images * gain[:, None, None, None] + offset[:, None, None, None]
    scale = _SIZE**size
    cos, sin = scale * torch.cos(_TURN * turn), scale * torch.sin(_TURN * turn)
    rows = torch.stack([cos, -sin, _SHIFT * right, sin, cos, _SHIFT * down], dim=1)  # from the result to its source
    grid = affine_grid(rows.reshape(-1, 2, 3), list(images.shape), align_corners=False)
    return grid_sample(changed, grid, align_corners=False)

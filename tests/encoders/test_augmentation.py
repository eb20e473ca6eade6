"""Random changes of training films: what they are, and what they depend on."""

import math

import pytest
import torch
from torch import Tensor

from mcmfh_lightning.encoders.augmentation import augment_films
from mcmfh_lightning.randomness import SampleKey

SIDE = 65
CENTERS = (2 * torch.arange(SIDE) + 1) / SIDE - 1  # of the pixels, from -1 to 1


def augment(images: Tensor, *, strength: float = 1.0, seed: int = 0, step: int = 3) -> Tensor:
    return augment_films(images, strength, seed=seed, key=SampleKey(step, torch.arange(len(images))))


def ramps(count: int) -> Tensor:
    """Return pictures whose channels are the place across, the place down, and 1; (count, 3, SIDE, SIDE)."""
    across = CENTERS.expand(SIDE, SIDE)
    return torch.stack([across, across.T, torch.ones(SIDE, SIDE)]).expand(count, -1, -1, -1)


def test_pictures_are_turned_scaled_and_shifted_within_bounds_and_never_mirrored() -> None:
    count = 200
    middle = slice(SIDE // 3, -(SIDE // 3))
    ones = augment(ramps(count))[:, :, middle, middle]
    # The same draws on black pictures: what brightness adds; the third channel has contrast as well.
    offset = augment(torch.zeros(count, 3, SIDE, SIDE))[:, 2, SIDE // 2, SIDE // 2]
    gain = ones[:, 2, 0, 0] - offset
    source = (ones[:, :2] - offset[:, None, None, None]) / gain[:, None, None, None]  # where each pixel comes from
    step = CENTERS[1] - CENTERS[0]
    across = (source[:, :, 0, -1] - source[:, :, 0, 0]) / (step * (source.shape[-1] - 1))  # (count, 2)
    down = (source[:, :, -1, 0] - source[:, :, 0, 0]) / (step * (source.shape[-2] - 1))
    # A turn with one scale for both directions: nothing is sheared or mirrored.
    torch.testing.assert_close(down, torch.stack([-across[:, 1], across[:, 0]], dim=1), atol=1e-4, rtol=0)
    degrees = torch.rad2deg(torch.atan2(across[:, 1], across[:, 0]))
    scale = across.norm(dim=1)
    shift = source[:, :, source.shape[-2] // 2, source.shape[-1] // 2]  # of the center
    for drawn, low, high in (
        (degrees, -10, 10),
        (scale.log() / math.log(1.1), -1, 1),
        (shift[:, 0], -0.1, 0.1),
        (shift[:, 1], -0.1, 0.1),
        (gain, 0.8, 1.2),
        (offset, -0.2, 0.2),
    ):
        slack = 1e-3 * (high - low)
        assert low - slack <= drawn.min() < low + 0.1 * (high - low)
        assert high + slack >= drawn.max() > high - 0.1 * (high - low)


def test_what_comes_into_view_is_the_mean_gray_whatever_the_brightness() -> None:
    changed = augment(torch.ones(50, 3, SIDE, SIDE), strength=2.0)
    assert (changed == 0).any(dim=(1, 2, 3)).float().mean() > 0.9
    assert (changed[:, :, SIDE // 2, SIDE // 2] != 0).all()


def test_a_change_follows_seed_step_and_sample_only() -> None:
    images = torch.rand(6, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    whole = augment(images)
    torch.manual_seed(99)
    part = augment_films(images[[4, 1]], 1.0, seed=0, key=SampleKey(torch.tensor(3), torch.tensor([4, 1])))
    assert torch.equal(part, whole[[4, 1]])
    for other in (augment(images, seed=1), augment(images, step=4), augment(images.flip(0)).flip(0)):
        assert all(not torch.equal(a, b) for a, b in zip(other, whole, strict=True))


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_strength_scales_the_changes(strength: float) -> None:
    images = ramps(20)
    full, less = (augment(images, strength=one)[:, 2, SIDE // 2, SIDE // 2] for one in (1.0, strength))
    torch.testing.assert_close(less - 1, strength * (full - 1), atol=1e-5, rtol=0)
    if not strength:
        torch.testing.assert_close(augment(images, strength=0.0), images, atol=1e-5, rtol=0)

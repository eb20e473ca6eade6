"""Size and cropping of pictures: options of the encoder that are part of its identity."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from mcmfh_lightning.encoders import TwoTowerEncoder

from .tuning_pairs import write_efficientnet

MakeEncoder = Callable[..., TwoTowerEncoder]


@pytest.fixture(scope="module")
def make(text_tower: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeEncoder:
    weights = write_efficientnet(tmp_path_factory.mktemp("image") / "weights.safetensors")

    def make(**options: object) -> TwoTowerEncoder:
        return TwoTowerEncoder(str(weights), str(text_tower), "test_efficientnet", text_pooling="mean", **options)

    return make


@pytest.fixture
def disc() -> Image.Image:
    """A bright disc in the middle of a wide black picture, with a white line along its left and its right edge."""
    rows, columns = np.mgrid[:200, :400]
    pixels = np.where((rows - 99.5) ** 2 + (columns - 199.5) ** 2 < 60**2, 200, 0).astype(np.uint8)
    pixels[:, :8] = pixels[:, -8:] = 255
    return Image.fromarray(pixels)


def test_a_whole_picture_is_padded_and_keeps_its_proportions(make: MakeEncoder, disc: Image.Image) -> None:
    encoder = make(image_size=128, whole_image=True)
    prepared = encoder.preprocess(disc)
    assert prepared.shape == (3, 128, 128)
    mean, std = (torch.tensor(encoder.identity["image"][name])[:, None, None] for name in ("mean", "std"))
    pixels = prepared * std + mean
    assert (prepared[:, :31].abs() < 0.02).all()  # the mean gray, above the picture
    assert (prepared[:, -31:].abs() < 0.02).all()
    assert (pixels[:, 40:-40, 0] > 0.9).all()
    assert (pixels[:, 40:-40, -1] > 0.9).all()
    bright = (pixels[0, 34:-34, 10:-10] - 200 / 255).abs() < 0.1
    height, width = (int(bright.any(dim=axis).sum()) for axis in (1, 0))
    assert height == pytest.approx(120 * 128 / 400, abs=2)
    assert width == pytest.approx(height, abs=1)
    assert (make(image_size=128).preprocess(disc) * std + mean).max() < 0.9  # cropped: the lines are lost


def test_the_options_are_those_of_timm(make: MakeEncoder, disc: Image.Image) -> None:
    own = timm.data.resolve_model_data_config(timm.create_model("test_efficientnet"))
    for options, expected in (
        ({}, own),
        ({"image_size": 96}, own | {"input_size": (3, 96, 96)}),
        ({"image_size": 96, "whole_image": False}, own | {"input_size": (3, 96, 96)}),
        ({"whole_image": True}, own | {"crop_mode": "border", "crop_pct": 1.0}),
    ):
        encoder = make(**options)
        transform = timm.data.create_transform(**expected)
        assert torch.equal(encoder.preprocess(disc), transform(disc.convert("RGB")))
        image = encoder.identity["image"]
        assert {name: image[name] for name in own} == {
            name: list(value) if isinstance(value, tuple) else value for name, value in expected.items()
        }
        assert image.keys() == {"model", "weights_sha256", *own}
        embedding = encoder.encode_image(encoder.preprocess(disc)[None])
        assert embedding.shape == (1, encoder.image_dim)


def test_sizes_that_a_model_cannot_read_are_refused(make: MakeEncoder, image_weights: Path, text_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"image_size is 16; it must be at least 32"):
        make(image_size=16)

    def vit(**options: object) -> TwoTowerEncoder:
        return TwoTowerEncoder(str(image_weights), str(text_folder), "test_vit", text_pooling="mean", **options)

    with pytest.raises(ValueError, match=r"image_size is 192, but test_vit reads only pictures of 160 pixels: leave"):
        vit(image_size=192)
    assert vit(image_size=160, whole_image=True).identity["image"]["crop_mode"] == "border"

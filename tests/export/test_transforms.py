"""Pictures prepared with Pillow and NumPy equal those of torchvision, timm and open_clip, whatever their shape."""

import numpy as np
import open_clip
import pytest
import timm
from PIL import Image
from torchvision.transforms import Compose, RandomHorizontalFlip

from mcmfh_lightning.encoders.image_tower import to_rgb
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.export.transforms import read_preprocessing, write_tokenizer

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHAPES = ((1, 1), (2, 301), (301, 2), (57, 64), (64, 57), (64, 64), (65, 64), (97, 211), (333, 95), (128, 73))
_TIMM = timm.data.create_transform
_CLIP = open_clip.image_transform
TRANSFORMS = {
    "timm, center": _TIMM((3, 64, 64), interpolation="bicubic", mean=MEAN, std=STD, crop_pct=0.875),
    "timm, whole": _TIMM(
        (3, 64, 64), interpolation="bicubic", mean=(0.5,) * 3, std=STD, crop_pct=1.0, crop_mode="border"
    ),
    "timm, border": _TIMM((3, 64, 64), interpolation="bilinear", mean=MEAN, std=STD, crop_pct=0.9, crop_mode="border"),
    "timm, squash": _TIMM((3, 64, 64), interpolation="lanczos", mean=MEAN, std=STD, crop_pct=0.9, crop_mode="squash"),
    "timm, not square": _TIMM((3, 48, 80), interpolation="bilinear", mean=MEAN, std=STD, crop_pct=0.9),
    "open_clip, shortest": _CLIP(64, is_train=False, mean=MEAN, std=STD),
    "open_clip, longest": _CLIP((64, 64), is_train=False, mean=MEAN, std=STD, resize_mode="longest", fill_color=7),
    "open_clip, squash": _CLIP((64, 64), is_train=False, resize_mode="squash", interpolation="bilinear"),
    "open_clip, not square": _CLIP((48, 80), is_train=False, mean=MEAN, std=STD),
}


def pictures():
    rng = np.random.default_rng(2)
    for height, width in SHAPES:
        yield Image.fromarray(rng.integers(0, 256, (height, width)).astype(np.uint8))
        yield Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
        yield Image.fromarray(rng.integers(0, 256, (height, width, 4)).astype(np.uint8))
        yield Image.fromarray(rng.integers(0, 1 << 16, (height, width)).astype(np.uint16))
        yield Image.fromarray(rng.integers(0, 256, (height, width)).astype(np.uint8)).convert("P")


@pytest.mark.parametrize("name", TRANSFORMS)
def test_pixels_are_equal(name: str) -> None:
    transform = Compose([to_rgb, TRANSFORMS[name]])
    prepare = read_preprocessing(transform)
    compared = 0
    for picture in pictures():
        try:
            expected = transform(picture).numpy()
        except ValueError:  # a side of no pixels, which the transforms cannot make
            continue
        assert np.array_equal(prepare(picture), expected), (picture.mode, picture.size)
        compared += 1
    assert compared >= 30


def test_other_transforms_are_refused() -> None:
    with pytest.raises(ConfigError, match="RandomHorizontalFlip"):
        read_preprocessing(Compose([TRANSFORMS["timm, center"], RandomHorizontalFlip()]))
    with pytest.raises(ConfigError, match=r"no .*height.*, mean"):
        read_preprocessing(Compose([to_rgb]))
    moving = timm.data.transforms.ResizeKeepRatio(64, random_scale_prob=0.5)
    with pytest.raises(ConfigError, match="at random"):
        read_preprocessing(Compose([moving, TRANSFORMS["timm, center"]]))


def test_tokenizers_of_open_clip_itself_are_refused(tmp_path) -> None:
    class Encoder:
        tokenize = type("Tokenize", (), {"tokenizer": open_clip.SimpleTokenizer(), "context_length": 77})()

    with pytest.raises(ConfigError, match="SimpleTokenizer cannot be exported"):
        write_tokenizer(Encoder(), tmp_path / "tokenizer.json")

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.datasets.collection import (
    Decodable,
    Unusable,
    check_image,
    check_images,
    image_bytes,
    index_images,
)
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.unusable import NOT_A_PICTURE, TOO_LARGE, UNDECODABLE


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))


def test_files_are_indexed_by_stem(tmp_path, picture):
    for name in ("a.png", "b.JPG", "c.jpeg"):
        picture.save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert {stem: path.name for stem, path in index_images(tmp_path).items()} == {
        "a": "a.png",
        "b": "b.JPG",
        "c": "c.jpeg",
    }


def test_two_files_of_one_stem_are_refused(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"both a\.jpg and a\.png"):
        index_images(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        index_images(tmp_path / "nowhere")


def test_the_content_decides_the_format(tmp_path, picture):
    picture.save(tmp_path / "really.png", "JPEG")
    picture.save(tmp_path / "true.png")
    assert check_image(tmp_path / "really.png") == Decodable("jpg")
    assert check_image(tmp_path / "true.png") == Decodable("png")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated_files_are_undecodable(tmp_path, picture, suffix, keep):
    path = tmp_path / f"a.{suffix}"
    picture.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    assert check_image(path) == Unusable(UNDECODABLE)


def test_other_formats_are_undecodable(tmp_path, picture):
    picture.save(tmp_path / "a.png", "BMP")
    (tmp_path / "empty.png").touch()
    assert check_image(tmp_path / "empty.png") == Unusable(NOT_A_PICTURE)
    assert check_image(tmp_path / "a.png") == Unusable(NOT_A_PICTURE)


def test_a_decompression_bomb_is_not_decoded(tmp_path, picture, monkeypatch):
    picture.save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 // 2 - 1)  # Pillow raises above twice its limit
    assert check_image(tmp_path / "a.png") == Unusable(TOO_LARGE)


def test_sides_and_files_beyond_what_a_shard_holds_are_not_decoded(tmp_path):
    Image.new("1", (65_536, 1)).save(tmp_path / "long.png")
    (tmp_path / "huge.png").touch()
    os.truncate(tmp_path / "huge.png", 2**30 + 1)  # takes no room on the disk
    assert check_image(tmp_path / "long.png") == check_image(tmp_path / "huge.png") == Unusable(TOO_LARGE)


def test_files_are_stored_as_they_are(tmp_path, picture):
    for name in ("a.png", "a.jpg"):
        picture.save(tmp_path / name)
        assert image_bytes(tmp_path / name) == (tmp_path / name).read_bytes()
    with pytest.raises(DataError, match=r"nowhere\.png"):
        image_bytes(tmp_path / "nowhere.png")


def test_many_are_checked_in_order(tmp_path, picture):
    paths: list[Path] = []
    for number in range(20):
        paths.append(tmp_path / f"{number}.png")
        picture.save(paths[-1], "JPEG" if number % 3 else "PNG")
    assert list(check_images(paths)) == [Decodable("jpg" if n % 3 else "png") for n in range(20)]


def test_the_truncated_jpeg_at_hand(shared_data):
    assert check_image(shared_data / "bad" / "truncated.jpg") == Unusable(UNDECODABLE)

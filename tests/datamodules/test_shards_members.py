import io
import pickle

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.datamodules.shards import DECODERS, decode_image
from mcmfh_lightning.datamodules.shards.members import encode_npy
from mcmfh_lightning.errors import DataError


def picture(array, file_format="PNG"):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format=file_format)
    return stream.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_grey_pictures_become_rgb(file_format):
    image = decode_image(picture(np.full((8, 9), 77, dtype=np.uint8), file_format))
    assert (image.mode, image.size) == ("RGB", (9, 8))
    assert (np.asarray(image) == 77).all()


def test_sixteen_bit_greys_keep_their_range():
    image = decode_image(picture(np.array([[0, 256, 32768, 65535]], dtype=np.uint16)))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_truncated_picture(shared_data):
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image((shared_data / "bad" / "truncated.jpg").read_bytes())


def test_half_a_picture():
    noise = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    data = picture(noise)
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(data[: len(data) // 2])


def test_other_picture_formats_are_refused():
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(picture(np.zeros((4, 4), dtype=np.uint8), "BMP"))


class Exploding:
    def __reduce__(self):
        return (pytest.fail, ("something was unpickled",))


def test_nothing_is_unpickled():
    assert set(DECODERS) == {"jpg", "png", "txt", "json", "npy"}
    stream = io.BytesIO()
    np.save(stream, np.array([Exploding()], dtype=object), allow_pickle=True)
    for data in (stream.getvalue(), pickle.dumps(Exploding())):
        with pytest.raises(DataError, match="cannot be read"):
            DECODERS["npy"](data)


def test_arrays_survive():
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    decoded = DECODERS["npy"](encode_npy(array))
    assert decoded.dtype == array.dtype
    assert (decoded == array).all()


@pytest.mark.parametrize(("extension", "data"), [("txt", b"\xff"), ("json", b"{"), ("npy", b"")])
def test_damaged_members(extension, data):
    with pytest.raises(DataError):
        DECODERS[extension](data)

import io
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.members import (
    MAX_BYTES,
    check_image_header,
    decode_image,
    decode_json,
    decode_npy,
    decode_text,
    encode_npy,
)


def picture(array, file_format="PNG"):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format=file_format)
    return stream.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_gray_pictures_become_rgb(file_format):
    image = decode_image(picture(np.full((8, 9), 77, dtype=np.uint8), file_format))
    assert (image.mode, image.size) == ("RGB", (9, 8))
    assert (np.asarray(image) == 77).all()


def test_sixteen_bit_grays_keep_their_range():
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
    assert set(MAX_BYTES) == {"jpg", "png", "txt", "json", "npy"}
    stream = io.BytesIO()
    np.save(stream, np.array([Exploding()], dtype=object), allow_pickle=True)
    for data in (stream.getvalue(), pickle.dumps(Exploding())):
        with pytest.raises(DataError, match="cannot be read"):
            decode_npy(data)


def test_arrays_survive():
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    decoded = decode_npy(encode_npy(array))
    assert decoded.dtype == array.dtype
    assert (decoded == array).all()


def png_of_size(width, height):
    """A PNG that says it is of this size, with hardly any data."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0")),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("decode", [decode_image, check_image_header])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((65_000, 65_000), "decompression bomb"),
        ((65_536, 1), "sides of 1 to 65535"),
        ((1, 65_536), "sides of 1 to 65535"),
        ((0, 5), "cannot be decoded"),
    ],
)
def test_absurd_pictures_are_not_decoded(decode, size, message):
    with pytest.raises(DataError, match=message):
        decode(png_of_size(*size))


def test_the_header_is_all_that_is_checked_when_written():
    check_image_header(png_of_size(4000, 65_535 // 4))


def test_a_bomb_in_the_description_of_a_picture():
    """A compressed comment of 64 MB in 64 kB."""
    stream = io.BytesIO()
    comment = PngImagePlugin.PngInfo()
    comment.add_text("comment", "a" * 2**26, zip=True)
    Image.new("L", (4, 4)).save(stream, format="PNG", pnginfo=comment)
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(stream.getvalue())


def test_texts_have_a_limit_in_characters():
    assert len(decode_text("ä".encode() * 100_000)) == 100_000
    with pytest.raises(DataError, match="100001 characters, more than 100000"):
        decode_text(b"a" * 100_001)


def test_deep_json_is_refused():
    with pytest.raises(DataError, match="not JSON"):
        decode_json(b"[" * 200_000)


def test_large_json_is_refused_unread():
    with pytest.raises(DataError, match="more than 16777216"):
        decode_json(b"?" * (16 * 2**20 + 1))


def npy_header(entries):
    text = (entries.ljust(117) + "\n").encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("{'descr': '<f2', 'fortran_order': False, 'shape': (1000000000000, 512), }", "does not fill"),
        # The product of these is 0 in 64 bits.
        ("{'descr': '<f2', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "does not fill"),
        ("{'descr': '<f2', 'fortran_order': False, 'shape': (-4, -2), }", "does not fill"),
        ("{'descr': '<f2', 'fortran_order': True, 'shape': (4, 2), }", "C order"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "unpickled"),
        ("{'descr': '<f2', 'fortran_order': False, 'shape': (8.5,), }", "cannot be read"),
        ("{'descr': '<q7', 'fortran_order': False, 'shape': (8,), }", "cannot be read"),
        ("{[]: 1}", "cannot be read"),
        ("(" * 110, "cannot be read"),
    ],
)
def test_absurd_arrays_are_refused_before_memory_is_taken(entries, message):
    with pytest.raises(DataError, match=message):
        decode_npy(npy_header(entries) + bytes(16))


def test_arrays_of_a_later_format_are_refused():
    with pytest.raises(DataError, match="cannot be read"):
        decode_npy(encode_npy(np.zeros(3)).replace(b"NUMPY\x01", b"NUMPY\x02"))


@pytest.mark.parametrize(("decode", "data"), [(decode_text, b"\xff"), (decode_json, b"{"), (decode_npy, b"")])
def test_damaged_members(decode, data):
    with pytest.raises(DataError):
        decode(data)

import hashlib

import numpy as np
import pytest

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import pack_labels, packed_width, text_hash, unpack_bits


@pytest.mark.parametrize("num_bits", [1, 7, 8, 9, 16, 79])
def test_bits_are_where_big_endian_integers_have_them(num_bits):
    bits = np.random.default_rng(num_bits).random((5, num_bits)) < 0.5
    packed = np.packbits(bits, axis=-1)
    assert packed.shape == (5, packed_width(num_bits))
    for row, expected in zip(packed, bits, strict=True):
        word = int("".join("01"[int(bit)] for bit in expected).ljust(8 * packed_width(num_bits), "0"), base=2)
        assert int.from_bytes(row.tobytes(), "big") == word
    assert (unpack_bits(packed, num_bits) == bits).all()


def test_labels_take_the_bit_of_their_place_in_the_vocabulary():
    packed = pack_labels([["b"], [], ["i", "a"]], "abcdefghi")
    assert packed.tolist() == [[0b01000000, 0], [0, 0], [0b10000000, 0b10000000]]


def test_unknown_label():
    with pytest.raises(DataError, match="'z' is not in the label vocabulary"):
        pack_labels([["z"]], "ab")


def test_text_hash_is_the_head_of_sha256_without_white_space():
    digest = hashlib.sha256(b"no effusion").digest()
    assert text_hash(" no \t\n effusion") == int(np.frombuffer(digest[:8], dtype=">i8")[0])
    assert text_hash("no effusion") != text_hash("no effusions")
    assert text_hash("Ödem") != text_hash("Odem")

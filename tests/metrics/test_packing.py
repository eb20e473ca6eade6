import numpy as np
import pytest
import torch

from mcmfh_lightning.metrics.functional import pack_bits, pack_signs, packed_width, unpack_bits


@pytest.mark.parametrize("num_bits", [1, 7, 8, 9, 16, 65])
def test_pack_bits_is_numpy_packbits(num_bits):
    bits = np.random.default_rng(num_bits).integers(0, 2, (5, num_bits), dtype=np.uint8)
    packed = pack_bits(torch.from_numpy(bits))
    np.testing.assert_array_equal(packed.numpy(), np.packbits(bits, axis=1))
    assert packed.shape == (5, packed_width(num_bits))


def test_unpack_gives_bits_back_and_zero_pads():
    bits = torch.randint(0, 2, (4, 11), dtype=torch.uint8)
    unpacked = unpack_bits(pack_bits(bits))
    assert torch.equal(unpacked[:, :11], bits)
    assert unpacked.shape == (4, 16)
    assert not unpacked[:, 11:].any()


def test_zero_counts_as_positive():
    assert pack_signs(torch.tensor([[0.0, -0.0, -1e-30, 1e-30]])).item() == 0b11010000


@pytest.mark.parametrize("shape", [(0, 9), (3, 0)])
def test_empty(shape):
    packed = pack_bits(torch.zeros(shape))
    assert packed.shape == (shape[0], packed_width(shape[1]))
    assert unpack_bits(packed).shape == (shape[0], 8 * packed_width(shape[1]))

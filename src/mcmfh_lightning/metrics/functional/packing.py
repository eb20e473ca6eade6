"""Bits in bytes: the one layout of codes and label sets, that of ``numpy.packbits`` (first bit highest)."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def packed_width(num_bits: int) -> int:
    """Bytes that hold ``num_bits`` bits.

    Args:
        num_bits: Bits of a row.

    Returns:
        ``ceil(num_bits / 8)``.
    """
    return -(-num_bits // 8)


def pack_bits(bits: Tensor) -> Tensor:
    """Pack booleans, 8 to a byte; the pad bits of the last byte are 0.

    Args:
        bits: (N, K), any dtype; non-zero is 1.

    Returns:
        (N, ceil(K / 8)) uint8 on the same device.

    Example:
        >>> pack_bits(torch.tensor([[1, 0, 0, 0, 0, 0, 0, 1, 1]]))
        tensor([[129, 128]], dtype=torch.uint8)
    """
    rows, num_bits = bits.shape
    width = packed_width(num_bits)
    padded = pad((bits != 0).to(torch.uint8), (0, 8 * width - num_bits))  # (N, 8 W)
    return (padded.view(rows, width, 8) << _shifts(bits.device)).sum(-1, dtype=torch.uint8)


def pack_signs(codes: Tensor) -> Tensor:
    """Binarise relaxed codes by their sign, 0 counting as positive, and pack them.

    Args:
        codes: (N, K) floating-point codes.

    Returns:
        (N, ceil(K / 8)) uint8 on the same device.

    Example:
        >>> pack_signs(torch.tensor([[-0.5, 0.0, 0.7]]))
        tensor([[96]], dtype=torch.uint8)
    """
    return pack_bits(codes >= 0)


def unpack_bits(packed: Tensor) -> Tensor:
    """Bits of packed rows, pad bits included.

    Args:
        packed: (N, W) uint8.

    Returns:
        (N, 8 W) uint8 of zeros and ones.

    Example:
        >>> unpack_bits(torch.tensor([[129]], dtype=torch.uint8))
        tensor([[1, 0, 0, 0, 0, 0, 0, 1]], dtype=torch.uint8)
    """
    return (packed[:, :, None] >> _shifts(packed.device) & 1).flatten(1)


def _shifts(device: torch.device) -> Tensor:
    return torch.arange(7, -1, -1, dtype=torch.uint8, device=device)

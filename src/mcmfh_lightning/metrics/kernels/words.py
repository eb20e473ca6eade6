"""Packed rows as columns of 64-bit words, the layout in which the fast kernels read them."""

import torch
from torch import Tensor

_WORD_BYTES = 8


def to_words(packed: Tensor) -> Tensor:
    """Turn bytes of rows into words by column: neighbouring rows lie side by side, as vector instructions want them.

    Args:
        packed: (N, W) uint8.

    Returns:
        (ceil(W / 8), N) int64, contiguous; bytes that are missing are 0. Which bit is where in a word does not matter
        to XOR, AND and counting.

    Example:
        >>> to_words(torch.tensor([[1], [2]], dtype=torch.uint8))
        tensor([[1, 2]])
    """
    rows, width = packed.shape
    num_words = -(-width // _WORD_BYTES)
    aligned = packed.is_contiguous() and packed.storage_offset() % _WORD_BYTES == 0
    if width and width % _WORD_BYTES == 0 and aligned:
        words = packed.view(torch.int64)  # as it lies there
    else:
        words = packed.new_zeros(rows, num_words, dtype=torch.int64)
        words.view(torch.uint8)[:, :width] = packed
    return words.T.contiguous()

"""Bits in bytes: the one layout of codes and label sets, that of ``numpy.packbits`` (first bit highest).

`as_packed_codes` and `as_packed_labels` accept the usual forms of codes and label sets.
"""

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


def as_packed_codes(codes: Tensor, num_bits: int) -> Tensor:
    """Pack codes of any form; packed ones are passed on as they are.

    Args:
        codes: (N, ceil(K / 8)) uint8 are packed bytes, other (N, K) booleans or integers are bits, and (N, K) floats
            are signs, 0 counting as positive. For K = 1 both readings fit a uint8 column: it is taken as packed.
        num_bits: K.

    Returns:
        (N, ceil(K / 8)) uint8.

    Raises:
        ValueError: If codes have none of these forms, bits are not 0 or 1, floats are NaN or look like bits, or packed
            rows have bits beyond K.

    Example:
        >>> as_packed_codes(torch.tensor([[-0.3, 0.8, 0.1]]), num_bits=3)
        tensor([[96]], dtype=torch.uint8)
        >>> as_packed_codes(torch.tensor([[0, 1, 1]]), num_bits=3)
        tensor([[96]], dtype=torch.uint8)
    """
    width = packed_width(num_bits)
    shape = tuple(codes.shape)
    if codes.dtype == torch.uint8 and codes.ndim == 2 and shape[1] == width:
        _check_pad_bits(codes, num_bits)
        return codes
    if codes.ndim != 2 or shape[1] != num_bits or codes.is_complex():
        raise ValueError(
            f"codes of {num_bits} bits must be packed uint8 (n, {width}), bits (n, {num_bits}) or floating-point signs "
            f"(n, {num_bits}); got {codes.dtype} {shape}"
        )
    if codes.is_floating_point():
        _check_signs(codes)
        return pack_signs(codes)
    _check_bits(codes, "codes", "give signs as floating point")
    return pack_bits(codes)


def as_packed_labels(labels: Tensor) -> Tensor:
    """Pack label sets of any form; packed ones are passed on as they are.

    Args:
        labels: (N, W) uint8 are packed bytes; (N, num_labels) of another dtype are multi-hot zeros and ones. Multi-hot
            uint8 are read as packed too, a byte for each label, which counts the same.

    Returns:
        (N, W) uint8.

    Raises:
        ValueError: If labels are not a matrix, or neither packed nor zeros and ones.

    Example:
        >>> as_packed_labels(torch.tensor([[True, False, True]]))
        tensor([[160]], dtype=torch.uint8)
    """
    if labels.ndim != 2:
        raise ValueError(
            f"labels must be label sets, packed uint8 (n, W) or multi-hot (n, num_labels); got shape "
            f"{tuple(labels.shape)}. torch.nn.functional.one_hot makes them of class numbers"
        )
    if labels.dtype == torch.uint8:
        return labels
    _check_bits(labels, "labels", "packed label sets are uint8")
    return pack_bits(labels)


def check_same_device(queries: Tensor, codes: Tensor) -> None:
    """Refuse to count across devices.

    Raises:
        ValueError: If queries and database are on different devices.
    """
    if queries.device != codes.device:
        raise ValueError(f"the queries are on {queries.device}, this batch of the database on {codes.device}")


def _check_pad_bits(codes: Tensor, num_bits: int) -> None:
    # Nothing to look at for multiples of 8, so that on a GPU the common lengths wait for nothing.
    used = num_bits % 8
    if used and bool((codes[:, -1] & (0xFF >> used)).any()):
        raise ValueError(f"packed codes have bits set beyond bit {num_bits}: is num_bits that of the codes?")


def _check_signs(codes: Tensor) -> None:
    if bool(codes.isnan().any()):
        raise ValueError("codes hold NaN")
    zeros, ones = codes == 0, codes == 1
    if bool((zeros | ones).all() & zeros.any() & ones.any()):
        raise ValueError(
            "floating-point codes are read by their sign, where 0 and 1 are the same; these hold zeros and ones only: "
            "give bits as bool or integers, or signs as -1.0 and 1.0"
        )


def _check_bits(bits: Tensor, what: str, advice: str) -> None:
    if bits.dtype != torch.bool and not bool(((bits == 0) | (bits == 1)).all()):
        raise ValueError(f"{what} of {bits.dtype} must be zeros and ones: {advice}")

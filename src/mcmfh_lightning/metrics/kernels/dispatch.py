"""The ranking histogram of packed codes, by the fastest kernel for their device."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.histogram import count_ones
from mcmfh_lightning.metrics.functional.packing import packed_width
from mcmfh_lightning.metrics.kernels.reference import (
    GradedCounts,
    graded_histogram_torch,
    hamming_histogram_torch,
    own_group_pairs,
    to_words,
)

Backend = Literal["auto", "torch", "numba", "triton"]

_CHUNK_WORDS = {"numba": 1 << 21, "triton": 1 << 26}
"""64-bit words of the database that a kernel counts at a time: bounds the copy that is made of them, to 16 MB on a CPU
and half a GB on a GPU."""
_TRITON_BITS, _TRITON_LABELS = 256, 1024
"""What the Triton kernels hold in registers."""


def hamming_histogram(
    query_codes: Tensor,
    codes: Tensor,
    query_labels: Tensor,
    labels: Tensor,
    query_groups: Tensor,
    groups: Tensor,
    num_bits: int,
    *,
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor]:
    """Count the ranking histogram of packed codes: K + 1 levels, the Hamming distances 0 to K.

    Args:
        query_codes: (Q, ceil(K / 8)) uint8.
        codes: (n, ceil(K / 8)) uint8.
        query_labels: (Q, W) uint8, packed label sets.
        labels: (n, W) uint8.
        query_groups: (Q,) int64.
        groups: (n,) int64; items of the query's own group are left out.
        num_bits: K.
        backend: ``torch`` anywhere, ``numba`` on CPUs, ``triton`` on CUDA devices; ``auto`` takes the fastest that is
            installed. All count the same integers.

    Returns:
        Two (Q, K + 1) int64: all items, relevant items.

    Raises:
        ValueError: If there is no such backend, or it does not support the device or the number of bits or labels.
        ModuleNotFoundError: If the backend asked for is not installed.

    Example:
        >>> codes = torch.tensor([[0b000], [0b001], [0b111]], dtype=torch.uint8)
        >>> labels = torch.tensor([[1], [2], [1]], dtype=torch.uint8)
        >>> query = codes[:1], labels[:1], torch.tensor([7])
        >>> hamming_histogram(query[0], codes, query[1], labels, query[2], torch.tensor([7, 8, 9]), num_bits=3)
        (tensor([[0, 1, 0, 1]]), tensor([[0, 0, 0, 1]]))
    """
    rows = query_codes, codes, query_labels, labels, query_groups, groups
    total, relevant = _histogram(rows, num_bits, backend)
    return total, relevant


def graded_histogram(
    query_codes: Tensor,
    codes: Tensor,
    query_labels: Tensor,
    labels: Tensor,
    query_groups: Tensor,
    groups: Tensor,
    num_bits: int,
    *,
    backend: Backend = "auto",
) -> GradedCounts:
    """Count the ranking histogram with the number of shared labels, which NDCG and ACG need.

    Args:
        query_codes: (Q, ceil(K / 8)) uint8.
        codes: (n, ceil(K / 8)) uint8.
        query_labels: (Q, W) uint8, packed label sets.
        labels: (n, W) uint8.
        query_groups: (Q,) int64.
        groups: (n,) int64; items of the query's own group are left out.
        num_bits: K.
        backend: As `hamming_histogram` takes it.

    Returns:
        Counts; ``shared`` has as many columns as the query with most labels needs.

    Raises:
        ValueError: If there is no such backend, or it does not support the device or the number of bits or labels.
        ModuleNotFoundError: If the backend asked for is not installed.

    Example:
        >>> codes = torch.tensor([[0b00], [0b01]], dtype=torch.uint8)
        >>> labels = torch.tensor([[0b11], [0b11]], dtype=torch.uint8)
        >>> graded_histogram(codes[:1], codes, labels[:1], labels, torch.tensor([7]), torch.tensor([7, 8]), num_bits=2)
        GradedCounts(total=tensor([[0, 1, 0]]), relevant=tensor([[0, 1, 0]]), gains=tensor([[0, 2, 0]]), \
shared=tensor([[0, 0, 1]]))
    """
    rows = query_codes, codes, query_labels, labels, query_groups, groups
    max_shared = int(count_ones(query_labels).sum(1, dtype=torch.int64).max()) if query_labels.numel() else 0
    return GradedCounts(*_histogram(rows, num_bits, backend, max_shared))


def _histogram(
    rows: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor],
    num_bits: int,
    backend: Backend,
    max_shared: int | None = None,
) -> tuple[Tensor, ...]:
    """Count total and relevant, and with ``max_shared`` gains and shared too."""
    query_codes, codes, query_labels, labels, query_groups, groups = rows
    chosen = choose(backend, codes.device, num_bits, labels.shape[1])
    more = () if max_shared is None else (max_shared,)
    kernel: Callable[..., tuple[Tensor, ...]]
    if chosen == "torch":
        kernel = hamming_histogram_torch if max_shared is None else graded_histogram_torch
        return kernel(*rows, num_bits, *more)
    if chosen == "numba":
        from mcmfh_lightning.metrics.kernels.cpu import graded_histogram_numba as graded
        from mcmfh_lightning.metrics.kernels.cpu import hamming_histogram_numba as plain
    else:
        from mcmfh_lightning.metrics.kernels.cuda import graded_histogram_triton as graded
        from mcmfh_lightning.metrics.kernels.cuda import hamming_histogram_triton as plain
    kernel = plain if max_shared is None else graded
    widths = [num_bits + 1] * (2 + len(more)) + [most + 1 for most in more]
    result = tuple(query_codes.new_zeros(len(query_codes), width, dtype=torch.int64) for width in widths)
    queries = to_words(query_codes), to_words(query_labels)
    for part in _chunks(codes, labels, _CHUNK_WORDS[chosen]):
        found = kernel(queries[0], to_words(codes[part]), queries[1], to_words(labels[part]), num_bits, *more)
        for sums, counts in zip(result, found, strict=True):
            sums += counts
    for query, item in own_group_pairs(query_groups, groups):
        distance = count_ones(query_codes[query] ^ codes[item]).sum(1, dtype=torch.int64)  # (M,)
        grade = count_ones(query_labels[query] & labels[item]).sum(1, dtype=torch.int64)
        one = torch.ones_like(grade)
        taken = ((distance, one), (distance, (grade > 0).long()), (distance, grade), (grade, one))
        for sums, (column, number) in zip(result, taken, strict=False):
            sums.index_put_((query, column), -number, accumulate=True)
    return result


def choose(backend: Backend, device: torch.device, num_bits: int, label_bytes: int) -> Backend:
    """Return the backend that will count: never ``auto``.

    Raises:
        ValueError: If there is no such backend, or it does not support the device or the number of bits or labels.
        ModuleNotFoundError: If the backend asked for is not installed.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"backend is {backend!r}; choose one of {', '.join(get_args(Backend))}")
    fits_triton = num_bits <= _TRITON_BITS and label_bytes <= packed_width(_TRITON_LABELS)
    if backend == "auto":
        if device.type == "cpu" and find_spec("numba"):
            return "numba"
        return "triton" if device.type == "cuda" and fits_triton and find_spec("triton") else "torch"
    if backend != "torch" and find_spec(backend) is None:
        raise ModuleNotFoundError(f"backend {backend} needs the package {backend}: install it, or choose torch")
    if backend == "numba" and device.type != "cpu":
        raise ValueError(f"backend numba counts on the CPU, the codes are on {device}: choose auto")
    if backend == "triton" and not fits_triton:
        raise ValueError(
            f"backend triton takes up to {_TRITON_BITS} bits and {_TRITON_LABELS} labels, got {num_bits} bits and"
            f" {8 * label_bytes} labels: choose torch"
        )
    return backend


def _chunks(codes: Tensor, labels: Tensor, words: int) -> list[slice]:
    step = max(1, words // max(1, sum(-(-rows.shape[1] // 8) for rows in (codes, labels))))
    return [slice(start, start + step) for start in range(0, len(codes), step)]

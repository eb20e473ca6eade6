"""The kernels for CUDA devices, in Triton.

A program takes one query and `RUN` rows, and adds its histogram to the result at the end. Programs that run at the same
time take different queries and the same rows, which then come from the cache of the multiprocessor.

Not yet measured on a GPU: none was at hand when this was written. What is known is that it counts the same integers in
Triton's interpreter, and what it compiles to for an H100 (Triton 3.9, K = 64, 64 labels). For 32 pairs, one a lane, a
multiprocessor then needs, in cycles:

- some 5 to issue the 17 to 20 instructions,
- 4 for the two counts of 32 bits of each code,
- 4 to read 16 bytes a pair from the nearest cache,
- one increment in shared memory, which is the limit: neighboring distances collide. Were they 20 cycles, with none of
  the others hidden behind them, 10^11 pairs (10,000 queries, 10 million rows) would take 0.5 s on 132 multiprocessors
  at 1.7 GHz.

Tritons whose histogram takes votes among the lanes of a warp instead (some 60 instructions) should take about 0.7 s.
"""

from types import ModuleType

import torch
from torch import Tensor

from mcmfh_lightning.metrics.kernels.reference import GradedCounts

RUN = 1 << 13
"""Rows of a program: with one word of code and one of labels they fill 128 KB, half of an H100's nearest cache."""
BLOCK = 1 << 11
"""Rows whose bins are held in registers: 16 a thread. Divides `RUN`."""
ROWS_PER_LAUNCH = 1 << 28
"""Keeps row numbers within 32 bits and the runs within a grid's 65,535. Divided by `BLOCK`."""
QUERIES_PER_LAUNCH = 1 << 14
"""Bounds the histograms with their unused bins: 32 MB at K = 64."""
_LEAST_BINS = 32


def hamming_histogram_triton(
    query_words: Tensor, words: Tensor, query_label_words: Tensor, label_words: Tensor, num_bits: int
) -> tuple[Tensor, Tensor]:
    """Ranking histogram of any number of rows; groups are not looked at.

    Args:
        query_words: (Wk, Q) int64, codes of the queries as `to_words` makes them.
        words: (Wk, N) int64, codes.
        query_label_words: (Wl, Q) int64, label sets of the queries.
        label_words: (Wl, N) int64, label sets.
        num_bits: K.

    Returns:
        Two (Q, K + 1) int64: all items, relevant items.

    Raises:
        ModuleNotFoundError: If triton is not installed.
        ValueError: If the codes are not on a GPU, and the kernel is not run by Triton's interpreter.
    """
    return _by_level((query_words, words, query_label_words, label_words), num_bits, "relevant")


def graded_histogram_triton(
    query_words: Tensor, words: Tensor, query_label_words: Tensor, label_words: Tensor, num_bits: int, max_shared: int
) -> GradedCounts:
    """Graded ranking histogram of any number of rows; groups are not looked at.

    Gains are added up by the binary digits of the number of shared labels: one more histogram for each digit, rather
    than one with a bin for every distance and number.

    Args:
        query_words: (Wk, Q) int64, codes of the queries as `to_words` makes them.
        words: (Wk, N) int64, codes.
        query_label_words: (Wl, Q) int64, label sets of the queries.
        label_words: (Wl, N) int64, label sets.
        num_bits: K.
        max_shared: G, the largest number of labels of a query.

    Returns:
        The counts.

    Raises:
        ModuleNotFoundError: If triton is not installed.
        ValueError: If the codes are not on a GPU, and the kernel is not run by Triton's interpreter.
    """
    columns = query_words, words, query_label_words, label_words
    total, relevant = _by_level(columns, num_bits, "relevant")
    gains = torch.zeros_like(total)
    for bit in range(max_shared.bit_length()):
        gains += _by_level(columns, num_bits, "bit", bit)[1] << bit
    shared = _count(columns, "grade", max_shared + 1, num_bits)
    return GradedCounts(total, relevant, gains, shared)


_Columns = tuple[Tensor, Tensor, Tensor, Tensor]


def _by_level(columns: _Columns, num_bits: int, what: str, bit: int = 0) -> tuple[Tensor, Tensor]:
    """Count rows, and rows that ``what`` says, per distance."""
    levels = num_bits + 1
    counts = _count(columns, what, 2 * levels, num_bits, bit)
    hits = counts[:, levels:].clone()
    return counts[:, :levels] + hits, hits


def _count(columns: _Columns, what: str, num_bins: int, num_bits: int, bit: int = 0) -> Tensor:
    """Count rows per bin, (Q, num_bins) int64; `count_bins` defines the bins."""
    kernel = _kernel_module(columns[1].device)
    queries, words, query_labels, labels = (words.contiguous() for words in columns)
    num_queries, rows = queries.shape[1], words.shape[1]
    bins = max(_LEAST_BINS, 1 << (num_bins - 1).bit_length())
    counts = words.new_zeros(num_queries, num_bins)
    with torch.cuda.device(words.get_device()):  # -1, which is none, in the interpreter
        for those in _cuts(num_queries, QUERIES_PER_LAUNCH):
            of_queries = queries[:, those], query_labels[:, those]
            padded = words.new_zeros(of_queries[0].shape[1], bins)
            for part in _rows(rows):
                of_rows = words[:, part], labels[:, part]
                size = part.stop - part.start
                kernel.count_bins[len(padded), -(-size // RUN)](
                    of_queries[0],
                    of_rows[0],
                    of_queries[1],
                    of_rows[1],
                    padded,
                    *(tensor.stride(0) for tensor in (queries, query_labels, words, labels)),
                    rows=size,
                    levels=num_bits + 1,
                    bit=bit,
                    what=what,
                    code_words=len(words),
                    label_words=len(labels),
                    bins=bins,
                    run=RUN,
                    block=BLOCK,
                    ragged=size % BLOCK != 0,
                )
            counts[those] = padded[:, :num_bins]
    return counts


def _rows(rows: int) -> list[slice]:
    """Cut the rows into launches: whole blocks first, then the rest, which alone needs masks."""
    whole = rows - rows % BLOCK
    return _cuts(whole, ROWS_PER_LAUNCH) + ([slice(whole, rows)] if whole < rows else [])


def _cuts(length: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _kernel_module(device: torch.device) -> ModuleType:
    try:
        from mcmfh_lightning.metrics.kernels import cuda_kernel
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        raise ModuleNotFoundError(
            "the Triton kernels need Triton, which comes with PyTorch for CUDA: pip install triton, or choose the"
            " backend torch",
            name="triton",
        ) from error
    import triton

    if device.type == "cpu" and isinstance(cuda_kernel.count_bins, triton.JITFunction):
        raise ValueError(
            "the Triton kernels count on a GPU, the codes are on the CPU: choose the backend auto. Triton's interpreter"
            " runs them without a GPU if TRITON_INTERPRET=1 is set before they are imported"
        )
    return cuda_kernel

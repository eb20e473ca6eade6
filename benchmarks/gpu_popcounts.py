"""The floor of the ranking kernel, in Triton: what it reads, its XORs, ANDs and popcounts, and nothing counted by bin.

As `mcmfh_lightning.metrics.kernels.cuda_kernel`, importing this needs Triton, and ``TRITON_INTERPRET=1`` runs it on a
CPU.
"""

import torch
import triton
import triton.language as tl
from ranking_data import Data
from torch import Tensor

from mcmfh_lightning.metrics.kernels.cuda import BLOCK, RUN
from mcmfh_lightning.metrics.kernels.cuda_kernel import count_ones
from mcmfh_lightning.metrics.kernels.reference import to_words


@triton.jit
def add_up(
    queries: tl.tensor,
    words: tl.tensor,
    query_labels: tl.tensor,
    labels: tl.tensor,
    sums: tl.tensor,
    num_queries: int,
    stride: int,
    rows: int,
    code_words: tl.constexpr,
    label_words: tl.constexpr,
    run: tl.constexpr,
    block: tl.constexpr,
    graded: tl.constexpr,
) -> None:
    """Add up the distances of a run of rows to a query, and the rows that share a label, or the labels shared."""
    query = tl.program_id(0)
    first = tl.program_id(1) * run
    distances = tl.full((block,), 0, tl.int32)
    labeled = tl.full((block,), 0, tl.int32)
    for start in range(first, tl.minimum(first + run, rows), block):
        row = start + tl.arange(0, block)
        common = tl.full((block,), 0, tl.int64)
        for w in range(label_words):
            label = tl.load(query_labels + num_queries * w + query)
            if label != 0:
                shared = tl.load(labels + tl.cast(stride, tl.int64) * w + row) & label
                common |= shared
                if graded:
                    labeled += count_ones(shared.to(tl.uint64, bitcast=True))
        if not graded:
            labeled += (common != 0).to(tl.int32)
        for w in tl.static_range(code_words):
            code = tl.load(queries + num_queries * w + query)
            differing = tl.load(words + tl.cast(stride, tl.int64) * w + row) ^ code
            distances += count_ones(differing.to(tl.uint64, bitcast=True))
    place = sums + tl.cast(query, tl.int64) * 2
    tl.atomic_add(place, tl.sum(distances, 0).to(tl.int64), sem="relaxed")
    tl.atomic_add(place + 1, tl.sum(labeled, 0).to(tl.int64), sem="relaxed")


class AddUp:
    """Function that adds up distances and labels of all queries, on words that are made before.

    Args:
        data: Codes and labels; the items beyond a whole number of blocks are left out.
        graded: Whether the shared labels are counted, as graded metrics need them, or the items that share one.

    Attributes:
        items: Number of items that are read.
    """

    def __init__(self, data: Data, *, graded: bool) -> None:
        self.items = len(data.codes) - len(data.codes) % BLOCK
        self._queries, self._query_labels = to_words(data.query_codes), to_words(data.query_labels)
        self._words, self._labels = (to_words(rows[: self.items]) for rows in (data.codes, data.labels))
        self._graded = graded

    def __call__(self) -> Tensor:
        """Return two sums for each query, (Q, 2) int64."""
        queries = self._queries.shape[1]
        sums = self._queries.new_zeros(queries, 2)
        with torch.cuda.device(sums.get_device()):  # -1, which is none, in the interpreter
            add_up[queries, -(-self.items // RUN)](
                *(self._queries, self._words, self._query_labels, self._labels, sums),
                num_queries=queries,
                stride=self.items,
                rows=self.items,
                code_words=len(self._words),
                label_words=len(self._labels),
                run=RUN,
                block=BLOCK,
                graded=self._graded,
            )
        return sums

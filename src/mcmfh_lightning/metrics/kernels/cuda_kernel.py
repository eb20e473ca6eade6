"""The Triton kernel that `mcmfh_lightning.metrics.kernels.cuda` launches; importing this module needs Triton.

It is compiled for a GPU, or runs in Triton's interpreter if ``TRITON_INTERPRET=1`` is set when this module is imported.
Hence it keeps to what both know: no libdevice, no inline assembly, none of the helpers that Triton compiles itself.
"""

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no type information
def count_ones(words: tl.tensor) -> tl.tensor:
    """Count the bits set in each uint64 (Warren, Hacker's Delight, 2012, ch. 5), as int32.

    LLVM knows this form and puts the machine's own instruction in its place, unless it first merges the last shift with
    arithmetic on the result: a caller adds the result up or takes bits of it, but neither doubles nor compares it.
    """
    ones = words - ((words >> 1) & 0x5555555555555555)
    ones = (ones & 0x3333333333333333) + ((ones >> 2) & 0x3333333333333333)
    ones = (ones + (ones >> 4)) & 0x0F0F0F0F0F0F0F0F
    return ((ones * 0x0101010101010101) >> 56).to(tl.int32)


# These take many values: a kernel compiled for each residue of them would be the same kernel.
@triton.jit(do_not_specialize=["rows", "levels", "bit"])  # type: ignore[untyped-decorator]  # Triton has no types
def count_bins(
    queries: tl.tensor,
    words: tl.tensor,
    query_labels: tl.tensor,
    labels: tl.tensor,
    counts: tl.tensor,
    query_stride: int,
    query_label_stride: int,
    stride: int,
    label_stride: int,
    rows: int,
    levels: int,
    bit: int,
    what: tl.constexpr,
    code_words: tl.constexpr,
    label_words: tl.constexpr,
    bins: tl.constexpr,
    run: tl.constexpr,
    block: tl.constexpr,
    ragged: tl.constexpr,
) -> None:
    """Add the histogram of one run of rows, for one query, to ``counts``; the grid is (queries, runs).

    With d the distance of a row and g the number of labels that it shares with the query, its bin is

    - ``what = "relevant"``: d, and ``levels`` more if g > 0,
    - ``what = "bit"``: d, and ``levels`` more if that bit of g is set,
    - ``what = "grade"``: g.

    Args:
        queries: (code_words, Q) int64, codes of the queries; neighbors in a row are neighbors in memory.
        words: (code_words, rows) int64, codes of the database.
        query_labels: (label_words, Q) int64, label sets of the queries.
        labels: (label_words, rows) int64, label sets of the database.
        counts: (Q, bins) int64, contiguous.
        query_stride: Words between rows of ``queries``.
        query_label_stride: Words between rows of ``query_labels``.
        stride: Words between rows of ``words``.
        label_stride: Words between rows of ``labels``.
        rows: Number of rows; rows + run is less than 2^31.
        levels: Number of distances, K + 1.
        bit: Which bit of g.
        what: See above.
        code_words: Words of a code.
        label_words: Words of a label set.
        bins: Power of two, at least 32 (a warp of older Tritons), more than the largest bin.
        run: Rows of a program.
        block: Rows whose bins are held in registers at once, a divisor of ``run``.
        ragged: Whether ``block`` does not divide ``rows``. Without masks memory is read in vectors, and nothing tested.
    """
    query = tl.program_id(0)
    first = tl.program_id(1) * run
    found = tl.full((bins,), 0, tl.int32)  # a run has fewer rows than 2^31
    for start in range(first, tl.minimum(first + run, rows), block):
        row = start + tl.arange(0, block)
        valid = row < rows if ragged else None
        common = tl.full((block,), 0, tl.int64)
        grade = tl.full((block,), 0, tl.int32)
        for w in range(label_words):
            label = tl.load(query_labels + tl.cast(query_label_stride, tl.int64) * w + query)
            if label != 0:  # few words of a query's labels are not empty
                shared = tl.load(labels + tl.cast(label_stride, tl.int64) * w + row, mask=valid) & label
                common |= shared
                grade += count_ones(shared.to(tl.uint64, bitcast=True))
        if what == "grade":
            chosen = grade
        else:
            distance = tl.full((block,), 0, tl.int32)
            for w in tl.static_range(code_words):
                code = tl.load(queries + tl.cast(query_stride, tl.int64) * w + query)
                differing = tl.load(words + tl.cast(stride, tl.int64) * w + row, mask=valid) ^ code
                distance += count_ones(differing.to(tl.uint64, bitcast=True))
            hit = common != 0 if what == "relevant" else ((grade >> bit) & 1) != 0
            chosen = tl.where(hit, distance + levels, distance)
        found += tl.histogram(chosen, bins, mask=valid)
    place = counts + tl.cast(query, tl.int64) * bins + tl.arange(0, bins)
    tl.atomic_add(place, found.to(tl.int64), mask=found > 0, sem="relaxed")

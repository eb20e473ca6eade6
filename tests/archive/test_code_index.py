"""Both indexes find exactly what brute force finds, in the order of (distance, row)."""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mcmfh_lightning.archive.indexes import LARGE, FlatIndex, HashIndex, choose_kind, code_index

Codes = NDArray[np.uint8]
Rows = NDArray[np.int64]
INDEXES: list[Callable[[Codes, int], FlatIndex]] = [FlatIndex, HashIndex]


def brute_force(codes: Codes, query: Codes, rows: Rows | None) -> tuple[Rows, Rows]:
    """All distances bit by bit, sorted by (distance, row)."""
    rows = np.arange(len(codes)) if rows is None else rows
    distances = (np.unpackbits(codes[rows], axis=1) != np.unpackbits(query)).sum(1)
    order = np.lexsort((rows, distances))
    return distances[order], rows[order]


def random_codes(rng: np.random.Generator, count: int, num_bits: int, density: float = 0.5) -> Codes:
    """Packed codes with a share of ones; few ones make heavy ties."""
    return np.packbits(rng.random((count, num_bits)) < density, axis=1)


def assert_found(found: tuple[Rows, Rows], expected: tuple[Rows, Rows]) -> None:
    """Equal distances and rows, as int64."""
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, wanted)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_bits=st.integers(1, 136),
    count=st.one_of(st.integers(0, 30), st.integers(500, 1500)),
    density=st.sampled_from([0.0, 0.02, 0.2, 0.5]),
    share=st.sampled_from([None, 0.0, 0.02, 0.3, 1.0]),
    data=st.data(),
)
def test_finds_what_brute_force_finds(
    seed: int, num_bits: int, count: int, density: float, share: float | None, data: st.DataObject
) -> None:
    """Any bits, ties, subsets, k beyond the items, every radius."""
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, count, num_bits, density)
    query = codes[rng.integers(count)] if count and rng.random() < 0.5 else random_codes(rng, 1, num_bits)[0]
    rows = None if share is None else np.flatnonzero(rng.random(count) < share)
    k = data.draw(st.one_of(st.integers(0, 12), st.integers(0, count + 3)), "k")
    radius = data.draw(st.integers(-1, num_bits), "radius")
    distances, order = brute_force(codes, query, rows)
    for build in INDEXES:
        index = build(codes, num_bits)
        assert len(index) == count
        assert_found(index.nearest(query, k, rows), (distances[:k], order[:k]))
        inside = distances <= radius
        assert_found(index.within(query, radius, rows), (distances[inside], order[inside]))


@pytest.mark.parametrize("build", INDEXES)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
def test_allowed_rows_far_from_the_query(build: Callable[[Codes, int], FlatIndex], share: float) -> None:
    """Rows allowed are the farthest: the ranking of all begins with rows that are not."""
    rng = np.random.default_rng(0)
    codes = random_codes(rng, 20_000, 16)
    query = random_codes(rng, 1, 16)[0]
    _, order = brute_force(codes, query, None)
    rows = np.sort(order[-int(share * len(codes)) :])
    distances, order = brute_force(codes, query, rows)
    index = build(codes, 16)
    assert_found(index.nearest(query, 50, rows), (distances[:50], order[:50]))
    assert_found(index.within(query, 6, rows), (distances[distances <= 6], order[distances <= 6]))


@pytest.mark.parametrize("num_bits", [16, 64])
def test_equals_faiss_over_a_memory_map(num_bits: int, tmp_path: Path) -> None:
    """An oracle that shares nothing with us, over several blocks; the map is read, never copied or written."""
    rng = np.random.default_rng(1)
    path = tmp_path / "codes.npy"
    np.save(path, random_codes(rng, 150_000, num_bits, 0.2))
    codes = np.load(path, mmap_mode="r")
    queries = random_codes(rng, 5, num_bits, 0.2)
    faiss_distances, faiss_rows = faiss.knn_hamming(queries, np.array(codes), 300, variant="mc")
    flat, table = FlatIndex(codes, num_bits), HashIndex(codes, num_bits)
    assert flat.nbytes == codes.nbytes
    assert np.shares_memory(flat._codes, codes)
    for query, distances, rows in zip(queries, faiss_distances, faiss_rows, strict=True):
        assert_found(flat.nearest(query, 300), (distances, rows))
        assert_found(table.nearest(query, 300), (distances, rows))


@pytest.mark.parametrize("build", INDEXES)
def test_distances_beyond_a_byte(build: Callable[[Codes, int], FlatIndex]) -> None:
    """300 bits, all different: 300, not 300 modulo 256."""
    codes = np.packbits(np.ones((3, 300), np.bool_), axis=1)
    query = np.zeros(38, np.uint8)
    assert_found(build(codes, 300).nearest(query, 2), (np.array([300, 300]), np.array([0, 1])))


@pytest.mark.parametrize("build", INDEXES)
def test_refuses_what_is_no_code(build: Callable[[Codes, int], FlatIndex]) -> None:
    """The message names what was expected."""
    codes = np.zeros((3, 2), np.uint8)
    with pytest.raises(ValueError, match=r"codes of 32 bits are \(N, 4\) uint8, got \(3, 2\) uint8"):
        build(codes, 32)
    with pytest.raises(ValueError, match=r"got .* int64"):
        build(codes.astype(np.int64), 16)
    index = build(codes, 16)
    with pytest.raises(ValueError, match=r"a query of 16 bits is \(2,\) uint8, got \(4,\)"):
        index.nearest(np.zeros(4, np.uint8), 1)
    with pytest.raises(ValueError, match="k must be 0 or more, got -1"):
        index.nearest(codes[0], -1)


def test_an_archive_takes_the_index_that_pays() -> None:
    """Hash only for many items with few possible codes, or when asked."""
    assert choose_kind(LARGE - 1, 16) == "flat"
    assert choose_kind(LARGE, 16) == "hash"
    assert choose_kind(100 * LARGE, 64) == "flat"
    codes = np.zeros((3, 2), np.uint8)
    assert code_index(codes, 16).kind == "flat"
    assert code_index(codes, 16, "hash").kind == "hash"

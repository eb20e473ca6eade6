"""Both indexes find exactly what brute force finds, in the order of (distance, row)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mcmfh_lightning.archive import address_table, hash_index
from mcmfh_lightning.archive.address_table import LONGEST, AddressTable
from mcmfh_lightning.archive.flat_index import FlatIndex
from mcmfh_lightning.archive.hash_index import HashIndex, among
from mcmfh_lightning.archive.indexes import LARGE, choose_kind, code_index
from mcmfh_lightning.errors import ConfigError

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
def test_a_scan_finds_what_brute_force_finds(
    seed: int, num_bits: int, count: int, density: float, share: float | None, data: st.DataObject
) -> None:
    """Any bits, ties, subsets, k beyond the items, every radius."""
    assert_equals_brute_force(FlatIndex, seed, num_bits, count, density, share, data)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_bits=st.integers(1, 18),
    count=st.one_of(st.integers(0, 30), st.integers(500, 1500)),
    density=st.sampled_from([0.0, 0.02, 0.2, 0.5]),
    share=st.sampled_from([None, 0.0, 0.02, 0.3, 1.0]),
    patient=st.booleans(),
    data=st.data(),
)
def test_a_table_finds_what_brute_force_finds(
    seed: int, num_bits: int, count: int, density: float, share: float | None, patient: bool, data: st.DataObject
) -> None:
    """The same; with and without a scan where that is cheaper, as it is for few items."""
    with never_scanning(patient):
        assert_equals_brute_force(HashIndex, seed, num_bits, count, density, share, data)


@pytest.mark.parametrize("num_bits", range(1, LONGEST + 1))
def test_every_length_that_is_an_address(num_bits: int) -> None:
    """Without a scan: from the first distance to the last that the items have."""
    rng = np.random.default_rng(num_bits)
    codes = random_codes(rng, 3000, num_bits)
    index, few = HashIndex(codes, num_bits), np.flatnonzero(rng.random(3000) < 0.3)
    with never_scanning(num_bits <= 20):  # 2^24 look-ups a query are what the scan is for
        for query in (codes[7], random_codes(rng, 1, num_bits)[0], complement(codes[9], num_bits)):
            for rows in (None, few):
                distances, order = brute_force(codes, query, rows)
                for k in (1, 20, 299, 4000):
                    assert_found(index.nearest(query, k, rows), (distances[:k], order[:k]))
                for radius in (0, num_bits // 3, num_bits):
                    inside = distances <= radius
                    assert_found(index.within(query, radius, rows), (distances[inside], order[inside]))


def assert_equals_brute_force(
    build: Callable[[Codes, int], FlatIndex],
    seed: int,
    num_bits: int,
    count: int,
    density: float,
    share: float | None,
    data: st.DataObject,
) -> None:
    """The nearest and all within a radius are those of a comparison bit by bit."""
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, count, num_bits, density)
    query = codes[rng.integers(count)] if count and rng.random() < 0.5 else random_codes(rng, 1, num_bits)[0]
    rows = None if share is None else np.flatnonzero(rng.random(count) < share)
    k = data.draw(st.one_of(st.integers(0, 12), st.integers(0, count + 3)), "k")
    radius = data.draw(st.integers(-1, num_bits), "radius")
    distances, order = brute_force(codes, query, rows)
    index = build(codes, num_bits)
    assert len(index) == count
    assert_found(index.nearest(query, k, rows), (distances[:k], order[:k]))
    inside = distances <= radius
    assert_found(index.within(query, radius, rows), (distances[inside], order[inside]))


@contextmanager
def never_scanning(patient: bool) -> Iterator[None]:
    """If patient, a scan counts as taking forever, so that it is never chosen."""
    with pytest.MonkeyPatch.context() as patch:
        if patient:
            patch.setattr(hash_index, "_CALL", float("inf"))
            patch.setattr(FlatIndex, "_allowed", None)  # what a scan begins with
        yield


def complement(code: Codes, num_bits: int) -> Codes:
    """The code that is as far away as possible."""
    return np.packbits(1 - np.unpackbits(code)[:num_bits])


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


@pytest.mark.parametrize("num_bits", [16, 24, 64])
def test_equals_faiss_over_memory_maps(num_bits: int, tmp_path: Path) -> None:
    """An oracle that shares nothing with us, over several blocks; the maps are read, never copied or written."""
    rng = np.random.default_rng(1)
    np.save(tmp_path / "codes.npy", random_codes(rng, 150_000, num_bits, 0.2))
    codes = mapped(tmp_path / "codes.npy")
    queries = random_codes(rng, 5, num_bits, 0.2)
    faiss_distances, faiss_rows = faiss.knn_hamming(queries, np.array(codes), 300, variant="mc")
    flat = FlatIndex(codes, num_bits)
    assert flat.nbytes == codes.nbytes
    assert np.shares_memory(flat._codes, codes)
    indexes = [flat]
    if num_bits <= LONGEST:
        for name, column in AddressTable.build(codes, num_bits)._asdict().items():
            np.save(tmp_path / f"{name}.npy", column)
        table = AddressTable(*(mapped(tmp_path / f"{name}.npy") for name in AddressTable._fields))
        indexes.append(HashIndex(codes, num_bits, table))
        assert indexes[1].nbytes == codes.nbytes + 4 * len(codes) + 4 * (2**num_bits + 1)
        assert np.shares_memory(indexes[1]._table.rows, table.rows)
    for query, distances, rows in zip(queries, faiss_distances, faiss_rows, strict=True):
        for index in indexes:
            assert_found(index.nearest(query, 300), (distances, rows))


def mapped(path: Path) -> NDArray[Any]:
    """An array of a file, which may not be written."""
    return np.load(path, mmap_mode="r")


def test_a_table_is_sorted_by_code_and_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if items are sorted in parts, into an array that is given, by two digits."""
    monkeypatch.setattr(address_table, "_CHUNK", 70)
    for num_bits in (3, 16, 19):
        codes = random_codes(np.random.default_rng(0), 1000, num_bits, 0.1)
        rows = np.zeros(1000, np.uint32)
        table = AddressTable.build(codes, num_bits, rows)
        assert table.rows is rows
        numbers = np.unpackbits(codes, axis=1)[:, :num_bits] @ (1 << np.arange(num_bits)[::-1])
        np.testing.assert_array_equal(rows, np.lexsort((np.arange(1000), numbers)))
        np.testing.assert_array_equal(table.offsets, np.searchsorted(np.sort(numbers), np.arange(2**num_bits + 1)))
        assert table.fits(1000, num_bits)
        assert not table.fits(999, num_bits)
        assert not table.fits(1000, num_bits + 1)
        table.offsets[[1, 2]] = table.offsets[[2, 1]] + np.array([1, 0], np.uint32)
        assert not table.fits(1000, num_bits)


def test_bits_beyond_a_code_are_refused() -> None:
    """They would make other addresses."""
    with pytest.raises(ValueError, match="codes of 12 bits have bits beyond these"):
        HashIndex(np.array([[0, 0], [0, 8]], np.uint8), 12)
    with pytest.raises(ValueError, match="25 bits are too long for a table, 24 at most"):
        HashIndex(np.zeros((2, 4), np.uint8), 25)


def test_a_query_far_from_everything_is_a_scan_after_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 bits and ten thousand items: of 2^24 codes, none is looked up beyond the first distances."""
    codes = random_codes(np.random.default_rng(2), 10_000, 24, 0.03)
    index, query, looked = HashIndex(codes, 24), np.full(3, 255, np.uint8), []
    flips = address_table.flips

    def counting(num_bits: int, distance: int) -> NDArray[np.int32]:
        looked.append(len(flips(num_bits, distance)))
        return flips(num_bits, distance)

    monkeypatch.setattr(hash_index, "flips", counting)
    distances, order = brute_force(codes, query, None)
    assert_found(index.nearest(query, 20), (distances[:20], order[:20]))
    assert sum(looked) < 1000


@pytest.mark.parametrize("found", [[], [0], [5, 3, 3, 9], [4]])
@pytest.mark.parametrize("rows", [[], [3], [0, 3, 4, 5], [7, 8]])
def test_rows_among_others(found: list[int], rows: list[int]) -> None:
    kept = among(np.array(found, np.int64), np.array(rows, np.int64))
    assert kept.tolist() == [row for row in found if row in rows]


def test_distances_beyond_a_byte() -> None:
    """300 bits, all different: 300, not 300 modulo 256."""
    codes = np.packbits(np.ones((3, 300), np.bool_), axis=1)
    query = np.zeros(38, np.uint8)
    assert_found(FlatIndex(codes, 300).nearest(query, 2), (np.array([300, 300]), np.array([0, 1])))


@pytest.mark.parametrize("build", INDEXES)
def test_refuses_what_is_no_code(build: Callable[[Codes, int], FlatIndex]) -> None:
    """The message names what was expected."""
    codes = np.zeros((3, 2), np.uint8)
    with pytest.raises(ValueError, match=r"codes of 24 bits are \(N, 3\) uint8, got \(3, 2\) uint8"):
        build(codes, 24)
    with pytest.raises(ValueError, match=r"got .* int64"):
        build(codes.astype(np.int64), 16)
    index = build(codes, 16)
    with pytest.raises(ValueError, match=r"a query of 16 bits is \(2,\) uint8, got \(4,\)"):
        index.nearest(np.zeros(4, np.uint8), 1)
    with pytest.raises(ValueError, match="k must be 0 or more, got -1"):
        index.nearest(codes[0], -1)


def test_an_archive_takes_the_index_that_pays() -> None:
    """Hash for many items with short codes, or when asked."""
    assert choose_kind(LARGE - 1, 16) == "flat"
    assert choose_kind(LARGE, 16) == "hash"
    assert choose_kind(LARGE, 24) == "flat"  # 64 MiB of offsets
    assert choose_kind(20 * LARGE, 24) == "hash"
    assert choose_kind(1000 * LARGE, 25) == "flat"
    codes = np.zeros((3, 2), np.uint8)
    assert code_index(codes, 16).kind == "flat"
    assert code_index(codes, 16, "hash").kind == "hash"
    with pytest.raises(ConfigError, match="index hash is for codes of at most 24 bits, the archive's have 32: choose"):
        code_index(np.zeros((3, 4), np.uint8), 32, "hash")

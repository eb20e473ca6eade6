import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.metrics.functional import (
    count_levels,
    hamming_distances,
    hamming_histogram,
    histogram,
    level_histogram,
    pack_bits,
    share_label,
)


def random_case(seed, queries, items, bits, labels, groups):
    rng = np.random.default_rng(seed)
    return {
        "query_codes": rng.integers(0, 2, (queries, bits), dtype=np.uint8),
        "codes": rng.integers(0, 2, (items, bits), dtype=np.uint8),
        "query_labels": (rng.random((queries, labels)) < 0.3).astype(np.uint8),
        "labels": (rng.random((items, labels)) < 0.3).astype(np.uint8),
        "query_groups": rng.integers(0, groups, queries),
        "groups": rng.integers(0, groups, items),
    }


def packed(case):
    return {
        name: torch.from_numpy(array) if "groups" in name else pack_bits(torch.from_numpy(array))
        for name, array in case.items()
    }


cases = st.builds(
    random_case,
    seed=st.integers(0, 2**32 - 1),
    queries=st.integers(0, 6),
    items=st.integers(0, 12),
    bits=st.integers(1, 20),
    labels=st.integers(1, 12),
    groups=st.integers(1, 5),
)


def test_distances_equal_faiss():
    rng = np.random.default_rng(0)
    queries, items = rng.integers(0, 256, (7, 8), dtype=np.uint8), rng.integers(0, 256, (50, 8), dtype=np.uint8)
    index = faiss.IndexBinaryFlat(64)
    index.add(items)
    distances, order = index.search(queries, 50)
    ours = hamming_distances(torch.from_numpy(queries), torch.from_numpy(items))
    np.testing.assert_array_equal(np.take_along_axis(ours.numpy(), order, 1), distances)


def test_distances_of_a_thousand_bits():
    ones = torch.full((1, 125), 255, dtype=torch.uint8)
    assert hamming_distances(ones, torch.zeros_like(ones)).item() == 1000


def test_no_labels_share_nothing():
    assert not share_label(torch.zeros(2, 0, dtype=torch.uint8), torch.zeros(3, 0, dtype=torch.uint8)).any()


@settings(max_examples=150, deadline=None)
@given(case=cases)
def test_equals_a_loop_over_all_pairs(oracle, case):
    bits = case["codes"].shape[1]
    total, relevant = hamming_histogram(**packed(case), num_bits=bits, backend="torch")
    assert total.dtype == relevant.dtype == torch.int64
    assert total.shape == relevant.shape == (len(case["query_codes"]), bits + 1)
    for row, (distances, hits) in enumerate(oracle.rankings(**case)):
        assert total[row].tolist() == np.bincount(distances, minlength=bits + 1).tolist()
        assert relevant[row].tolist() == np.bincount(distances[hits], minlength=bits + 1).tolist()


@settings(max_examples=50, deadline=None)
@given(case=cases, cut=st.integers(0, 12), seed=st.integers(0, 99))
def test_order_and_cuts_of_the_database_change_nothing(case, cut, seed):
    bits = case["codes"].shape[1]
    given_case = packed(case)
    order = torch.randperm(len(case["codes"]), generator=torch.Generator().manual_seed(seed))
    whole = hamming_histogram(**given_case, num_bits=bits)
    parts = [
        hamming_histogram(
            **given_case | {name: given_case[name][part] for name in ("codes", "labels", "groups")}, num_bits=bits
        )
        for part in (order[:cut], order[cut:])
    ]
    assert torch.equal(parts[0][0] + parts[1][0], whole[0])
    assert torch.equal(parts[0][1] + parts[1][1], whole[1])


@pytest.mark.parametrize("pairs", [1, 7, 50])
def test_chunks_inside_the_kernel_change_nothing(monkeypatch, pairs):
    case = packed(random_case(3, queries=5, items=23, bits=9, labels=4, groups=6))
    whole = hamming_histogram(**case, num_bits=9, backend="torch")
    monkeypatch.setattr(histogram, "PAIRS_PER_CHUNK", pairs)
    for ours, theirs in zip(hamming_histogram(**case, num_bits=9, backend="torch"), whole, strict=True):
        assert torch.equal(ours, theirs)


def test_level_histogram_gives_every_query_the_same_levels():
    labels = torch.tensor([[1], [2], [1]], dtype=torch.uint8)
    total, relevant = level_histogram(
        levels=torch.tensor([0, 3, 3]),
        query_labels=labels[:2],
        labels=labels,
        query_groups=torch.tensor([0, 1]),
        groups=torch.tensor([0, 5, 6]),
        num_levels=4,
    )
    assert total.tolist() == [[0, 0, 0, 2], [1, 0, 0, 2]]
    assert relevant.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1]]


def test_count_levels_takes_levels_per_query():
    total, relevant = count_levels(
        torch.tensor([[0, 1, 1], [2, 2, 0]]),
        relevant=torch.tensor([[True, False, True], [True, True, True]]),
        valid=torch.tensor([[True, True, True], [True, False, True]]),
        num_levels=3,
    )
    assert total.tolist() == [[1, 2, 0], [1, 0, 1]]
    assert relevant.tolist() == [[1, 1, 0], [1, 0, 1]]

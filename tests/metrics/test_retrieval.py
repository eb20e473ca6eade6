import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.metrics import functional
from mcmfh_lightning.metrics.functional import nearest, pack_bits, retrieval, within_radius


def random_case(seed, queries, items, bits, ids):
    """0/1 codes, and ids in no order: unique ones, a few shared ones, or none."""
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, 2, (count, bits), dtype=np.uint8) for count in (queries, items)]
    if ids == "unique":
        return *codes, rng.permutation(items) * 10**12 - 5
    return *codes, rng.integers(-3, 3, items) if ids == "shared" else None


cases = st.builds(
    random_case,
    seed=st.integers(0, 2**32 - 1),
    queries=st.integers(0, 5),
    items=st.integers(0, 40),
    bits=st.sampled_from([1, 3, 8, 13, 70]),
    ids=st.sampled_from(["unique", "shared", "positions"]),
)
chunks = st.sampled_from([1, 5, 30, 1 << 20])


def ranked(query, codes, ids):
    """Ids and distances of all items, sorted by distance, then id, then position."""
    ids = np.arange(len(codes)) if ids is None else ids
    distances = (codes != query).sum(1)
    order = np.lexsort((ids, distances))
    return ids[order].tolist(), distances[order].tolist()


def tensors(queries, codes, ids):
    packed = [pack_bits(torch.from_numpy(bits)) for bits in (queries, codes)]
    return *packed, None if ids is None else torch.from_numpy(ids)


@settings(max_examples=120, deadline=None)
@given(case=cases, k=st.integers(1, 50), pairs=chunks)
def test_nearest_are_the_first_of_a_sort(case, k, pairs):
    queries, codes, ids = tensors(*case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "PAIRS_PER_CHUNK", pairs)
        found = nearest(queries, codes, k, ids=ids)
    assert [tensor.dtype for tensor in found] == [torch.int64, torch.int16, torch.int64]
    assert [tuple(tensor.shape) for tensor in found] == [(len(queries), k), (len(queries), k), (len(queries),)]
    for q, query in enumerate(case[0]):
        all_ids, distances = ranked(query, *case[1:])
        missing = [-1] * (k - len(all_ids))
        assert found.ids[q].tolist() == all_ids[:k] + missing
        assert found.distances[q].tolist() == distances[:k] + missing
        assert found.ties[q] == (distances[k:].count(distances[k - 1]) if len(distances) >= k else 0)


@settings(max_examples=120, deadline=None)
@given(case=cases, radius=st.sampled_from([0, 1, 2, 5, 1000]), pairs=chunks)
def test_a_ball_is_the_beginning_of_a_sort(case, radius, pairs):
    queries, codes, ids = tensors(*case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "PAIRS_PER_CHUNK", pairs)
        ball = within_radius(queries, codes, radius, ids=ids)
    assert [tensor.dtype for tensor in ball] == [torch.int64, torch.int64, torch.int16]
    assert len(ball.offsets) == len(queries) + 1
    assert ball.offsets[-1] == len(ball.ids) == len(ball.distances)
    for q, query in enumerate(case[0]):
        all_ids, distances = ranked(query, *case[1:])
        near = sum(distance <= radius for distance in distances)
        part = slice(ball.offsets[q], ball.offsets[q + 1])
        assert ball.ids[part].tolist() == all_ids[:near]
        assert ball.distances[part].tolist() == distances[:near]


@pytest.mark.parametrize("bits", [16, 64, 256])
def test_equals_faiss(bits):
    """In distances: faiss takes the tied ones as they come."""
    import faiss  # the other tests run without it, the one on a GPU too

    rng = np.random.default_rng(bits)
    queries, codes = (rng.integers(0, 256, (count, bits // 8), dtype=np.uint8) for count in (20, 3000))
    index = faiss.IndexBinaryFlat(bits)
    index.add(codes)
    distances, _ = index.search(queries, 50)
    found = nearest(torch.from_numpy(queries), torch.from_numpy(codes), 50)
    np.testing.assert_array_equal(found.distances.numpy(), distances)
    # faiss's own range search looks for distances below its radius.
    limits, _, _ = index.range_search(queries, bits // 2 - 3)
    assert within_radius(torch.from_numpy(queries), torch.from_numpy(codes), bits // 2 - 4).offsets.tolist() == [
        int(limit) for limit in limits
    ]


def test_ties_beyond_several_chunks_are_counted(monkeypatch):
    """All of the first are left out again when nearer ones come."""
    monkeypatch.setattr(retrieval, "PAIRS_PER_CHUNK", 1)
    query = torch.zeros(1, 1, dtype=torch.uint8)
    codes = torch.tensor([[3]] * 10 + [[1]] * 20, dtype=torch.uint8)
    assert nearest(query, codes, 4).ties.item() == 16
    assert nearest(query, codes, 25).ties.item() == 5
    assert nearest(query, codes, 30).ties.item() == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_finds_the_same():
    queries, codes, ids = tensors(*random_case(0, 9, 5000, 16, "unique"))
    for search, depth in ((nearest, 70), (within_radius, 3)):
        here, there = (
            search(queries, codes, depth, ids=ids),
            search(queries.cuda(), codes.cuda(), depth, ids=ids.cuda()),
        )
        assert all(torch.equal(ours, theirs.cpu()) for ours, theirs in zip(here, there, strict=True))


def test_nonsense_is_refused():
    codes = torch.zeros(2, 1, dtype=torch.uint8)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        nearest(codes, codes, 0)
    with pytest.raises(ValueError, match="radius must be at least 0, got -1"):
        within_radius(codes, codes, -1)
    for search in (nearest, within_radius):
        with pytest.raises(ValueError, match=r"one for each of the 2 items, got shape \(3,\)"):
            search(codes, codes, 1, ids=torch.arange(3))


def test_the_former_spelling_of_neighbors_works_with_a_warning():
    with pytest.warns(DeprecationWarning, match="Neighbors"):
        former = functional.Neighbours
    assert former is functional.Neighbors

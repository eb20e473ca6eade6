"""Reranking, against the same in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.archive import ranking as ranking_module
from mcmfh_lightning.archive.ranking import Ranking, at_least, cosines, head_length, rerank

DISTANCES = st.lists(st.integers(0, 4), max_size=12).map(sorted)


def near_of(distances):
    return Ranking.by_codes(np.array(distances, dtype=np.int64), np.arange(len(distances)))


@settings(deadline=None)
@given(DISTANCES, st.integers(0, 15))
def test_the_head_ends_where_a_distance_does(distances, number):
    head = head_length(near_of(distances), number)
    if number == 0:
        assert head == 0
        return
    assert head >= min(number, len(distances))
    last = distances[:number][-1:]
    assert [distance for distance in distances if [distance] <= last] == distances[:head]


def test_the_head_is_bounded_unless_more_are_asked_for(monkeypatch):
    monkeypatch.setattr(ranking_module, "MOST_RERANKED", 5)
    near = near_of([0] * 20)
    assert head_length(near, 2) == 5
    assert head_length(near, 7) == 7
    assert head_length(near, 30) == 20


@settings(deadline=None)
@given(DISTANCES, st.data())
def test_the_head_is_ordered_by_similarity_distance_row(distances, data):
    head = data.draw(st.integers(0, len(distances)))
    similarities = data.draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5]), min_size=head, max_size=head))
    ranking = rerank(near_of(distances), np.array(similarities))
    expected = sorted(range(head), key=lambda row: (-similarities[row], distances[row], row))
    assert ranking.rows.tolist() == [*expected, *range(head, len(distances))]
    assert ranking.distances.tolist() == [distances[row] for row in ranking.rows]
    assert ranking.similarities[:head].tolist() == [similarities[row] for row in expected]
    assert np.isnan(ranking.similarities[head:]).all()


def test_cosines_are_those_of_the_definition_and_equal_for_equal_rows():
    rng = np.random.default_rng(0)
    query = rng.normal(size=64).astype(np.float16)
    items = rng.normal(size=(7, 64)).astype(np.float16)
    items[5], items[6] = items[0], 0.0
    found = cosines(query, items)
    for item, cosine in zip(items[:6].tolist(), found, strict=False):
        product = math.fsum(a * b for a, b in zip(query.tolist(), item, strict=True))
        norm = math.sqrt(math.fsum(a * a for a in query.tolist()) * math.fsum(b * b for b in item))
        assert math.isclose(product / norm, cosine, rel_tol=1e-12)
    assert found[5] == found[0]
    assert found[6] == 0.0
    assert cosines(query, np.tile(query, (3, 1))).tolist() == [1.0] * 3


@pytest.mark.parametrize("scale", [1.0, 1e-7, 6e4], ids=["as they are", "the smallest", "the largest"])
def test_the_most_similar_are_those_of_all_cosines(scale):
    """Rounded numbers leave none out, also where cosines are the least that is asked for, or numbers are extreme."""
    rng = np.random.default_rng(0)
    query = (scale * rng.uniform(-1, 1, 16)).astype(np.float16)
    near = query * rng.uniform(0.9, 1.1, (200, 16)) ** rng.choice([0, 0.05, 0.1, 1], (200, 1))
    items = np.concatenate([near.clip(-65504, 65504), scale * rng.uniform(-1, 1, (50, 16)), np.zeros((1, 16))])
    items = rng.permutation(items).astype(np.float16)
    found = cosines(query, items)
    for least in (0.9999, *np.sort(found)[-150::50]):
        places, similarities = at_least(least, query, items)
        assert 0 < len(places) < len(items)
        assert places.tolist() == [place for place, cosine in enumerate(found) if cosine >= least]
        np.testing.assert_array_equal(similarities, found[places])
    assert len(at_least(0.5, np.zeros_like(query), items)[0]) == 0
    assert len(at_least(0.5, query, items[:0])[0]) == 0

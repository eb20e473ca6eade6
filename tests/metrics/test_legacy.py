import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.retrieval import RetrievalMAP

from mcmfh_lightning.metrics.functional import (
    average_precision,
    hamming_histogram,
    legacy,
    legacy_first_hits_mean_average_precision,
    legacy_mean_average_precision,
    mean_over_queries,
    pack_bits,
)

BOTH = [legacy_mean_average_precision, legacy_first_hits_mean_average_precision]


def random_case(seed, queries=6, items=25, bits=4, labels=5, density=0.3):
    rng = np.random.default_rng(seed)
    sizes = {"query_codes": (queries, bits), "codes": (items, bits)}
    sets = {"query_labels": (queries, labels), "labels": (items, labels)}
    return {name: rng.random(size) < 0.5 for name, size in sizes.items()} | {
        name: rng.random(size) < density for name, size in sets.items()
    }


def packed(case):
    return {name: pack_bits(torch.from_numpy(array)) for name, array in case.items()}


def relevance_in_order(case):
    """Per query, 0/1 of the items by distance and, among equals, by position."""
    for code, label in zip(case["query_codes"], case["query_labels"], strict=True):
        ranking = sorted(range(len(case["codes"])), key=lambda i: ((code != case["codes"][i]).sum(), i))
        yield [int((label & case["labels"][i]).any()) for i in ranking]


def literal_hits_in_top_k(ranking, k):
    precisions = [sum(ranking[: t + 1]) / (t + 1) for t in range(min(k, len(ranking))) if ranking[t]]
    return sum(precisions) / len(precisions) if precisions else 0.0


def literal_first_k_hits(ranking, k):
    places = [t + 1 for t, hit in enumerate(ranking) if hit][:k]
    return sum((i + 1) / place for i, place in enumerate(places)) / len(places) if places else 0.0


cases = st.builds(
    random_case,
    seed=st.integers(0, 2**31),
    queries=st.integers(1, 6),
    items=st.integers(0, 30),
    bits=st.integers(1, 10),
    density=st.sampled_from([0.02, 0.2, 0.6]),
)


@pytest.mark.parametrize(
    ("ours", "literal"), [(BOTH[0], literal_hits_in_top_k), (BOTH[1], literal_first_k_hits)], ids=["top-k", "hits"]
)
@settings(max_examples=80, deadline=None)
@given(case=cases, k=st.integers(1, 35), pairs=st.sampled_from([1, 60, 1 << 18]))
def test_equals_its_definition(ours, literal, case, k, pairs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(legacy, "PAIRS_PER_CHUNK", pairs)
        value = ours(**packed(case), k=k)
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(np.mean([literal(ranking, k) for ranking in relevance_in_order(case)]))


@pytest.mark.parametrize("k", [1, 5, 50])
def test_top_k_equals_torchmetrics_on_the_same_order(k):
    case = random_case(0, queries=20, items=300, bits=7)
    target = torch.tensor(list(relevance_in_order(case)))
    scores = torch.arange(300, 0, -1).float().expand_as(target)
    rows = torch.arange(20)[:, None].expand_as(target)
    theirs = RetrievalMAP(empty_target_action="neg", top_k=k)(scores.flatten(), target.flatten(), rows.flatten())
    assert legacy_mean_average_precision(**packed(case), k=k).item() == pytest.approx(theirs.item(), abs=1e-6)


def test_without_ties_and_truncation_all_definitions_agree():
    case = random_case(1, queries=1, items=12, bits=11, density=0.5)
    case["codes"] = np.tril(np.ones((12, 11), bool), -1)[np.random.default_rng(0).permutation(12)]
    case["query_codes"][:] = False
    arguments = packed(case)
    groups = {"query_groups": torch.tensor([-1]), "groups": torch.arange(12)}
    ours = mean_over_queries(average_precision(*hamming_histogram(**arguments, **groups, num_bits=11)))
    assert 0 < ours < 1
    for published in BOTH:
        assert published(**arguments, k=12).item() == pytest.approx(ours.item(), rel=1e-14, abs=0)


def test_the_order_of_the_database_decides():
    """All items tied: the published value is that of the order, anything from bad to perfect."""
    codes, labels = torch.zeros(4, 1, dtype=torch.uint8), torch.tensor([[1], [1], [2], [2]], dtype=torch.uint8)
    query = codes[:1], codes, labels[:1]
    found = [[legacy(*query, order, k=2).item() for legacy in BOTH] for order in (labels, labels.flip(0))]
    assert found == [[1, 1], [0, pytest.approx((1 / 3 + 2 / 4) / 2)]]


def test_one_published_definition_gives_one_and_another_next_to_nothing():
    """A hit first and another one last: the same ranking."""
    codes = torch.arange(256).to(torch.uint8)[:, None]
    codes = codes[np.argsort([int(code).bit_count() for code in codes])]
    labels = torch.full((256, 1), 2, dtype=torch.uint8)
    labels[0] = labels[255] = 1
    query = codes[:1], codes, labels[:1], labels
    assert legacy_mean_average_precision(*query).item() == 1
    assert legacy_first_hits_mean_average_precision(*query, k=50).item() == pytest.approx((1 + 2 / 256) / 2)


@pytest.mark.parametrize("function", BOTH)
def test_edges(function):
    empty = torch.zeros(0, 1, dtype=torch.uint8)
    one = torch.ones(1, 1, dtype=torch.uint8)
    assert function(empty, one, empty, one, k=1).isnan()
    assert function(one, empty, one, empty, k=1).item() == 0
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        function(one, one, one, one, k=0)

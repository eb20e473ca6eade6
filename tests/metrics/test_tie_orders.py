"""Every closed form is the mean over all orders of tied items, and every bound the best or worst of them.

The oracles know nothing of histograms: each evaluates explicit rankings, rows of levels and rows of gains from first to
last. Small rankings go through all orders of their ties, large ones through random orders.
"""

from functools import partial
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.metrics.functional import (
    average_cumulative_gain,
    average_precision,
    average_precision_bounds,
    chance_average_precision,
    expected_hits,
    first_positive_rank,
    instance_recall,
    median_rank,
    ndcg,
    precision_at,
    precision_recall_by_radius,
    precision_within_radius,
    recall_at,
    relevant_first,
    relevant_last,
    tie_all,
)

# --- the oracles: (orders, n) levels and gains, and a depth, to one value per order ----------------------------------


def hits_among_first(levels, gains, k):
    return (gains[:, :k] > 0).sum(1).astype(float)


def precision(levels, gains, k):
    return hits_among_first(levels, gains, k) / k


def recall(levels, gains, k):
    return hits_among_first(levels, gains, k) / (gains > 0).sum(1)


def any_hit(levels, gains, k):
    return (hits_among_first(levels, gains, k) > 0).astype(float)


def first_hit(levels, gains, k):
    return (gains > 0).argmax(1) + 1.0


def average_precision_of(levels, gains, k):
    hits = gains > 0
    places = np.arange(1, hits.shape[1] + 1)
    return ((hits.cumsum(1) / places) * hits)[:, :k].sum(1) / np.minimum(hits.sum(1), k)


def average_precision_of_all(levels, gains, k):
    return average_precision_of(levels, gains, gains.shape[1])


def mean_gain(levels, gains, k):
    return gains[:, :k].sum(1) / k


def discounted_gain(gains, k):
    return (gains / np.log2(2 + np.arange(gains.shape[1])))[:, :k].sum(1)


def normalised_gain(levels, gains, k):
    return discounted_gain(gains, k) / discounted_gain(-np.sort(-gains, axis=1), k)


def normalised_gain_of_all(levels, gains, k):
    return normalised_gain(levels, gains, gains.shape[1])


def precision_in_ball(levels, gains, k):
    found = (levels <= k).sum(1)
    return ((gains > 0) & (levels <= k)).sum(1) / np.maximum(found, 1)


def recall_in_ball(levels, gains, k):
    return ((gains > 0) & (levels <= k)).sum(1) / (gains > 0).sum(1)


# --- the closed forms: counts of one query and the same depth to one value --------------------------------------------


def at(curve, counts, k):
    return curve(counts["total"], counts["relevant"], torch.tensor([k]))[:, 0]


def binary(function, counts, k):
    return function(counts["total"], counts["relevant"], k)


FORMS = {
    "expected_hits": (hits_among_first, partial(at, expected_hits)),
    "precision_at": (precision, partial(at, precision_at)),
    "recall_at": (recall, partial(at, recall_at)),
    "average_precision": (average_precision_of, partial(binary, average_precision)),
    "average_precision of all": (
        average_precision_of_all,
        lambda counts, k: average_precision(counts["total"], counts["relevant"]),
    ),
    "average_cumulative_gain": (
        mean_gain,
        lambda counts, k: average_cumulative_gain(counts["total"], counts["gains"], k),
    ),
    "ndcg": (normalised_gain, lambda counts, k: ndcg(counts["total"], counts["gains"], counts["shared"], k)),
    "ndcg of all": (
        normalised_gain_of_all,
        lambda counts, k: ndcg(counts["total"], counts["gains"], counts["shared"]),
    ),
    "instance_recall": (any_hit, partial(binary, instance_recall)),
    "first_positive_rank": (first_hit, lambda counts, k: first_positive_rank(counts["total"], counts["relevant"])),
    "precision_within_radius": (precision_in_ball, partial(binary, precision_within_radius)),
    "recall by radius": (
        recall_in_ball,
        lambda counts, k: precision_recall_by_radius(counts["total"], counts["relevant"])[1][[k]],
    ),
}
"""Name: value of one ranking, closed form. The radius functions know no ties: all orders agree."""

BOUNDED = ["expected_hits", "precision_at", "recall_at", "average_precision", "instance_recall", "first_positive_rank"]
SMALLER_IS_BETTER = ["first_positive_rank"]


def count(levels, gains, num_levels=40):
    """Counts of one query from the level and the gain of each item."""
    rows = (np.ones_like(gains), gains > 0, gains)
    total, relevant, summed = (np.bincount(levels, weights=row, minlength=num_levels).astype(int) for row in rows)
    counts = {"total": total, "relevant": relevant, "gains": summed, "shared": np.bincount(gains)}
    return {name: torch.from_numpy(row)[None] for name, row in counts.items()}


def tied(counts):
    return {name: row if name == "shared" else tie_all(row) for name, row in counts.items()}


def all_orders(levels, gains):
    """Every order of the tied items: (orders, n) levels and gains."""
    by_level = [gains[levels == level].tolist() for level in np.unique(levels)]
    orders = [sum(order, ()) for order in product(*(permutations(tied) for tied in by_level))]
    return np.broadcast_to(np.sort(levels), (len(orders), len(levels))), np.array(orders)


def random_orders(levels, gains, draws, seed):
    """Random orders of the tied items."""
    order = np.lexsort(
        (np.random.default_rng(seed).random((draws, len(levels))), np.broadcast_to(levels, (draws, len(levels))))
    )
    return levels[order], gains[order]


@st.composite
def rankings(draw, most=6):
    """Levels and gains of a few items, of which at least one is relevant."""
    size = draw(st.integers(1, most))
    levels = draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
    gains = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(any))
    return np.array(levels), np.array(gains)


depths = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(ranking=rankings(), k=depths)
def test_closed_form_is_the_mean_over_all_orders(ranking, k):
    orders, counts = all_orders(*ranking), count(*ranking)
    for name, (literal, closed) in FORMS.items():
        mean = literal(*orders, k).mean()
        assert closed(counts, k).item() == pytest.approx(mean, rel=1e-13, abs=1e-15), name


@settings(max_examples=30, deadline=None)
@given(ranking=rankings(most=5), k=depths)
def test_chance_is_the_form_of_the_all_tied_histogram(ranking, k):
    """Which is the mean over all orders of all items."""
    levels, gains = ranking
    orders, counts = all_orders(np.zeros_like(levels), gains), tied(count(levels, gains))
    for name, (literal, closed) in FORMS.items():
        mean = literal(*orders, k).mean()
        depth = 0 if name == "recall by radius" else k  # the one level there is
        assert closed(counts, depth).item() == pytest.approx(mean, rel=1e-13, abs=1e-15), name
        if name == "average_precision":
            ours = chance_average_precision(counts["total"][:, 0], counts["relevant"][:, 0], k)
            assert ours.item() == pytest.approx(mean, rel=1e-13)


@settings(max_examples=60, deadline=None)
@given(ranking=rankings(), k=depths)
def test_bounds_of_average_precision_are_the_worst_and_the_best_order(ranking, k):
    values = average_precision_of(*all_orders(*ranking), k)
    counts = count(*ranking)
    worst, best = average_precision_bounds(counts["total"], counts["relevant"], k)
    assert worst.item() == pytest.approx(values.min(), rel=1e-13, abs=1e-15)
    assert best.item() == pytest.approx(values.max(), rel=1e-13)


@settings(max_examples=40, deadline=None)
@given(ranking=rankings(), k=depths)
def test_forms_of_the_extreme_histograms_are_the_bounds(ranking, k):
    orders, counts = all_orders(*ranking), count(*ranking)
    extremes = [
        dict(zip(("total", "relevant"), extreme(counts["total"], counts["relevant"]), strict=True))
        for extreme in (relevant_last, relevant_first)
    ]
    for name in BOUNDED:
        literal, closed = FORMS[name]
        values = literal(*orders, k)
        found = [closed(extreme, k).item() for extreme in extremes]
        if name in SMALLER_IS_BETTER:
            found.reverse()
        assert found == pytest.approx([values.min(), values.max()], rel=1e-13, abs=1e-15), name


@settings(max_examples=60, deadline=None)
@given(some=st.lists(rankings(), min_size=1, max_size=5))
def test_median_of_the_mean_ranks_over_all_orders(some):
    ranks = [first_hit(*all_orders(*ranking), None).mean() for ranking in some]
    counts = [count(*ranking) for ranking in some]
    ours = median_rank(*(torch.cat([row[name] for row in counts]) for name in ("total", "relevant")))
    assert ours.item() == pytest.approx(np.median(ranks), rel=1e-14)


@settings(max_examples=60, deadline=None)
@given(some=st.lists(rankings(), min_size=1, max_size=5))
def test_radius_curve_pools_the_pairs_of_all_queries(some):
    levels, gains = (np.concatenate(parts) for parts in zip(*some, strict=True))
    counts = [count(*ranking) for ranking in some]
    ours = precision_recall_by_radius(*(torch.cat([row[name] for row in counts]) for name in ("total", "relevant")))
    for radius in range(6):
        near = gains[levels <= radius] > 0
        assert ours[0][radius].item() == pytest.approx(near.mean() if len(near) else np.nan, nan_ok=True)
        assert ours[1][radius].item() == pytest.approx(near.sum() / (gains > 0).sum())


# --- large rankings: the mean over random orders, within its standard error -------------------------------------------

DRAWS = 400


@pytest.fixture(scope="module")
def database():
    """4,000 items at the distances of random 16-bit codes; few relevant, so that no probability is all but certain."""
    rng = np.random.default_rng(0)
    levels = rng.binomial(16, 0.5, 4_000)
    gains = rng.binomial(4, 0.008 - 0.0004 * levels)
    gains[levels < 4] = 0  # the first relevant item is tied with a hundred others, after 43 items
    return levels, gains


@pytest.fixture(scope="module", params=["ranked", "chance"])
def orders(request, database):
    """Counts of the database, as they are and with all items tied, and random orders of the tied items."""
    levels, gains = database
    counts = count(levels, gains)
    if request.param == "chance":
        return tied(counts), random_orders(np.zeros_like(levels), gains, DRAWS, seed=1)
    return counts, random_orders(levels, gains, DRAWS, seed=2)


@pytest.mark.parametrize("k", [1, 50, 100, 3_000])
@pytest.mark.parametrize("name", [name for name in FORMS if "radius" not in name])
def test_closed_form_is_the_mean_over_random_orders(name, k, orders):
    literal, closed = FORMS[name]
    counts, rankings = orders
    values = literal(*rankings, k)
    error = values.std(ddof=1) / DRAWS**0.5
    ours = closed(counts, k).item()
    if error <= 1e-12 * values.mean():  # every order gives the same
        assert ours == pytest.approx(values.mean(), rel=1e-12)
    else:
        assert abs(ours - values.mean()) < 4 * error

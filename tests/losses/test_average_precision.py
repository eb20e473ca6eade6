from itertools import chain, groupby, permutations, product
from math import log, pi

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.losses import average_precision_loss


def average_precision(relevant):
    hits, total = 0, 0.0
    for rank, hit in enumerate(relevant, start=1):
        if hit:
            hits += 1
            total += hits / rank
    return total / hits


def over_all_tie_orders(distances, relevant):
    """Mean AP over every order of the tied items."""
    ranked = sorted(zip(distances, relevant, strict=True))
    buckets = [[hit for _, hit in items] for _, items in groupby(ranked, key=lambda item: item[0])]
    orders = [list(chain(*order)) for order in product(*(permutations(bucket) for bucket in buckets))]
    return sum(map(average_precision, orders)) / len(orders)


def codes(rows, bits, generator):
    return torch.randint(2, (rows, bits), generator=generator).double() * 2 - 1


@settings(max_examples=40, deadline=None)
@given(items=st.integers(1, 7), bits=st.integers(1, 4), seed=st.integers(0, 10**6), density=st.sampled_from([0.2, 0.6]))
def test_on_binary_codes_it_is_the_mean_over_all_tie_orders(items, bits, seed, density):
    generator = torch.Generator().manual_seed(seed)
    queries, database = codes(3, bits, generator), codes(items, bits, generator)
    positives = torch.rand(3, items, generator=generator) < density
    ignored = torch.rand(3, items, generator=generator) < 0.3
    expected = []
    for row in range(3):
        counted = positives[row] | ~ignored[row]
        distances = (queries[row] != database).sum(1)[counted].tolist()
        if positives[row].any():
            expected.append(1 - over_all_tie_orders(distances, positives[row][counted].tolist()))
    loss = average_precision_loss(queries, database, positives, ignored)
    assert loss.item() == pytest.approx(sum(expected) / len(expected) if expected else 0.0, abs=1e-9)


@pytest.mark.parametrize("bits", [1, 2, 16])
def test_between_integer_distances_the_loss_leaves_the_unit_interval_within_its_range(bits):
    """As documented: a positive that comes first is best between two distances, at 1/2 - ln 2 in the middle."""
    database = torch.ones(1, bits, dtype=torch.float64)
    first = torch.ones(401, bits, dtype=torch.float64)
    first[:, 0] = torch.linspace(1, -1, 401, dtype=torch.float64)  # distances 0 to 1
    positive = torch.ones(1, 1, dtype=torch.bool)
    losses = torch.stack([average_precision_loss(code[None], database, positive) for code in first])
    assert losses[[0, -1]].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert losses[200].item() == pytest.approx(0.5 - log(2), abs=1e-12)
    assert losses.min().item() == pytest.approx(-0.19536, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    items=st.integers(1, 12), bits=st.integers(1, 8), seed=st.integers(0, 10**6), density=st.sampled_from([0.1, 0.6, 1])
)
def test_relaxed_codes_stay_within_the_documented_range(items, bits, seed, density):
    generator = torch.Generator().manual_seed(seed)
    queries, database = (torch.rand(n, bits, generator=generator).double() * 2 - 1 for n in (4, items))
    positives = torch.rand(4, items, generator=generator) < density
    for row in range(4):
        loss = average_precision_loss(queries[row : row + 1], database, positives[row : row + 1]).item()
        assert 1 - pi**2 / 6 < loss <= 1


def test_with_one_positive_it_is_the_mean_reciprocal_rank():
    """Over the orders of ties: two items come before, the positive is tied with two others."""
    query = torch.ones(1, 4, dtype=torch.float64)
    database = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, -1, 1, 1]])
    positives = torch.arange(6)[None] == 3
    loss = average_precision_loss(query, database.double(), positives)
    assert loss.item() == pytest.approx(1 - (1 / 3 + 1 / 4 + 1 / 5) / 3)


def test_queries_without_positives_give_a_zero_loss_with_a_zero_gradient():
    queries = torch.zeros(2, 4, requires_grad=True)
    loss = average_precision_loss(queries, torch.ones(3, 4), torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert not queries.grad.any()


def test_the_gradient_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(1)
    queries = (torch.rand(3, 8, generator=generator, dtype=torch.float64) * 2 - 1).requires_grad_()
    database = torch.rand(6, 8, generator=generator, dtype=torch.float64) * 2 - 1
    positives = torch.rand(3, 6, generator=generator) < 0.5
    assert torch.autograd.gradcheck(lambda q: average_precision_loss(q, database, positives), queries)


def test_descending_the_loss_ranks_the_positives_of_binary_codes_first():
    generator = torch.Generator().manual_seed(0)
    latent = (0.3 * torch.randn(24, 8, generator=generator)).requires_grad_()
    classes = torch.arange(24) % 3
    positives = classes[:, None] == classes
    optimizer = torch.optim.Adam([latent], lr=0.05)
    start = average_precision_loss(latent.detach().sign(), latent.detach().sign(), positives).item()
    for _ in range(60):
        optimizer.zero_grad()
        relaxed = torch.tanh(latent)
        average_precision_loss(relaxed, relaxed, positives).backward()
        optimizer.step()
    end = average_precision_loss(latent.detach().sign(), latent.detach().sign(), positives).item()
    assert start > 0.3
    assert end < 0.05

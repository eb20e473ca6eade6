import pytest
import torch

from mcmfh_lightning.metrics.functional import average_precision, chance_average_precision, tie_all


@pytest.mark.parametrize("k", [None, 1, 3, 50, 10_000])
def test_chance_is_the_functional_of_the_all_tied_histogram(k):
    items = torch.tensor([0, 1, 2, 7, 100, 6_677, 5])
    relevant = torch.tensor([0, 1, 1, 3, 100, 1_234, 0])
    chance = chance_average_precision(items, relevant, k)
    tied = average_precision(items[:, None], relevant[:, None], k)
    torch.testing.assert_close(chance, tied, rtol=1e-13, atol=0, equal_nan=True)


@pytest.mark.parametrize("k", [None, 2, 9])
def test_chance_is_the_mean_over_all_orders(oracle, k):
    orders = oracle.orders([6], [2])
    expected = sum(oracle.average_precision(order, k) for order in orders) / len(orders)
    assert chance_average_precision(torch.tensor([6]), torch.tensor([2]), k).item() == pytest.approx(expected)


def test_tie_all_puts_everything_on_one_level():
    assert tie_all(torch.tensor([[1, 2, 3], [0, 0, 0]])).tolist() == [[6], [0]]


def test_depth_zero_is_refused():
    with pytest.raises(ValueError, match="k must be at least 1 or None"):
        chance_average_precision(torch.tensor([3]), torch.tensor([1]), 0)

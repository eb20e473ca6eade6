import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.metrics.functional import mean_by_label, mean_over_queries, pack_bits


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), queries=st.integers(0, 30), num_labels=st.integers(1, 20))
def test_label_by_label(seed, queries, num_labels):
    generator = torch.Generator().manual_seed(seed)
    carried = torch.rand(queries, num_labels, generator=generator) < 0.3
    values = torch.rand(queries, dtype=torch.float64, generator=generator)
    values[torch.rand(queries, generator=generator) < 0.2] = torch.nan
    means, numbers = mean_by_label(values, pack_bits(carried), num_labels)
    assert means.dtype == torch.float64
    for label in range(num_labels):
        mine = values[carried[:, label]]
        torch.testing.assert_close(means[label], mean_over_queries(mine), equal_nan=True)
        assert numbers[label] == (~mine.isnan()).sum()
    assert means.shape == numbers.shape == (num_labels,)


def test_labels_after_the_last_one_asked_for_are_left_out():
    values, carried = torch.tensor([0.25, 0.5], dtype=torch.float64), pack_bits(torch.tensor([[1, 0, 1], [1, 1, 0]]))
    means, numbers = mean_by_label(values, carried, 2)
    assert means.tolist() == [0.375, 0.5]
    assert numbers.tolist() == [2, 1]


def test_a_label_of_every_query_has_the_overall_mean():
    values = torch.rand(100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    means, numbers = mean_by_label(values, pack_bits(torch.ones(100, 1)), 1)
    assert means.item() == pytest.approx(values.mean().item(), rel=1e-14, abs=0)
    assert numbers.item() == 100


@pytest.mark.parametrize(("rows", "num_labels"), [(3, 9), (2, 8)])
def test_label_sets_that_do_not_fit_are_refused(rows, num_labels):
    with pytest.raises(ValueError, match=f"sets of {num_labels} labels for 3 queries expected, got {rows} x 1 bytes"):
        mean_by_label(torch.zeros(3), torch.zeros(rows, 1, dtype=torch.uint8), num_labels)

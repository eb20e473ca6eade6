import pytest
import torch

from mcmfh_lightning.metrics.functional import bootstrap_means, bootstrap_weights, percentile_interval


def test_queries_of_a_group_are_drawn_together():
    groups = torch.tensor([5, 9, 5, 2, 9])
    weights = bootstrap_weights(groups, draws=200, seed=0)
    assert torch.equal(weights[:, 0], weights[:, 2])
    assert torch.equal(weights[:, 1], weights[:, 4])
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()  # as many groups as there are
    assert len(weights[:, 0].unique()) == 4  # none to three times


def test_same_seed_same_draws():
    groups = torch.arange(10)
    assert torch.equal(bootstrap_weights(groups, 5, seed=1), bootstrap_weights(groups, 5, seed=1))
    assert not torch.equal(bootstrap_weights(groups, 5, seed=1), bootstrap_weights(groups, 5, seed=2))


def test_means_equal_explicit_resamples():
    groups = torch.tensor([0, 0, 1, 2])
    values = torch.tensor([[0.1, 1.0], [0.2, 2.0], [0.5, 3.0], [0.9, 4.0]], dtype=torch.float64)
    weights = bootstrap_weights(groups, draws=20, seed=3)
    for draw, mean in zip(weights.long(), bootstrap_means(values, weights), strict=True):
        torch.testing.assert_close(mean, values.repeat_interleave(draw, dim=0).mean(0))


def test_interval_agrees_with_the_normal_one_when_every_query_is_a_group():
    values = torch.rand(300, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high = percentile_interval(bootstrap_means(values, bootstrap_weights(torch.arange(300), 5_000, seed=0)))
    half = 1.96 * values.std(correction=0) / 300**0.5
    assert low.item() == pytest.approx((values.mean() - half).item(), abs=0.1 * half.item())
    assert high.item() == pytest.approx((values.mean() + half).item(), abs=0.1 * half.item())


def test_equal_queries_in_few_groups_widen_the_interval():
    values = torch.rand(20, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).repeat_interleave(10, 0)
    widths = []
    for groups in (torch.arange(200), torch.arange(20).repeat_interleave(10)):
        low, high = percentile_interval(bootstrap_means(values, bootstrap_weights(groups, 1_000, seed=0)))
        widths.append((high - low).item())
    assert widths[1] > 2.5 * widths[0]  # sqrt(10) expected


def test_no_queries():
    assert bootstrap_weights(torch.zeros(0, dtype=torch.int64), draws=3, seed=0).shape == (3, 0)

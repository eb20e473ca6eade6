import numpy as np
import pytest
import torch

from mcmfh_lightning.losses import importance, load_balance, router_z


@pytest.fixture
def routed():
    logits = torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    probabilities = logits.softmax(-1)
    return logits, probabilities, probabilities.topk(2).indices


def uniform(num_experts, top_k):
    """Every expert equally often, equal probabilities."""
    experts = (torch.arange(num_experts)[:, None] + torch.arange(top_k)) % num_experts
    return torch.full((num_experts, num_experts), 1 / num_experts), experts


def collapsed(num_experts):
    return torch.eye(num_experts)[:1].expand(7, -1), torch.zeros(7, 1, dtype=torch.long)


def test_importance_is_the_squared_coefficient_of_variation_of_summed_gates(routed):
    _, probabilities, _ = routed
    total = sum(row for row in probabilities.numpy())
    assert importance(probabilities).item() == pytest.approx((np.std(total) / np.mean(total)) ** 2)


def test_load_balance_is_the_published_sum(routed):
    _, probabilities, experts = routed
    share = [sum(expert in chosen for chosen in experts.tolist()) / 80 for expert in range(5)]
    expected = 5 * sum(f * p for f, p in zip(share, probabilities.mean(0).tolist(), strict=True))
    assert load_balance(probabilities, experts).item() == pytest.approx(expected)


def test_router_z_is_the_mean_squared_logsumexp(routed):
    logits, _, _ = routed
    expected = np.mean(np.log(np.exp(logits.numpy()).sum(1)) ** 2)
    assert router_z(logits).item() == pytest.approx(expected)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_uniform_routing_has_importance_0_and_load_balance_1_for_every_top_k(top_k):
    assert importance(uniform(4, top_k)[0]).item() == pytest.approx(0.0, abs=1e-6)
    assert load_balance(*uniform(4, top_k)).item() == pytest.approx(1.0)


def test_collapsed_routing_has_the_largest_values():
    assert importance(collapsed(4)[0]).item() == pytest.approx(3.0)
    assert load_balance(*collapsed(4)).item() == pytest.approx(4.0)

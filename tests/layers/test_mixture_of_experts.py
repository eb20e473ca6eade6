import pytest
import torch

from mcmfh_lightning.layers import MixtureOfExperts
from mcmfh_lightning.losses import importance, load_balance


def layer(num_experts=4, top_k=1):
    torch.manual_seed(0)
    return MixtureOfExperts(d_model=6, hidden_dim=10, num_experts=num_experts, top_k=top_k).double()


def tokens(count=30):
    return torch.randn(count, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def one_by_one(moe, token):
    """The definition: gates times experts, for one token."""
    probabilities = (moe.router.weight @ token).softmax(0)
    output = torch.zeros(6, dtype=torch.float64)
    for expert in probabilities.argsort(descending=True)[: moe.top_k].tolist():
        hidden = torch.nn.functional.gelu(token @ moe.weight_in[expert] + moe.bias_in[expert])
        output += probabilities[expert] * (hidden @ moe.weight_out[expert] + moe.bias_out[expert])
    return output


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_output_is_the_gated_sum_of_the_best_experts(top_k):
    moe = layer(top_k=top_k)
    torch.nn.init.normal_(moe.bias_in)
    torch.nn.init.normal_(moe.bias_out)
    output, routing = moe(tokens())
    torch.testing.assert_close(output, torch.stack([one_by_one(moe, token) for token in tokens()]))
    assert routing.experts.shape == (30, top_k)
    torch.testing.assert_close(routing.logits, tokens() @ moe.router.weight.T)
    torch.testing.assert_close(routing.probabilities.sum(-1), torch.ones(30).double())


def test_leading_dimensions_are_kept():
    moe = layer(top_k=2)
    flat, _ = moe(tokens())
    folded, routing = moe(tokens().reshape(5, 3, 2, 6))
    torch.testing.assert_close(folded.reshape(30, 6), flat)
    assert routing.logits.shape == (5, 3, 2, 4)


def test_no_token_is_dropped_when_all_want_the_same_expert():
    moe = layer()
    with torch.no_grad():
        moe.router.weight[2] = 100 * tokens()[0]
    crowd = tokens()[:1].expand(50, 6)
    output, routing = moe(crowd)
    assert (routing.experts == 2).all()
    torch.testing.assert_close(output, one_by_one(moe, crowd[0]).expand(50, 6))


def test_an_empty_batch_passes():
    output, routing = layer()(tokens()[:0].reshape(0, 2, 6))
    assert output.shape == (0, 2, 6)
    assert routing.logits.shape == (0, 2, 4)


def test_every_parameter_gets_a_gradient_when_experts_have_no_tokens():
    moe = layer(num_experts=8)
    output, routing = moe(tokens(2))
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in moe.parameters())
    used = set(routing.experts.flatten().tolist())
    assert {expert for expert in range(8) if moe.weight_in.grad[expert].any()} == used


def test_the_router_learns_from_the_task_with_one_expert_per_token():
    moe = layer(top_k=1)
    moe(tokens())[0].square().sum().backward()
    assert moe.router.weight.grad.any()


@pytest.mark.parametrize("top_k", [0, 5])
def test_top_k_outside_the_experts_is_refused(top_k):
    with pytest.raises(ValueError, match=f"top_k={top_k}"):
        layer(top_k=top_k)


def spread_after_training(loss_of):
    """Train a router that sends everything to expert 0; the largest share of tokens an expert has in the end."""
    moe = layer()
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(256, 6, dtype=torch.float64, generator=generator) + 1.0
    target = torch.randn(6, 6, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        moe.router.weight.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)[:, None].expand(4, 6))
        inputs = inputs[inputs.sum(1) > 1.0]
    assert (moe(inputs)[1].experts == 0).all()
    optimizer = torch.optim.Adam(moe.parameters(), lr=0.02)
    for _ in range(125):
        optimizer.zero_grad()
        output, routing = moe(inputs)
        task = (output - torch.tanh(inputs @ target)).square().mean()
        (task + loss_of(routing)).backward()
        optimizer.step()
    counts = moe(inputs)[1].experts.flatten().bincount(minlength=4)
    return counts.max().item() / len(inputs)


@pytest.mark.parametrize(
    "loss",
    [
        lambda routing: importance(routing.probabilities),
        lambda routing: load_balance(routing.probabilities, routing.experts),
    ],
    ids=["importance", "load_balance"],
)
def test_a_collapsed_router_recovers_under_each_balancing_loss(loss):
    assert spread_after_training(loss) < 0.45


def test_a_collapsed_router_stays_collapsed_without_gating_loss():
    assert spread_after_training(lambda _: 0.0) > 0.9


@pytest.mark.parametrize("top_k", [1, 3])
def test_a_recorded_layer_computes_the_same(top_k):
    """A graph cannot hold how many tokens each expert gets: it computes all experts and chooses."""

    class Outputs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.moe = layer(top_k=top_k)
            torch.nn.init.normal_(self.moe.bias_in)
            torch.nn.init.normal_(self.moe.bias_out)

        def forward(self, tokens):
            return self.moe(tokens)[0]

    plain, example, others = Outputs().eval(), tokens(30).reshape(2, 15, 6), tokens(60)[30:].reshape(2, 15, 6)
    recorded = torch.export.export(plain, (example,)).module()
    for values in (example, others):
        torch.testing.assert_close(recorded(values), plain(values), atol=1e-12, rtol=0)

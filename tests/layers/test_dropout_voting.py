import pytest
import torch

from mcmfh_lightning.layers import DropoutVoting
from mcmfh_lightning.randomness import SampleKey, keyed_mask

TOKENS = torch.randn(6, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
IDS = torch.arange(100, 106)


def voting(**options):
    return DropoutVoting(**{"d_model": 8, "hidden_dim": 16, "votes": 5, "rate": 0.4, "seed": 3} | options).double()


def passes(layer, masks):
    """The votes one by one, (votes, ...)."""
    hidden = torch.relu(TOKENS @ layer.weight_in)
    return torch.stack([TOKENS + (hidden * mask / layer.keep) @ layer.weight_out for mask in masks])


def training_masks(layer, step):
    drawn = keyed_mask(layer.keep, seed=3, step=step, ids=IDS, shape=(2, layer.votes, 16))
    return drawn.unbind(dim=2)


def test_the_mean_vote_is_the_mean_of_separate_passes():
    layer = voting()
    torch.testing.assert_close(layer(TOKENS), passes(layer, layer.eval_masks).mean(0))
    torch.testing.assert_close(layer(TOKENS, SampleKey(9, IDS)), passes(layer, training_masks(layer, 9)).mean(0))


@pytest.mark.parametrize("votes", [4, 5])
def test_the_majority_vote_is_the_sign_most_passes_have(votes):
    layer = voting(vote="majority", votes=votes)
    for key, masks in ((None, layer.eval_masks), (SampleKey(9, IDS), training_masks(layer, 9))):
        separate = passes(layer, masks)
        positive = (separate > 0).sum(0)
        expected = torch.where(2 * positive == votes, separate.mean(0) > 0, 2 * positive > votes) * 2.0 - 1.0
        assert torch.equal(layer(TOKENS, key), expected.double())


def test_the_majority_vote_has_the_gradient_of_the_mean_vote():
    gradients = []
    for vote in ("mean", "majority"):
        tokens = TOKENS.clone().requires_grad_()
        (voting(vote=vote)(tokens, SampleKey(1, IDS)) * torch.arange(8)).sum().backward()
        gradients.append(tokens.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].any()


def test_evaluation_without_masks_is_the_pass_without_dropout():
    layer = voting(eval_votes="none")
    expected = TOKENS + torch.relu(TOKENS @ layer.weight_in) @ layer.weight_out
    torch.testing.assert_close(layer(TOKENS), expected)
    assert torch.equal(voting(eval_votes="none", vote="majority")(TOKENS), expected.sign())


def test_more_votes_bring_training_closer_to_the_pass_without_dropout():
    exact = voting(eval_votes="none")(TOKENS)
    errors = [(voting(votes=votes)(TOKENS, SampleKey(0, IDS)) - exact).square().mean().item() for votes in (1, 16)]
    assert errors[1] < errors[0] / 8  # the variance of a mean of 16


def test_without_rate_all_votes_agree():
    torch.testing.assert_close(voting(rate=0.0)(TOKENS), voting(eval_votes="none")(TOKENS))


def test_masks_of_training_depend_on_step_and_id_not_on_the_batch():
    layer = voting()
    whole = layer(TOKENS, SampleKey(4, IDS))
    assert torch.equal(layer(TOKENS.flip(0), SampleKey(4, IDS.flip(0))).flip(0), whole)
    assert not torch.equal(layer(TOKENS, SampleKey(5, IDS)), whole)
    assert not torch.equal(layer(TOKENS, SampleKey(4, IDS + 1)), whole)


def test_evaluation_uses_the_same_masks_for_every_sample():
    same = TOKENS[:1, :1].expand(5, 2, 8)
    voted = voting()(same)
    torch.testing.assert_close(voted, voted[:1, :1].expand(5, 2, 8))


def test_the_seed_decides_weights_and_masks_whatever_the_global_generator():
    states = []
    for global_seed in (0, 1):
        torch.manual_seed(global_seed)
        states.append(voting().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(voting(seed=4).eval_masks, voting().eval_masks)
    assert not torch.equal(voting(seed=4).weight_in, voting().weight_in)


def test_weights_are_orthogonal_and_not_trainable():
    layer = voting()
    torch.testing.assert_close(layer.weight_in @ layer.weight_in.T, torch.eye(8).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.weight_out.T @ layer.weight_out, torch.eye(8).double(), atol=1e-5, rtol=0)
    assert not list(layer.parameters())
    assert set(layer.state_dict()) == {"weight_in", "weight_out", "eval_masks"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vote": "most"}, "'mean', 'majority'"),
        ({"eval_votes": "all"}, "'masks', 'none'"),
        ({"votes": 0}, "votes=0"),
        ({"rate": 1.0}, r"rate=1\.0"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        voting(**options)

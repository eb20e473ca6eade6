import pytest
import torch

from mcmfh_lightning.layers import FusionTransformer
from tests.layers.plain_fusion import PlainFusion, published_attention

IMAGE, TEXT, BOTH = (True, False), (False, True), (True, True)


def transformer(**options):
    torch.manual_seed(0)
    sizes = {"d_model": 8, "num_layers": 2, "num_heads": 2, "num_experts": 3, "top_k": 1, "ffn_multiplier": 2}
    return FusionTransformer(**sizes | options).double()


def tokens(rows=5):
    return torch.randn(rows, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def changed(values, rows, modality):
    values = values.clone()
    values[rows, modality, 0] += 1.0  # not all entries alike: a LayerNorm would take that out
    return values


@pytest.mark.parametrize("fusion", ["tokens", "concat"])
def test_each_output_sees_both_modalities_of_its_sample_and_no_other_sample(fusion):
    model = transformer(fusion=fusion)
    before = torch.stack(model(tokens(), [BOTH]).tokens, dim=1)
    for modality in (0, 1):
        after = torch.stack(model(changed(tokens(), 2, modality), [BOTH]).tokens, dim=1)
        assert ((after - before).abs().sum(-1) > 1e-6).tolist() == [[row == 2] * 2 for row in range(5)]


@pytest.mark.parametrize("fusion", ["tokens", "concat"])
@pytest.mark.parametrize(("view", "missing"), [(IMAGE, 1), (TEXT, 0)])
def test_a_missing_modality_is_not_read(fusion, view, missing):
    model = transformer(fusion=fusion)
    poisoned = tokens()
    poisoned[:, missing] = torch.nan
    (expected,), (token,) = model(tokens(), [view]).tokens, model(poisoned, [view]).tokens
    assert torch.equal(token, expected)
    assert torch.isfinite(token).all()


@pytest.mark.parametrize("fusion", ["tokens", "concat"])
def test_placeholders_and_modality_embeddings_are_learned(fusion):
    model = transformer(fusion=fusion)
    sum(token.square().sum() for token in model(tokens(2), [IMAGE, TEXT]).tokens).backward()
    assert model.placeholder.grad.any(dim=1).all()
    assert model.modality.grad.any(dim=1).all()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("fusion", ["tokens", "concat"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize("views", [[IMAGE, TEXT, BOTH], [IMAGE], [TEXT], [BOTH], [BOTH, TEXT]])
def test_what_views_share_changes_no_number(fusion, num_layers, top_k, views):
    model = transformer(fusion=fusion, num_layers=num_layers, top_k=top_k)
    with torch.no_grad():  # placeholders as large as tokens, so that attention to them counts
        model.placeholder.mul_(50)
        model.modality.mul_(50)
    outcomes, modalities = [], []
    for forward in (model, PlainFusion(model)):
        given = tokens().requires_grad_()
        results, routings, held = forward(given, views)
        terms = [*results, *(routing.logits for routing in routings)]
        torch.manual_seed(3)
        loss = sum((term * torch.randn_like(term)).sum() for term in terms)
        wanted = [given, *model.parameters()]
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
        outcomes.append([*terms, *gradients, *(routing.experts for routing in routings)])
        modalities.append(held)
    torch.testing.assert_close(*outcomes, atol=1e-9, rtol=1e-9)
    assert modalities[0] == modalities[1]


def test_a_step_sends_only_tokens_that_are_read_through_the_last_block():
    model, rows = transformer(num_layers=2), []
    for block in model.blocks:
        for part in (block.query_key_value, block.attention_out, block.experts):
            part.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[:-1].numel()))
    model(tokens(5), [IMAGE, TEXT, BOTH])
    # The first block projects both tokens of a sample once, and two placeholders once for all samples.
    assert rows == [2 * 5 + 2, 6 * 5, 6 * 5, 6 * 5, 4 * 5, 4 * 5]


def test_tokens_routes_two_tokens_of_d_model_and_concat_one_of_twice_the_width():
    separate, joint = transformer(fusion="tokens"), transformer(fusion="concat")
    assert separate.blocks[0].experts.weight_in.shape == (3, 8, 16)
    assert joint.blocks[0].experts.weight_in.shape == (3, 16, 32)
    assert separate(tokens(), [BOTH]).routings[0].experts.shape == (2, 5, 1)
    assert joint(tokens(), [BOTH]).routings[0].experts.shape == (1, 5, 1)
    assert [token.shape for token in joint(tokens(), [BOTH]).tokens] == [(5, 8), (5, 8)]


def test_attention_over_two_tokens_is_the_published_formula():
    block = transformer().blocks[0]
    attended = block._attend(tokens().unbind(1), [(0, 1), (1, 0)]).transpose(0, 1)
    torch.testing.assert_close(attended, published_attention(block, block.attention_norm(tokens())))


def test_the_options_set_the_sizes():
    model = transformer(num_layers=3, num_experts=5, top_k=2, ffn_multiplier=3)
    routings = model(tokens(), [BOTH]).routings
    assert len(routings) == 3
    assert routings[0].logits.shape == (2, 5, 5)
    assert routings[0].experts.shape == (2, 5, 2)
    assert model.blocks[0].experts.weight_in.shape == (5, 8, 24)


@pytest.mark.parametrize("fusion", ["tokens", "concat"])
@pytest.mark.parametrize("rows", [0, 1])
def test_a_batch_without_rows_or_of_one_passes(fusion, rows):
    fused = transformer(fusion=fusion)(tokens(rows), [IMAGE, TEXT, BOTH])
    assert [token.shape for token in fused.tokens] == [(rows, 8)] * 4


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="'tokens', 'concat'"):
        transformer(fusion="sum")
    with pytest.raises(ValueError, match="num_heads=3"):
        transformer(num_heads=3)

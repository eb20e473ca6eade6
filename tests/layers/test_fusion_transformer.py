import pytest
import torch

from mcmfh_lightning.layers import FusionTransformer

BOTH = torch.ones(5, 2, dtype=torch.bool)


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
    before = model(tokens(), BOTH).tokens
    for modality in (0, 1):
        after = model(changed(tokens(), 2, modality), BOTH).tokens
        assert ((after - before).abs().sum(-1) > 1e-6).tolist() == [[row == 2] * 2 for row in range(5)]


@pytest.mark.parametrize("fusion", ["tokens", "concat"])
def test_a_missing_modality_is_not_read(fusion):
    model = transformer(fusion=fusion)
    present = BOTH.clone()
    present[:, 1] = False
    poisoned = tokens()
    poisoned[:, 1] = torch.nan
    assert torch.equal(model(poisoned, present).tokens, model(tokens(), present).tokens)


@pytest.mark.parametrize("fusion", ["tokens", "concat"])
def test_placeholders_and_modality_embeddings_are_learned(fusion):
    model = transformer(fusion=fusion)
    present = torch.tensor([[True, False], [False, True]])
    model(tokens(2), present).tokens.square().sum().backward()
    assert model.placeholder.grad.any(dim=1).all()
    assert model.modality.grad.any(dim=1).all()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_tokens_routes_two_tokens_of_d_model_and_concat_one_of_twice_the_width():
    separate, joint = transformer(fusion="tokens"), transformer(fusion="concat")
    assert separate.blocks[0].experts.weight_in.shape == (3, 8, 16)
    assert joint.blocks[0].experts.weight_in.shape == (3, 16, 32)
    assert separate(tokens(), BOTH).routings[0].experts.shape == (5, 2, 1)
    assert joint(tokens(), BOTH).routings[0].experts.shape == (5, 1, 1)
    assert joint(tokens(), BOTH).tokens.shape == (5, 2, 8)


def test_attention_over_two_tokens_is_the_published_formula():
    block = transformer().blocks[0]
    inputs = tokens()
    query, key, value = (block.query_key_value(inputs)).chunk(3, dim=-1)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = (query[..., head] @ key[..., head].transpose(1, 2) / 2.0).softmax(-1)
        heads.append(weights @ value[..., head])
    expected = block.attention_out(torch.cat(heads, dim=-1))
    torch.testing.assert_close(block._attend(inputs), expected)


def test_the_options_set_the_sizes():
    model = transformer(num_layers=3, num_experts=5, top_k=2, ffn_multiplier=3)
    routings = model(tokens(), BOTH).routings
    assert len(routings) == 3
    assert routings[0].logits.shape == (5, 2, 5)
    assert routings[0].experts.shape == (5, 2, 2)
    assert model.blocks[0].experts.weight_in.shape == (5, 8, 24)


def test_an_empty_batch_passes():
    assert transformer()(tokens(0), BOTH[:0]).tokens.shape == (0, 2, 8)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="'tokens', 'concat'"):
        transformer(fusion="sum")
    with pytest.raises(ValueError, match="num_heads=3"):
        transformer(num_heads=3)

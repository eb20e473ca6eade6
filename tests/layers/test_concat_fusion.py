import pytest
import torch
from torch.nn.functional import normalize

from mcmfh_lightning.layers import ConcatFusion, KeyedDropout
from mcmfh_lightning.layers.concat_fusion import CONCAT_DROPOUT, CONCAT_HEADS, CONCAT_LAYERS
from mcmfh_lightning.randomness import SampleKey


def torch_encoder(fusion, width):
    """PyTorch's own encoder with the weights of ours."""
    layer = torch.nn.TransformerEncoderLayer(width, CONCAT_HEADS, 2 * width, CONCAT_DROPOUT, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, CONCAT_LAYERS, enable_nested_tensor=False).eval()
    names = {
        "self_attn.in_proj_": "query_key_value.",
        "self_attn.out_proj.": "attention_out.",
        "norm1.": "attention_norm.",
        "linear1.": "hidden_in.",
        "linear2.": "hidden_out.",
        "norm2.": "hidden_norm.",
    }
    ours = dict(fusion.named_parameters())
    assert len(ours) == len(list(encoder.parameters()))
    for name, parameter in encoder.named_parameters():
        for theirs, mine in names.items():
            name = name.replace(theirs, mine)
        parameter.data = ours[name].data
    return encoder


@pytest.mark.parametrize("across_batch", [False, True])
def test_it_is_the_encoder_of_torch(across_batch):
    torch.manual_seed(0)
    fusion = ConcatFusion(16).double()
    for parameter in fusion.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # layers differ, biases are not zero
    image, text = torch.randn(2, 9, 16, dtype=torch.float64)
    tokens = torch.cat([image, text], dim=1)
    encoder = torch_encoder(fusion, 32).double()
    expected = encoder(tokens[None])[0] if across_batch else encoder(tokens[:, None])[:, 0]
    found = torch.cat(fusion(image, text, across_batch=across_batch), dim=1)
    torch.testing.assert_close(found, normalize(expected, dim=1))


def test_every_weight_gets_a_gradient():
    fusion = ConcatFusion(8)
    torch.cat(fusion(*torch.randn(2, 5, 8), SampleKey(0, torch.arange(5))), dim=1).sum().backward()
    assert all(parameter.grad is not None for parameter in fusion.parameters())


def test_heads_hidden_units_and_outputs_are_dropped():
    fusion = ConcatFusion(8)
    rates = [dropout.keep for layer in fusion.layers for dropout in layer.dropouts]
    assert rates == [1 - CONCAT_DROPOUT] * ConcatFusion.num_sites
    assert len({dropout.seed for layer in fusion.layers for dropout in layer.dropouts}) == ConcatFusion.num_sites
    layer, tokens = fusion.layers[0], torch.randn(2000, 16)
    layer.attention_out.weight.data = torch.eye(16)
    layer.attention_norm, layer.dropouts[1] = torch.nn.Identity(), KeyedDropout(0.0, 0, 0)
    layer.hidden_out.weight.data.zero_()
    layer.hidden_out.bias.data.zero_()
    layer.hidden_norm = torch.nn.Identity()
    heads = layer(tokens, SampleKey(0, torch.arange(2000)), across_batch=False) - tokens
    gone = (heads.unflatten(1, (CONCAT_HEADS, -1)).abs() < 1e-6).all(2)
    assert gone.float().mean().item() == pytest.approx(CONCAT_DROPOUT, abs=4 * (0.09 / 8000) ** 0.5)

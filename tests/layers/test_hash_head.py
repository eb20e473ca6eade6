import torch

from mcmfh_lightning.layers import HashHead


def test_codes_are_the_tanh_of_an_mlp():
    torch.manual_seed(0)
    head = HashHead(d_model=6, num_bits=5, hidden_dim=7)
    token = 10 * torch.randn(4, 6)
    hidden = (token @ head.hidden.weight.T + head.hidden.bias).clamp(min=0)
    expected = (hidden @ head.code.weight.T + head.code.bias).tanh()
    torch.testing.assert_close(head(token), expected)
    assert head(token).shape == (4, 5)
    assert head(token).abs().max() <= 1

import torch

from mcmfh_lightning.layers import HashHead, SelectingHead


def test_codes_are_the_tanh_of_an_mlp():
    torch.manual_seed(0)
    head = HashHead(d_model=6, num_bits=5, hidden_dim=7)
    token = 10 * torch.randn(4, 6)
    hidden = (token @ head.hidden.weight.T + head.hidden.bias).clamp(min=0)
    expected = (hidden @ head.code.weight.T + head.code.bias).tanh()
    torch.testing.assert_close(head(token), expected)
    assert head(token).shape == (4, 5)
    assert head(token).abs().max() <= 1


def test_a_bit_is_selected_between_two_outputs():
    torch.manual_seed(0)
    head = SelectingHead(d_model=6, num_bits=5, hidden_dim=7).double()
    token = 10 * torch.randn(4, 6, dtype=torch.float64)
    outputs = (token @ head.hidden.weight.T + head.hidden.bias).clamp(min=0) @ head.pairs.weight.T + head.pairs.bias
    codes = head(token)
    assert codes.shape == (4, 5)
    for row, code in zip(outputs.tolist(), codes, strict=True):
        for bit, value in enumerate(code):
            chances = torch.tensor(row[2 * bit : 2 * bit + 2], dtype=torch.float64).exp()
            chances /= chances.sum()
            torch.testing.assert_close(value, chances[1] - chances[0], rtol=0, atol=1e-12)
            assert (value >= 0) == (chances.argmax() == 1)

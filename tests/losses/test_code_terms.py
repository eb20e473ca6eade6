import pytest
import torch

from mcmfh_lightning.losses import bit_balance, quantization


def test_quantization_is_the_squared_distance_to_the_sign():
    codes = torch.tensor([[0.5, -1.0], [-0.25, 1.0]])
    expected = (0.5**2 + 0.75**2) / 4
    assert quantization(codes).item() == pytest.approx(expected)
    assert quantization(codes.sign()).item() == 0.0


def test_quantization_pulls_each_value_towards_its_own_sign():
    codes = torch.tensor([[0.3, -0.3]], requires_grad=True)
    quantization(codes).backward()
    assert codes.grad[0, 0] < 0 < codes.grad[0, 1]


def test_bit_balance_looks_at_columns():
    codes = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
    assert bit_balance(codes).item() == pytest.approx((0.0**2 + 0.75**2) / 2)

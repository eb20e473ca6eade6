"""Mixed precision: the losses of every method stay finite and near those of 32 bits."""

import pytest
import torch


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16-mixed", "16-mixed"])
def test_terms_and_gradients_are_near_those_of_32_bits(make_hasher, make_batch, dtype):
    hasher, batch = make_hasher(), make_batch(64)
    exact = hasher.objective(batch).terms
    with torch.autocast("cpu", dtype=dtype):
        mixed = hasher.objective(batch).terms
    assert exact.keys() == mixed.keys()
    for name, term in mixed.items():
        torch.testing.assert_close(
            term.float(), exact[name], rtol=0.05, atol=0.02, msg=lambda text, name=name: f"{name}: {text}"
        )
    sum(mixed.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in hasher.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16-true", "16-true"])
def test_weights_may_be_in_half_precision_too(make_hasher, make_batch, dtype):
    exact = make_hasher().objective(make_batch(64)).terms
    hasher = make_hasher().to(dtype)
    terms = hasher.objective(make_batch(64, dtype=dtype)).terms
    assert exact.keys() == terms.keys()
    for name, term in terms.items():
        torch.testing.assert_close(term.float(), exact[name], rtol=0.05, atol=0.02, msg=name)
    sum(terms.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in hasher.parameters())

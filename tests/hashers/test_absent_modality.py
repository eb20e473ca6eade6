"""What is absent reaches a hasher as zeros: its codes are masked later, but they must be numbers."""

import pytest
import torch

from mcmfh_lightning.evaluation.nulls import RandomHyperplanes
from mcmfh_lightning.hashers import DDBH, MCMFH, UCMFH, TwoTower


@pytest.mark.parametrize("hasher", [MCMFH, TwoTower, UCMFH, DDBH])
def test_codes_of_zeros_are_finite_and_the_other_rows_are_untouched(hasher):
    torch.manual_seed(0)
    model = hasher(num_bits=16, image_dim=12, text_dim=9, d_model=32).eval()
    batch = {
        "image": torch.randn(6, 12),
        "text": torch.randn(6, 9),
        "labels": torch.zeros(6, 1, dtype=torch.uint8),
        "group": torch.arange(6),
        "text_hash": torch.arange(6),
        "present": torch.tensor([[True, True], [False, True], [True, False]] * 2),
        "index": torch.arange(6),
    }
    absent = batch | {name: batch[name] * batch["present"][:, i, None] for i, name in enumerate(("image", "text"))}
    with torch.no_grad():
        whole, zeroed = model.evaluate(batch), model.evaluate(absent)
    for name, codes in zeroed.items():
        if name == "routing":
            continue
        assert codes.isfinite().all(), name
        torch.testing.assert_close(codes[[0, 3]], whole[name][[0, 3]])
    torch.testing.assert_close(zeroed["image"][[2, 5]], whole["image"][[2, 5]])  # its text is absent, not its image


def test_hyperplanes_of_zeros_give_codes():
    planes = RandomHyperplanes(16, 12, 9, seed=0, device=torch.device("cpu"))
    codes = planes.codes({"image": torch.zeros(1, 12), "text": torch.zeros(1, 9)})
    assert all(code.shape == (1, 2) for code in codes.values())

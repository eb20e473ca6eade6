import numpy as np
import pytest
import torch

from mcmfh_lightning.losses.batch import weighted_mean


def test_mean_of_valid_rows_by_weight():
    rows = torch.tensor([1.0, 2.0, 5.0, torch.nan])
    valid = torch.tensor([True, True, True, False])
    assert weighted_mean(rows, valid, None).item() == pytest.approx(8 / 3)
    weight = torch.tensor([0.5, 2.0, 0.0, 1.0])
    assert weighted_mean(rows, valid, weight).item() == pytest.approx(np.average([1, 2], weights=[0.5, 2]))


@pytest.mark.parametrize("valid", [False, True])
def test_without_a_row_that_counts_it_is_zero_with_a_gradient(valid):
    rows = torch.ones(3, requires_grad=True)
    mean = weighted_mean(rows, torch.full((3,), valid), torch.zeros(3))
    mean.backward()
    assert mean.item() == 0
    assert not rows.grad.any()

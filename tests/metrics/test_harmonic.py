from fractions import Fraction

import mpmath
import pytest
import torch

from mcmfh_lightning.metrics.functional import harmonic_difference


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 0), (0, 1), (0, 64), (3, 5), (60, 70), (63, 64), (64, 65), (65, 66), (200, 203), (0, 900)]
)
def test_sum_of_reciprocals(start, stop):
    exact = float(sum((Fraction(1, t) for t in range(start + 1, stop + 1)), Fraction(0)))
    assert harmonic_difference(torch.tensor(start), torch.tensor(stop)).item() == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize(("start", "stop"), [(10**6, 10**6 + 3), (10**9, 10**9 + 1), (5, 10**9)])
def test_keeps_relative_precision_far_out(start, stop):
    with mpmath.workdps(40):
        exact = float(mpmath.harmonic(stop) - mpmath.harmonic(start))
    assert harmonic_difference(torch.tensor(start), torch.tensor(stop)).item() == pytest.approx(exact, rel=1e-14)


def test_sums_up_to_the_table_do_not_depend_on_what_stands_next_to_them() -> None:
    start = torch.arange(0, 40)
    stop = start + torch.arange(0, 40) % 25
    far = torch.tensor([10, 5000])
    together = harmonic_difference(torch.cat([start, far]), torch.cat([stop, far + 900]))
    assert torch.equal(harmonic_difference(start, stop), together[: len(start)])

import mpmath
import pytest
import torch

from mcmfh_lightning.metrics.functional import discount_difference


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        *[(0, 0), (0, 1), (0, 128), (126, 128), (127, 130), (128, 129), (128, 150), (129, 129), (0, 3_000)],
        *[(10**6, 10**6 + 1), (10**7 - 3, 10**7), (10**9, 10**9 + 2)],
    ],
)
def test_sum_over_places(start, stop):
    with mpmath.workdps(30):
        exact = float(mpmath.fsum(1 / mpmath.log(1 + t, 2) for t in range(start + 1, stop + 1)))
    assert discount_difference(torch.tensor(start), torch.tensor(stop)).item() == pytest.approx(exact, rel=2e-14, abs=0)


@pytest.mark.parametrize("stop", [10**5, 10**7, 10**9])
def test_long_runs_by_the_logarithmic_integral(stop):
    """Euler-Maclaurin at whole places instead of midpoints, from place 1,000 on, in 40 digits."""
    with mpmath.workdps(40):
        ends = mpmath.mpf(1_001), mpmath.mpf(stop + 1)
        low, high = ([mpmath.diff(lambda x: 1 / mpmath.log(x), end, order) for order in (0, 1, 3)] for end in ends)
        value, first, third = (theirs - ours for ours, theirs in zip(low, high, strict=True))
        far = mpmath.li(ends[1]) - mpmath.li(ends[0]) + value / 2 + first / 12 - third / 720
        exact = float(mpmath.fsum(1 / mpmath.log(1 + t, 2) for t in range(1, 1_001)) + mpmath.log(2) * far)
    assert discount_difference(torch.tensor(0), torch.tensor(stop)).item() == pytest.approx(exact, rel=2e-14, abs=0)


def test_runs_add_up():
    places = torch.tensor([0, 5, 127, 128, 129, 1_000, 10**6, 10**8])
    runs = discount_difference(places[:-1], places[1:])
    assert runs.sum().item() == pytest.approx(discount_difference(places[0], places[-1]).item(), rel=2e-14, abs=0)


def test_sums_up_to_the_table_do_not_depend_on_what_stands_next_to_them() -> None:
    start = torch.arange(0, 100)
    stop = start + torch.arange(0, 100) % 29
    far = torch.tensor([100, 5000])
    together = discount_difference(torch.cat([start, far]), torch.cat([stop, far + 900]))
    assert torch.equal(discount_difference(start, stop), together[: len(start)])

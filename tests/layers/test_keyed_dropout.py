import pytest
import torch

from mcmfh_lightning.layers import KeyedDropout
from mcmfh_lightning.randomness import SampleKey

UNITS = torch.ones(50, 4, 30)


def drop(rate=0.3, seed=0, site=0, step=0, first=0):
    return KeyedDropout(rate, seed, site)(UNITS, SampleKey(step, torch.arange(first, first + len(UNITS))))


def test_without_a_key_nothing_is_dropped():
    assert KeyedDropout(0.3, 0, 0)(UNITS, None) is UNITS


def test_kept_units_are_scaled_so_that_the_mean_stays():
    dropped = drop()
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert dropped.mean().item() == pytest.approx(1.0, abs=4 * (0.3 / 0.7 / 6000) ** 0.5)  # standard error


@pytest.mark.parametrize("other", [{"seed": 1}, {"site": 1}, {"step": 1}, {"first": 50}])
def test_every_part_of_the_key_changes_the_mask(other):
    together = ((drop(0.5) > 0) == (drop(0.5, **other) > 0)).float().mean().item()
    assert together == pytest.approx(0.5, abs=4 * 0.5 / 6000**0.5)


def test_a_sample_keeps_its_mask_in_another_batch():
    layer, ids = KeyedDropout(0.5, 0, 0), torch.arange(50)
    whole = layer(UNITS, SampleKey(3, ids))
    assert torch.equal(layer(UNITS[:7], SampleKey(3, ids[20:27])), whole[20:27])


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_the_unit_interval_is_refused(rate):
    with pytest.raises(ValueError, match=f"rate={rate}"):
        KeyedDropout(rate, 0, 0)

import time

import pytest
import torch
from scipy.stats import chisquare

from mcmfh_lightning.randomness import EVALUATION_STEP, keyed_mask, keyed_uniforms, splitmix64


def mask(probability=0.5, *, seed=0, step=0, ids=range(64), shape=(2, 3, 50)):
    return keyed_mask(probability, seed=seed, step=step, ids=torch.tensor(list(ids)), shape=shape)


def test_splitmix64_gives_the_published_sequence_of_seed_1234567():
    # The first outputs of the reference implementation (Vigna, splitmix64.c).
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    drawn = splitmix64(torch.tensor([1234567]), torch.arange(5))
    assert [value % 2**64 for value in drawn.tolist()] == published


def test_a_sample_has_the_same_mask_in_any_batch():
    whole = mask(ids=range(10))
    assert torch.equal(mask(ids=[7])[0], whole[7])
    assert torch.equal(mask(ids=[9, 3, 3, 0]), whole[[9, 3, 3, 0]])


def test_a_unit_has_the_same_entry_whatever_the_shape_is_cut_to():
    assert torch.equal(mask(shape=(7,)), mask(shape=(300,))[:, :7])


@pytest.mark.parametrize("other", [{"seed": 1}, {"step": 1}, {"step": EVALUATION_STEP}, {"ids": range(64, 128)}])
def test_every_key_gives_an_independent_mask(other):
    # 19,200 fair coins agree with independent ones in half of the cases; the standard error is .0036.
    agreement = (mask() == mask(**other)).double().mean().item()
    assert agreement == pytest.approx(0.5, abs=0.018)


def test_nearby_units_are_independent():
    drawn = mask(shape=(400,)).double() - 0.5
    for lag in (1, 2, 3, 4, 8, 16):
        assert (4 * drawn[:, lag:] * drawn[:, :-lag]).mean().item() == pytest.approx(0.0, abs=0.032)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
def test_the_rate_is_the_probability_for_each_sample(probability):
    counts = mask(probability, ids=range(200), shape=(1000,)).sum(1)
    expected = 1000 * probability * (1 - probability)
    statistic = ((counts - 1000 * probability) ** 2 / expected).sum().item()
    assert 130 < statistic < 280  # chi-square, 200 degrees of freedom: mean 200, standard deviation 20


def test_bytes_of_the_hash_are_uniform():
    bytes_drawn = splitmix64(torch.tensor([5]), torch.arange(4096)).view(torch.uint8)
    for place in range(8):
        counts = bytes_drawn.reshape(-1, 8)[:, place].bincount(minlength=256)
        assert chisquare(counts.numpy()).pvalue > 1e-5


def test_uniforms_are_uniform_and_follow_their_keys():
    ids = torch.arange(500)
    drawn = keyed_uniforms(seed=0, step=1, ids=ids, count=20)
    assert drawn.shape == (500, 20)
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    assert chisquare((drawn * 100).long().flatten().bincount(minlength=100).numpy()).pvalue > 1e-5
    assert torch.equal(keyed_uniforms(seed=0, step=torch.tensor(1), ids=ids[[7, 3]], count=5), drawn[[7, 3], :5])
    for keys in ({"seed": 1, "step": 1}, {"seed": 0, "step": 2}):
        other = keyed_uniforms(**keys, ids=ids, count=20)
        assert torch.corrcoef(torch.stack([drawn.flatten(), other.flatten()]))[0, 1].abs() < 0.05
        assert not torch.equal(other, drawn)


def test_certain_probabilities_are_exact():
    assert mask(1.0).all()
    assert not mask(0.0).any()


def test_a_probability_outside_the_unit_interval_is_refused():
    with pytest.raises(ValueError, match=r"probability=1\.2"):
        mask(1.2)


def test_seeds_beyond_63_bits_and_below_zero_work():
    assert not torch.equal(mask(seed=2**64 - 2), mask(seed=2**63))
    assert torch.equal(mask(seed=-1), mask(seed=2**64 - 1))


def test_a_training_mask_takes_milliseconds():
    ids = torch.arange(256)
    times = []
    for step in range(4):
        start = time.perf_counter()
        keyed_mask(0.8, seed=0, step=step, ids=ids, shape=(2, 8, 512))
        times.append(time.perf_counter() - start)
    assert min(times) < 0.25  # 25 ms on one quiet core

"""Random numbers that depend on keys alone, so that resuming, batching and sharding cannot change them.

A number is a pure function of (seed, step, sample id, unit): a counter-based generator in the sense of Salmon et
al. (SC 2011, "Parallel random numbers: as easy as 1, 2, 3"), with SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) as
its mixing function. There is no generator state to save, restore or advance.
"""

from typing import NamedTuple

import torch
from torch import Tensor

EVALUATION_STEP = -1
"""The step of masks that are drawn once for evaluation: before every training step."""

_GAMMA = 0x9E3779B97F4A7C15
_BITS_PER_UNIFORM = 16
_UNIFORMS_PER_HASH = 64 // _BITS_PER_UNIFORM


class SampleKey(NamedTuple):
    """Keys that masks of a training pass depend on, in addition to the seed."""

    step: int | Tensor
    """Global step; as a tensor () it is not a constant, for each of which `torch.compile` would compile again."""
    ids: Tensor
    """(B,) int64 sample ids."""


def keyed_mask(probability: float, *, seed: int, step: int | Tensor, ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Draw a Bernoulli mask for each sample.

    The same (seed, step, id) gives the same mask in any batch, on any device and in any process. Every 64-bit hash
    serves four entries, so the probability is rounded to a multiple of 2^-16.

    Args:
        probability: Chance of True, in [0, 1].
        seed: The run's seed.
        step: Global step, or :data:`EVALUATION_STEP`.
        ids: (B,) int64 sample ids.
        shape: Shape of one sample's mask.

    Returns:
        (B, *shape) bool.

    Raises:
        ValueError: If the probability is outside [0, 1].
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability={probability} is outside [0, 1]")
    units = torch.Size(shape).numel()
    hashes = _hashes(seed, step, ids, -(-units // _UNIFORMS_PER_HASH))
    uniforms = hashes.view(torch.int16)[:, :units].to(torch.int32)
    threshold = round(probability * 2**_BITS_PER_UNIFORM) - 2 ** (_BITS_PER_UNIFORM - 1)
    return torch.lt(uniforms, threshold).reshape(len(ids), *shape)


def keyed_uniforms(*, seed: int, step: int | Tensor, ids: Tensor, count: int) -> Tensor:
    """Draw uniform numbers for each sample; the same (seed, step, id) gives the same ones, as with `keyed_mask`.

    Args:
        seed: The run's seed.
        step: Global step.
        ids: (B,) int64 sample ids.
        count: Numbers of a sample.

    Returns:
        (B, count) float32 in [0, 1), multiples of 2^-24.
    """
    return _shift_right(_hashes(seed, step, ids, count), 40).float() * 2.0**-24


def _hashes(seed: int, step: int | Tensor, ids: Tensor, count: int) -> Tensor:
    """Hash the keys of each sample with numbers from 0: (B, count) int64."""
    start = torch.tensor([_signed(seed)], device=ids.device)
    state = splitmix64(start, torch.as_tensor(step, device=ids.device))
    counters = torch.arange(count, device=ids.device)
    return splitmix64(splitmix64(state, ids)[:, None], counters)


def splitmix64(state: Tensor, counter: Tensor) -> Tensor:
    """Output number ``counter`` (from 0) of the SplitMix64 generator that starts in ``state``.

    Args:
        state: int64, read as 64 unsigned bits.
        counter: int64, broadcast against ``state``.

    Returns:
        int64 hashes of the broadcast shape; products wrap modulo 2^64.
    """
    z = state + (counter + 1) * _signed(_GAMMA)
    for bits, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= _shift_right(z, bits)  # in place: a mask has millions of entries, and new memory takes time
        z *= _signed(factor)
    return z.bitwise_xor_(_shift_right(z, 31))


def _shift_right(z: Tensor, bits: int) -> Tensor:
    """Logical shift of int64 (torch's own shift repeats the sign bit)."""
    return (z >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """Return the int64 that has the same low 64 bits."""
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)

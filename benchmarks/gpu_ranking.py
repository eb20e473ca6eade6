"""Ranking on a GPU: the Triton kernel counts what the reference counts, and how long it takes, next to two floors.

On a CPU the kernels run in Triton's interpreter, whose times say nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
from gpu_device import Device, copy_rates, times
from gpu_sections import Measured, Step
from ranking_data import Data, histogram, random_data
from torch import Tensor

from mcmfh_lightning.metrics.kernels import graded_histogram, hamming_histogram

BITS = (16, 32, 64, 128, 256)
HISTOGRAMS: dict[str, Callable[..., tuple[Tensor, ...]]] = {"binary": hamming_histogram, "graded": graded_histogram}


@dataclass(frozen=True)
class Sizes:
    """Numbers of queries and items of each step."""

    compared: tuple[int, int]
    large: tuple[int, int]
    small: tuple[int, int]
    again: int
    """Queries of the large database that are compared with the reference."""


SIZES = {
    "cuda": Sizes(compared=(64, 100_003), large=(10_000, 10_000_000), small=(10_000, 1 << 20), again=32),
    "cpu": Sizes(compared=(2, 2_500), large=(2, 10_000), small=(1, 1 << 12), again=1),
}


def refuse_other(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], setting: str) -> None:
    """Compare integers.

    Raises:
        ValueError: If one differs.
    """
    for name, ours, theirs in zip(("total", "relevant", "gains", "shared"), found, expected, strict=False):
        if not torch.equal(ours, theirs):
            wrong = int((ours != theirs).sum()) if ours.shape == theirs.shape else "all"
            raise ValueError(f"the kernel does not count what the reference counts: {setting}, {wrong} of {name}")


def compare(num_bits: int, queries: int, items: int, device: Device) -> Iterator[Measured]:
    """Compare all counts of the kernel with those of the reference, where some items are of the queries' own groups."""
    data = random_data(num_bits, queries, items, device.kind)
    number = torch.arange(items, device=device.kind)
    arguments = (*data.arguments[:4], number[:queries], number % (items // 3), num_bits)
    for name, count in HISTOGRAMS.items():
        setting = f"K = {num_bits}, Q {queries:,} x N {items:,}"
        found, expected = (count(*arguments, backend=backend) for backend in ("triton", "torch"))
        refuse_other(found, expected, f"{name}, {setting}")
        equal = float(sum(counts.numel() for counts in found))
        yield Measured(f"{name}: counts equal to the reference", setting, [equal], "counts")


def floors(data: Data, name: str, device: Device, expected: tuple[Tensor, ...]) -> dict[str, float]:
    """Measure the least seconds of a histogram: by instructions, and by bytes that are read once.

    Raises:
        ValueError: If the floor adds up to other sums than the histogram.
    """
    from gpu_popcounts import AddUp  # needs Triton: without it the comparison says so

    add_up = AddUp(data, graded=name == "graded")
    if add_up.items == len(data.codes):
        distances = torch.arange(data.num_bits + 1, device=device.kind)
        sums = ((expected[0] * distances).sum(1), expected[1 if name == "binary" else 2].sum(1))
        refuse_other((add_up(),), (torch.stack(sums, 1),), f"sums of the floor, {name}")
    seconds = median(times(add_up, device)) * len(data.codes) / add_up.items
    size = sum(rows.nbytes for rows in data.arguments[:4]) + sum(counts.nbytes for counts in expected)
    return {"popcounts, nothing counted": seconds, "bytes, once each": size / median(copy_rates(device))}


def speed(name: str, num_bits: int, sizes: tuple[int, int], again: int, device: Device) -> Iterator[Measured]:
    """Time a histogram, and compare that of a few queries with the reference."""
    data = random_data(num_bits, *sizes, device.kind)
    count, setting = HISTOGRAMS[name], f"K = {num_bits}, Q {sizes[0]:,} x N {sizes[1]:,}, 64 labels"
    run = histogram(count, "triton", data)
    counts = count(*data.arguments, backend="triton")
    few = replace(data, query_codes=data.query_codes[:again], query_labels=data.query_labels[:again])
    expected = count(*few.arguments, backend="torch")
    # The graded reference has as many columns of shared labels as its few queries need.
    found = tuple(ours[:again, : theirs.shape[1]] for ours, theirs in zip(counts, expected, strict=True))
    refuse_other(found, expected, f"{name}, {setting}")
    taken = times(run, device)
    goal = "value <= 1" if name == "binary" and sizes == SIZES[device.kind].large else ""
    for floor_of, floor in floors(data, name, device, counts).items():
        yield Measured(name, setting, taken, "s", floor, floor_of, goal, run=run)
        goal = ""  # one profile is enough


def steps(device: Device, folder: Path) -> Iterator[Step]:
    """List the steps: all comparisons, the large database, and other code lengths on a smaller one."""
    sizes = SIZES[device.kind]
    for num_bits in BITS:
        yield f"counts equal to the reference, K = {num_bits}", partial(compare, num_bits, *sizes.compared, device)
    for name in HISTOGRAMS:
        yield f"{name}, K = 64, large", partial(speed, name, 64, sizes.large, sizes.again, device)
    for num_bits in BITS:
        yield f"binary, K = {num_bits}", partial(speed, "binary", num_bits, sizes.small, sizes.again, device)

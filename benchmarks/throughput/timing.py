"""Several systems timed in turns, so that what else the machine does falls on all of them."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from rich.progress import track

System = Callable[[], object]


def seconds(
    systems: Mapping[str, System], device: torch.device, turns: int, steps: int, title: str
) -> dict[str, float]:
    """Median over turns of the time of one step.

    In each turn every system makes one step untimed, so that none pays for what the one before it left in the caches,
    and then ``steps`` timed ones.

    Args:
        systems: What makes a step, by name.
        device: Where it is made; a GPU is waited for.
        turns: How often every system has its turn.
        steps: Timed steps of a turn.
        title: Of the progress bar.
    """
    found: dict[str, list[float]] = {name: [] for name in systems}
    for _ in track(range(turns), description=title):
        for name, step in systems.items():
            step()
            _wait(device)
            begin = time.perf_counter()
            for _ in range(steps):
                step()
            _wait(device)
            found[name].append((time.perf_counter() - begin) / steps)
    return {name: statistics.median(times) for name, times in found.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

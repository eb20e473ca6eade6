"""Shared memory that is full, as in a container by default: how errors show it, and what to do about it.

Its errors read like those of a full disk, for it is a file system. Torch writes tensors to it that go to another
process, and multiprocessing its locks.
"""

import errno
import math
import os
import re
from pathlib import Path
from traceback import walk_tb

FOLDER = Path("/dev/shm")  # noqa: S108  # only its size is looked at
FIX = "use no worker processes (num_workers=0, --data.num-workers 0)"
_SMALL = 64 * 2**20
"""Bytes: what Docker gives by default."""
_FULL = re.compile(
    r"/torch_\d+_\d+_?\d*>.*(?:No space left on device|Cannot allocate memory)"  # a tensor of torch
    r"|synchronize\.py.*\[Errno 28\]",  # a lock of multiprocessing, in the traceback that a worker sends
    re.DOTALL,
)


def is_full(error: BaseException | None) -> bool:
    """Decide whether an error, or what it was raised from, says that shared memory has no room."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and _is_in_it(error):
            return True
        if isinstance(error, OSError | RuntimeError) and _FULL.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def full_message(error: BaseException) -> str | None:
    """Say that shared memory is full, with its size and what to do; None if an error says something else."""
    return f"shared memory is full: {advice(full=True)}{FIX}" if is_full(error) else None


def advice(*, full: bool = False) -> str:
    """Say how to enlarge shared memory where there is little of it, to put before another fix; else nothing.

    Args:
        full: Whether it is known to be full.
    """
    try:
        found = os.statvfs(FOLDER)
    except OSError:
        free, room = math.inf, f"{FOLDER} is not there"
    else:
        free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        room = f"{FOLDER} has {_bytes(free)} left of {_bytes(size)}"
    return f"{room}; give it more (docker run --shm-size=8g), or " if full or free <= _SMALL else ""


def _is_in_it(error: OSError) -> bool:
    """Decide whether an error was raised by a file in shared memory or by a lock."""
    if str(error.filename).startswith(str(FOLDER)):
        return True
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__name__") == "multiprocessing.synchronize"


def _bytes(number: float) -> str:
    return f"{number / 2**10:.0f} KiB" if number < 2**20 else f"{number / 2**20:.1f} MiB"

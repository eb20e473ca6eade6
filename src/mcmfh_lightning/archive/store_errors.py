"""Errors of LanceDB as one line each, with the fix."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from mcmfh_lightning.archive.info import Location
from mcmfh_lightning.errors import DataError

_MOST_SHOWN = 300  # characters of a message of LanceDB, which may quote the whole batch
FIXES = {
    "create": "choose another folder, or add to it with `mcmfh-archive add`",
    "open": "make it with `mcmfh-archive build`, or correct the path and the credentials",
    "read": "open it again, and see `mcmfh-archive verify`",
    "write": "run the command again: what was committed stays, and is not added twice",
}


@contextmanager
def explained(place: Location, action: str) -> Iterator[None]:
    """Turn what LanceDB raises, which is of many kinds and many lines, into one line.

    A TypeError is a mistake of ours, unless Arrow raises it about the columns of a table.
    """
    try:
        yield
    except (RuntimeError, ValueError, OSError, KeyError, pa.ArrowException) as error:
        message = " ".join(str(error).split())
        raise DataError(f"{place}: cannot {action} the table ({message[:_MOST_SHOWN]}): {FIXES[action]}") from error

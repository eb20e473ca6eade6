"""Reading files at URLs through fsspec, with retries."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import fsspec
from fsspec.callbacks import TqdmCallback
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from mcmfh_lightning.datamodules.shards.urls import without_password
from mcmfh_lightning.errors import DataError

ATTEMPTS = 5
MAX_WAIT_S = 20
"""Longest pause before a new attempt; the pauses grow from at most half a second and are random, so that a thousand
ranks that were refused together do not come back together."""

_SILENCE_S = 60
"""A connection is given up after so long without a byte. The whole transfer has no limit, for shards may be large."""

_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Failures that will not pass, however often we ask."""

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


def read_url(url: str) -> bytes:
    """Read a small file.

    Raises:
        DataError: If it cannot be read.
    """

    def attempt(filesystem: Any, path: str) -> bytes:  # noqa: ANN401  # fsspec has no type information
        content: bytes = filesystem.cat_file(path)
        return content

    return _retried(url, attempt)


def download(url: str, target: Path, size: int) -> None:
    """Copy a file, showing a bar.

    Args:
        url: What to copy.
        target: Where to; what is there, from an attempt that failed, say, is overwritten.
        size: Its length in bytes; a transfer of another length counts as interrupted.

    Raises:
        DataError: If it cannot be read in full.
    """

    def attempt(filesystem: Any, path: str) -> None:  # noqa: ANN401  # fsspec has no type information
        bar = TqdmCallback(
            tqdm_kwargs={"desc": url.rpartition("/")[2], "unit": "B", "unit_scale": True, "disable": None}
        )
        with bar:
            filesystem.get_file(path, str(target), callback=bar)
        if target.stat().st_size != size:
            raise OSError(f"{target.stat().st_size} bytes came, {size} were expected")

    _retried(url, attempt)


def _retried(url: str, attempt: Callable[[Any, str], _Result]) -> _Result:
    """Call ``attempt`` with the file system and the path of a URL until it succeeds, a few times."""
    shown = without_password(url)

    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0
        _log.warning("%s: %s: %s; next attempt in %.0f s", shown, type(error).__name__, error, pause)

    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.5, max=MAX_WAIT_S),
        retry=retry_if_exception(_may_pass),
        before_sleep=report,
        reraise=True,
    )
    try:
        # Opened here and not kept: connections do not survive a fork.
        filesystem, path = fsspec.url_to_fs(url, **_options(url))
        return retrying(attempt, filesystem, path)
    except FileNotFoundError as error:
        raise DataError(f"{shown} does not exist: correct the address, or copy the folder there in full") from error
    except ImportError as error:
        raise DataError(f"{shown} cannot be opened ({error}): install what is missing") from error
    except (OSError, aiohttp.ClientError, ValueError) as error:
        tries = f", tried {ATTEMPTS} times" if _may_pass(error) else ""
        raise DataError(
            f"{shown} cannot be read ({type(error).__name__}: {error}{tries}): check the connection, the address and"
            " the credentials, then start again; what is in the cache is kept"
        ) from error


def _options(url: str) -> dict[str, Any]:
    """Arguments of the file system of a URL."""
    if not url.startswith(("http://", "https://")):
        return {}
    return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(sock_connect=_SILENCE_S, sock_read=_SILENCE_S)}}


def _may_pass(error: BaseException) -> bool:
    """Whether a failure is of the kind that another attempt may not meet."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status >= 500 or error.status in {408, 429}
    return isinstance(error, OSError | aiohttp.ClientError) and not isinstance(error, _FINAL)

"""A folder of shards at a local path or a URL; what is at a URL is fetched into a cache, once a machine."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import PART_SUFFIX, atomic_write, default_cache, publish, sha256_of
from mcmfh_lightning.shards.info import DATASET_FILE, DatasetFormat, DatasetInfo, ShardInfo

ATTEMPTS = 5
MAX_WAIT_S = 20
"""Longest pause before another attempt; the pauses grow from at most half a second and are random, so that a thousand
ranks that were refused together do not come back together."""
_SILENCE_S = 60
"""A connection is given up after this time without a byte. The whole transfer has no limit, for shards may be large."""

LOCK_FILE = f"{DATASET_FILE}.lock"
"""Lock of those who write a folder, or its copy in the cache."""

_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Failures that another attempt would meet too."""

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


def is_url(root: str) -> bool:
    """Return whether a folder is given by a URL and not by a local path.

    Raises:
        DataError: If it would run a command (``pipe:``) or is a chain of URLs (``::``).
    """
    if root.startswith("pipe:"):
        raise DataError(f"{root!r} would run a command; name a local folder or a plain URL such as s3://bucket/folder")
    if "::" in root:
        raise DataError(f"{root!r} is a chain of URLs (::), which could read through anything; name one plain URL")
    return "://" in root


def without_password(url: str) -> str:
    """Return a URL as it may be shown: without user and password.

    >>> without_password("https://me:secret@example.org/shards")
    'https://example.org/shards'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Let no other command write a folder until the block ends. A folder that is made for it is removed if still empty.

    The lock of a process that was killed is free.

    Args:
        folder: Folder to write; made if it does not exist.

    Raises:
        DataError: If another command is writing it.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DataError(
            f"{folder} is being written by another command: wait for its end, or choose another folder"
        ) from error
    try:
        yield
    finally:
        (folder / LOCK_FILE).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # not empty, or of somebody else by now
            for place in made:
                place.rmdir()


class ShardFolder:
    """A folder of shards at a local path or a URL.

    A URL is anything that fsspec opens: ``https://``, ``s3://``, ``gs://``, ``file://`` (such as a slow network drive).
    Its ``dataset.json`` is read at once; a shard is fetched when it is first asked for, with retries, and enters the
    cache only if its size and SHA-256 are those of ``dataset.json``. Processes of a machine wait for each other, so
    each shard travels once. The cache of a data set is named by its URL and by the bytes of its ``dataset.json``: when
    the remote folder changes, a new cache begins and never mixes with the old one.

    Nothing is kept open: an instance may be pickled or forked into the workers of a loader.

    Args:
        root: Local path or URL of the folder.
        cache: Local folder for the shards of URLs; in the user's cache folder if None.

    Attributes:
        path: The local folder of ``dataset.json`` and the shards; the cache of a URL.

    Raises:
        DataError: If the URL is of a kind that runs commands or is chained, or ``dataset.json`` cannot be fetched.
    """

    def __init__(self, root: str | Path, cache: Path | None = None) -> None:
        self._url = root.rstrip("/") if isinstance(root, str) and is_url(root) else None
        self.path = Path(root) if self._url is None else _cached(self._url, cache or default_cache() / "shards")

    def __str__(self) -> str:
        return str(self.path) if self._url is None else without_password(self._url)

    def shard(self, shard: ShardInfo) -> Path:
        """Return the local path of a shard, fetched if it is not here yet.

        Raises:
            DataError: If it is missing, cannot be fetched, or is not what ``dataset.json`` says.
        """
        path = self.path / shard.name
        if self._url is not None and not path.exists():
            with FileLock(path.with_name(f"{path.name}.lock")):
                if not path.exists():
                    _fetch(f"{self._url}/{shard.name}", path, shard)
        return shard.check_present(self.path)


class SplitReader:
    """One or more splits of a folder: what readers of pairs and of features share.

    Args:
        folder: A folder of shards.
        split: train, val or test, or several of these, whose pairs follow each other; a split that the folder does not
            have is empty.
        info: Content of its ``dataset.json``; read from the folder if not given.

    Attributes:
        format: Format that the folder must have.
        advice: What a folder of another format is not, and what to do about it.

    Raises:
        DataError: If the folder is of another format.
    """

    format: ClassVar[DatasetFormat]
    advice: ClassVar[str]
    _starts: NDArray[np.int64]  # position of the first pair of each part (shard or block), and the number of all

    def __init__(
        self, folder: str | Path | ShardFolder, split: str | Sequence[str], info: DatasetInfo | None = None
    ) -> None:
        self.folder = folder if isinstance(folder, ShardFolder) else ShardFolder(folder)
        self.splits = (split,) if isinstance(split, str) else tuple(split)
        self.info = DatasetInfo.load(self.folder.path) if info is None else info
        if self.info.format != self.format:
            raise DataError(f"{folder} holds {self.info.format}, not {self.advice}")
        self._shards = [shard for name in self.splits for shard in self.info.split(name).shards]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def split_of(self, position: int) -> str:
        """Return the split of the pair at a position."""
        for split in self.splits:
            position -= self.info.split(split).pairs
            if position < 0:
                return split
        raise IndexError(f"the splits have {len(self)} pairs")

    def _part_of(self, positions: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """Return the number of the part that has each position."""
        return np.searchsorted(self._starts, positions, side="right") - 1


def _cached(url: str, cache: Path) -> Path:
    """Return the folder of the cache that belongs to what a URL holds now, with its ``dataset.json``."""
    content: bytes = _retried(f"{url}/{DATASET_FILE}", lambda filesystem, path: filesystem.cat_file(path))
    folder = cache / hashlib.sha256(url.encode() + b"\n" + content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / DATASET_FILE
    with FileLock(folder / LOCK_FILE):
        if not target.exists():
            with atomic_write(target) as stream:
                stream.write(content)
    return folder


def _fetch(url: str, target: Path, shard: ShardInfo) -> None:
    """Download a shard, showing a bar; it takes its name only when it is known to be the right one."""
    part = target.with_name(target.name + PART_SUFFIX)

    def attempt(filesystem: Any, path: str) -> None:  # noqa: ANN401  # fsspec has no type information
        from fsspec.callbacks import TqdmCallback

        part.unlink(missing_ok=True)  # a link would be written through
        bar = {"desc": target.name, "unit": "B", "unit_scale": True, "disable": None}
        with TqdmCallback(tqdm_kwargs=bar) as callback:
            filesystem.get_file(path, str(part), callback=callback)
        if part.stat().st_size != shard.bytes:
            raise OSError(f"{part.stat().st_size} bytes came, {shard.bytes} were expected")

    try:
        _retried(url, attempt)
        found = sha256_of(part)
        if found != shard.sha256:
            raise DataError(
                f"{without_password(url)}: SHA-256 {found} came, {DATASET_FILE} says {shard.sha256}: the shard there is"
                " damaged or was replaced; copy it there again together with its dataset.json"
            )
        with part.open("rb+") as stream:
            publish(stream, target)
    finally:
        part.unlink(missing_ok=True)


def _retried(url: str, attempt: Callable[[Any, str], _Result]) -> _Result:
    """Call ``attempt`` with the file system and the path of a URL until it succeeds, a few times."""
    # Only URLs need these libraries, which take half a second to import.
    import aiohttp
    import fsspec
    import tenacity

    shown = without_password(url)

    def may_pass(error: BaseException) -> bool:
        if isinstance(error, aiohttp.ClientResponseError):
            return error.status >= 500 or error.status in {408, 429}
        return isinstance(error, OSError | aiohttp.ClientError) and not isinstance(error, _FINAL)

    def report(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0
        _log.warning("%s: %s: %s; next attempt in %.0f s", shown, type(error).__name__, error, pause)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=MAX_WAIT_S),
        retry=tenacity.retry_if_exception(may_pass),
        before_sleep=report,
        reraise=True,
    )
    options: dict[str, Any] = {}
    if url.startswith(("http://", "https://")):
        timeout = aiohttp.ClientTimeout(sock_connect=_SILENCE_S, sock_read=_SILENCE_S)
        options["client_kwargs"] = {"timeout": timeout}
    try:
        # Opened here and not kept: connections do not survive a fork.
        filesystem, path = fsspec.url_to_fs(url, **options)
        return retrying(attempt, filesystem, path)
    except FileNotFoundError as error:
        raise DataError(f"{shown} does not exist: correct the address, or copy all of the folder there") from error
    except ImportError as error:
        raise DataError(f"{shown} cannot be opened ({error}): install what is missing") from error
    except (OSError, aiohttp.ClientError, ValueError) as error:
        tries = f", tried {ATTEMPTS} times" if may_pass(error) else ""
        raise DataError(
            f"{shown} cannot be read ({type(error).__name__}: {error}{tries}): check the connection, the address and"
            " the credentials, then start again; what is in the cache is kept"
        ) from error

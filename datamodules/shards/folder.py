"""A folder of shards, here or far away: what lies far away is fetched into a cache, once a machine."""

import hashlib
from pathlib import Path

from filelock import FileLock

from mcmfh_lightning.datamodules.shards.files import PART_SUFFIX, atomic_write, default_cache, publish, sha256_of
from mcmfh_lightning.datamodules.shards.info import DATASET_FILE, ShardInfo
from mcmfh_lightning.datamodules.shards.urls import is_url, without_password
from mcmfh_lightning.errors import DataError


class ShardFolder:
    """A folder of shards at a local path or a URL.

    A URL is anything that fsspec opens: ``https://``, ``s3://``, ``gs://``, ``file://`` (a slow network drive, say) ...
    Its ``dataset.json`` is read at once; a shard is fetched when it is first asked for, with retries, and enters the
    cache only if its size and SHA-256 are those of ``dataset.json``. Processes of a machine wait for each other, so
    each shard travels once. The cache of a data set is named by its URL and by the bytes of its ``dataset.json``: when
    the remote folder changes, a new cache begins and never mixes with the old one.

    Nothing is kept open: an instance may be pickled or forked into the workers of a loader.

    Args:
        root: Local path or URL of the folder.
        cache: Local folder for the shards of URLs; in the user's cache folder if None.

    Attributes:
        path: The local folder where ``dataset.json`` and the shards lie; the cache of a URL.

    Raises:
        DataError: If the URL is of a kind that runs commands or is chained, or ``dataset.json`` cannot be fetched.
    """

    def __init__(self, root: str | Path, cache: Path | None = None) -> None:
        self._url = root.rstrip("/") if isinstance(root, str) and is_url(root) else None
        self.path = Path(root) if self._url is None else _cached(self._url, cache or default_cache() / "shards")

    @classmethod
    def of(cls, folder: "str | Path | ShardFolder") -> "ShardFolder":
        """Return ``folder`` if it is one already, else make it one with the default cache."""
        return folder if isinstance(folder, ShardFolder) else cls(folder)

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


def _cached(url: str, cache: Path) -> Path:
    """Return the folder of the cache that belongs to what a URL holds now, with its ``dataset.json``."""
    # Only URLs need the libraries that fetch them, which take half a second to import.
    from mcmfh_lightning.datamodules.shards.remote import read_url

    content = read_url(f"{url}/{DATASET_FILE}")
    folder = cache / hashlib.sha256(url.encode() + b"\n" + content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / DATASET_FILE
    with FileLock(folder / f"{DATASET_FILE}.lock"):
        if not target.exists():
            with atomic_write(target) as stream:
                stream.write(content)
    return folder


def _fetch(url: str, target: Path, shard: ShardInfo) -> None:
    """Download a shard; it takes its name only when it is known to be the right one."""
    from mcmfh_lightning.datamodules.shards.remote import download

    part = target.with_name(target.name + PART_SUFFIX)
    try:
        download(url, part, shard.bytes)
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

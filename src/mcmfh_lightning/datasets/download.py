"""Download of Open-i's two archives from upstream or from a mirror, and a safe reader of such ``.tgz`` files.

Checksums: that of the reports archive is known and verified. Upstream publishes no checksum of the image archive and we
could not establish one, so its SHA-256 is verified when the user names one and recorded in ``dataset.json`` always;
whether the transfer was complete is verified without it (length of the response, CRC of the gzip stream, and every
image decodes).
"""

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pooch
from requests import RequestException
from rich.console import Console
from rich.progress import track

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import sha256_of

UPSTREAM = "https://openi.nlm.nih.gov/imgs/collections"
REPORTS = "NLMCXR_reports.tgz"
IMAGES = "NLMCXR_png.tgz"
REPORTS_SHA256 = "8fb6de7eec73d8c3665067ad4bb003ccd57f971ae316d2642e1627ac7268667a"

_RETRIES = 2
_TIMEOUT_S = 60
_MAX_IMAGE_BYTES = 1 << 28


def read_tgz(archive: Path, suffix: str, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield name (without folders) and content of every plain file that ends in ``suffix``.

    Links and devices are never followed, names lose their folders, and at most ``max_bytes`` of a file are read, so an
    archive can neither write nor read outside nor exhaust the memory. The stream is read to its very end: that is
    where gzip keeps the checksum of the whole, which ``tarfile`` alone does not look at.

    Raises:
        DataError: If the archive is damaged or incomplete.
    """
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() and member.name.endswith(suffix) else None
                if file is not None:
                    yield PurePosixPath(member.name).name, file.read(max_bytes)
            while stream.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{archive}: damaged archive ({error}); delete it and fetch it again") from error


@dataclass(frozen=True)
class OpeniFiles:
    """Downloaded archive of reports, folder of unpacked images, and the checksums of both archives."""

    reports: Path
    images: Path
    sha256: dict[str, str]


def fetch_openi(
    cache: Path,
    console: Console,
    *,
    base_url: str = UPSTREAM,
    reports_sha256: str = REPORTS_SHA256,
    images_sha256: str | None = None,
) -> OpeniFiles:
    """Download both archives into ``cache`` unless they are there already, and unpack the images.

    Args:
        cache: Folder for the archives and the unpacked images.
        console: Where progress is shown.
        base_url: Folder URL that serves both archives: upstream, or a mirror of it.
        reports_sha256: Expected checksum of the reports archive.
        images_sha256: Expected checksum of the image archive, if the user knows one.

    Raises:
        DataError: If a download fails three times or has another checksum, or an archive is damaged.
    """
    known = {REPORTS: reports_sha256, IMAGES: images_sha256}
    archives = {name: _fetch(base_url, name, checksum, cache) for name, checksum in known.items()}
    checksums = {name: sha256_of(path) for name, path in archives.items()}
    # Named by content: another archive never meets the images of this one.
    images = cache / f"images-{checksums[IMAGES][:16]}"
    if not images.is_dir():
        unpack_images(archives[IMAGES], images, console)
    return OpeniFiles(archives[REPORTS], images, checksums)


def _fetch(base_url: str, name: str, checksum: str | None, cache: Path) -> Path:
    url = f"{base_url.rstrip('/')}/{name}"
    store = pooch.create(cache, base_url, registry={name: checksum}, urls={name: url}, retry_if_failed=_RETRIES)
    downloader = pooch.HTTPDownloader(
        progressbar=True,
        chunk_size=1 << 20,
        timeout=_TIMEOUT_S,
        headers={"Accept-Encoding": "identity"},  # else a server may announce the .tgz as a compressed .tar
    )
    try:
        return Path(store.fetch(name, downloader=downloader))
    except RequestException as error:
        raise DataError(
            f"{url}: download failed ({error}); try again, name a --mirror, or pass files by hand"
        ) from error
    except ValueError as error:  # how pooch reports another checksum
        raise DataError(
            f"{url}: the file is not the expected one (SHA-256 {checksum} wanted); it is damaged or a new release. "
            "Fetch it by hand and pass --reports and --images if you trust it"
        ) from error


def unpack_images(archive: Path, folder: Path, console: Console) -> None:
    """Unpack the ``.png`` files of an archive, without its folders, into a folder that appears only when complete.

    Raises:
        DataError: If the archive is damaged or holds no image.
    """
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, content in track(read_tgz(archive, ".png", _MAX_IMAGE_BYTES), "Unpacking images", console=console):
        (part / name).write_bytes(content)
    if not any(part.iterdir()):
        raise DataError(f"{archive}: holds no .png; expected upstream's {IMAGES}")
    part.rename(folder)

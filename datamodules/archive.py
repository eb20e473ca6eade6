"""Reading upstream's ``.tgz`` archives without trusting them."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mcmfh_lightning.errors import DataError


def files_in_tgz(archive: Path, suffix: str, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield name (without folders) and content of every plain file that ends in ``suffix``.

    Links and devices are never followed, names lose their folders, and at most ``max_bytes`` of a file are read, so an
    archive can neither write nor read outside nor exhaust the memory. The stream is read to its very end: that is
    where gzip keeps the checksum of the whole, which ``tarfile`` alone does not look at.

    Raises:
        DataError: if the archive is damaged or incomplete.
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

"""The archive that is served: opened when it is there, and looked at again for changes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic

from mcmfh_lightning.archive.archive import Archive
from mcmfh_lightning.errors import McmfhError

LOOK_AGAIN_SECONDS = 2.0
"""How old an answer may be at most after a change of the archive by another process."""

LOGGER = logging.getLogger(__name__)


class NotServedError(McmfhError):
    """There is no archive, or it cannot be read, or its encoder is not at hand."""


class ServedArchive:
    """Hands the archive out, and may be asked before there is one.

    Args:
        location: Local folder or ``s3://`` address of the archive.
        device: Where queries are encoded.
    """

    def __init__(self, location: str, device: str = "cpu") -> None:
        self._location = location
        self._device = device
        self._archive: Archive | None = None
        self._looked = 0.0
        self._opening = Lock()
        self._encoding = Lock()

    def current(self) -> Archive:
        """The archive at the version that it has now, give or take `LOOK_AGAIN_SECONDS`.

        Raises:
            NotServedError: If there is none; says where it was looked for and what mends that.
        """
        with self._opening:
            try:
                if self._archive is None:
                    self._archive = Archive.open(self._location, device=self._device)
                elif monotonic() - self._looked < LOOK_AGAIN_SECONDS:
                    return self._archive
                else:
                    self._archive.refresh()
            except (McmfhError, OSError) as error:
                self._archive = None
                raise NotServedError(str(error)) from error
            self._looked = monotonic()
            return self._archive

    def with_encoder(self) -> Archive:
        """The archive with its encoder loaded, which the first query waits for.

        Raises:
            NotServedError: Also if the encoder cannot be had.
        """
        archive = self.current()
        try:
            archive.load()
        except (McmfhError, OSError, ImportError) as error:
            raise NotServedError(str(error)) from error
        return archive

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Held while a picture is decoded and a query encoded.

        One at a time: a picture takes hundreds of megabytes, an encoder all cores.
        """
        with self._encoding:
            yield

    def warm(self) -> None:
        """Load everything, so that the first query does not wait; what is missing is said in the log."""
        try:
            self.with_encoder()
        except NotServedError as error:
            LOGGER.warning("%s", error)

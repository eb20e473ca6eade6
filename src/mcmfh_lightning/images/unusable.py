"""Reasons why a picture cannot be used, and what to do about them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

NOT_READ = "image file that cannot be read"
UNDECODABLE = "undecodable image"
NOT_A_PICTURE = "neither JPEG nor PNG nor DICOM"
TOO_LARGE = "image too large"
TRANSPARENT = "image that is transparent everywhere"
NO_DEPTH = "image of floating-point or 32-bit values"
NO_PYDICOM = "DICOM image without pydicom"
UNREADABLE = "undecodable DICOM image"
NO_PIXELS = "DICOM file without an image"
COMPRESSED = "DICOM image of a compression that is not supported"
MULTI_FRAME = "DICOM image of several frames"

FIXES: Mapping[str, str] = {
    NOT_READ: "correct its path or its permissions",
    UNDECODABLE: "copy it again, or convert it to JPEG or PNG",
    NOT_A_PICTURE: "convert it to JPEG or PNG",
    TOO_LARGE: "scale it down",
    TRANSPARENT: "export it without its alpha channel",
    NO_DEPTH: "scale its values to 8 or 16 bits, or give their range by --value-range",
    NO_PYDICOM: "pip install 'mcmfh-lightning[dicom]'",
    UNREADABLE: "copy it again, or export it again: without compression, with attributes that fit its pixels",
    NO_PIXELS: "export the image, not the report, the plan or the waveform",
    COMPRESSED: "export it without compression, or install a decoder of pydicom's for it",
    MULTI_FRAME: "export the frame that the text is about",
}
"""Fix of an unusable picture, by reason."""

_MOST_SHOWN = 200


class PictureError(Exception):
    """File that no picture can be made of.

    Args:
        reason: One of the constants of this module; summaries count by it.
        detail: What exactly is wrong with this file, or nothing.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason = reason
        self.detail = detail

    @classmethod
    def of(cls, reason: str, error: Exception) -> "PictureError":
        """Make one from the error of a library, whose message becomes one short line."""
        said = " ".join(str(error).split()) or type(error).__name__
        return cls(reason, said if len(said) <= _MOST_SHOWN else f"{said[:_MOST_SHOWN]}...")


@contextmanager
def picture_errors(reason: str) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into `PictureError`."""
    try:
        yield
    except PictureError:
        raise
    except Exception as error:  # what readers of pictures raise changes between their versions
        raise PictureError.of(reason, error) from error

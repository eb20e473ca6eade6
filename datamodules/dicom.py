"""DICOM files, of which nothing but the picture is read.

The steps are those of the standard (PS3.4, annex N.2), done by pydicom's own functions: stored values, modality LUT or
rescaling, VOI LUT or window, presentation. Decisions:

- Only the attributes that the picture needs are read; the patient's never leave the file.
- A VOI LUT of the file comes before its window, and the first of several is taken, as pydicom does. Its output range
  becomes 0 to 255. A file without either: 8-bit values are taken as they are, deeper ones are stretched from the least
  to the greatest value of the picture.
- ``MONOCHROME1`` (the least value is white) is inverted: bone is bright in every picture.
- Names burned into the pixels are pixels, they stay. De-identify such pictures before they come here.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcmfh_lightning.datamodules.shards.members import MAX_PICTURE_SIDE

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

NO_PYDICOM = "DICOM image without pydicom"
UNREADABLE = "undecodable DICOM image"
NO_PIXELS = "DICOM file without an image"
COMPRESSED = "DICOM image of a compression that is not supported"
MULTI_FRAME = "DICOM image of several frames"
TOO_LARGE = "image too large"
DEEP_COLOUR = "DICOM colour image deeper than 8 bits"

_FAR = 1e12  # beyond any window
_COLOURS = ("Red", "Green", "Blue")
_ATTRIBUTES = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
    "ModalityLUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in _COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in _COLOURS),
]


class DicomError(Exception):
    """A DICOM file from which no picture can be made; the message is the reason, one of this module's constants."""


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM (PS3.10): ``DICM`` behind a preamble of 128 bytes."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def dicom_to_png(path: Path) -> bytes:
    """The picture of a DICOM file as an 8-bit PNG, grey or RGB, without metadata.

    Raises:
        DicomError: if there is no picture that can be shown in 8 bits, or pydicom is not installed.
    """
    try:
        from pydicom import dcmread
        from pydicom.filereader import read_file_meta_info
    except ImportError as error:
        raise DicomError(NO_PYDICOM) from error
    try:
        # Ahead of the rest, since a "deflated" file is inflated, to any size, by the mere reading of its attributes.
        _require_decoder(read_file_meta_info(path).TransferSyntaxUID)
        pixels = _eight_bits(dcmread(path, specific_tags=list(_ATTRIBUTES)))
    except DicomError:
        raise
    except Exception as error:  # a damaged file makes pydicom raise whatever its parsing ran into
        raise DicomError(UNREADABLE) from error
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def _require_decoder(syntax: "UID") -> None:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    try:
        supported = syntax != DeflatedExplicitVRLittleEndian and get_decoder(syntax).is_available
    except NotImplementedError:  # an unknown syntax, or one that holds no pictures
        supported = False
    if not supported:
        raise DicomError(COMPRESSED)


def _eight_bits(dataset: "Dataset") -> NDArray[np.uint8]:
    """Decode the picture and bring it to 8 bits: (rows, columns) or (rows, columns, 3)."""
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    if "PixelData" not in dataset:
        raise DicomError(NO_PIXELS)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise DicomError(MULTI_FRAME)
    # Before decoding: a header of a few bytes may announce 4 billion pixels. Pillow's limit, as for other pictures.
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows * columns > 2 * (Image.MAX_IMAGE_PIXELS or rows * columns) or max(rows, columns) > MAX_PICTURE_SIDE:
        raise DicomError(TOO_LARGE)
    stored = pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)[..., :3]
        return (stored >> 8).astype(np.uint8) if stored.dtype == np.uint16 else stored
    if stored.ndim == 3:
        if stored.dtype != np.uint8:
            raise DicomError(DEEP_COLOUR)
        return stored
    grey = _present(apply_modality_lut(stored, dataset), stored, dataset)
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _present(values: NDArray[np.generic], stored: NDArray[np.generic], dataset: "Dataset") -> NDArray[np.uint8]:
    """Bring grey values to 0..255 by the file's VOI LUT or window, else by the range of the picture.

    Args:
        values: behind the modality LUT, (rows, columns).
        stored: before it.
        dataset: the attributes.
    """
    from pydicom.pixels.processing import apply_voi_lut, apply_windowing

    if sequence := dataset.get("VOILUTSequence"):
        entries, first, _ = sequence[0].LUTDescriptor
        last = first + (entries or 2**16) - 1
        # For entries of 8 bits pydicom indexes with 8 bits, which wraps around; as 16 bits they are the same entries.
        sequence[0].LUTDescriptor = [entries, first, 16]
        shown = apply_voi_lut(np.clip(np.rint(values), first, last).astype(np.int64), dataset)
        table = apply_voi_lut(np.arange(first, last + 1), dataset)
        low, high = table.min(), table.max()
    elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        shown = apply_windowing(values, dataset)
        with np.errstate(over="ignore"):  # of a sigmoid window
            low, high = apply_windowing(np.array([-_FAR, _FAR]), dataset)
    elif stored.dtype == np.uint8 and dataset.BitsStored == 8:
        return stored.astype(np.uint8)
    else:
        shown, low, high = values, values.min(), values.max()
    if low == high:
        return np.zeros(shown.shape, np.uint8)
    return np.rint((shown - float(low)) * (255 / (float(high) - float(low)))).astype(np.uint8)

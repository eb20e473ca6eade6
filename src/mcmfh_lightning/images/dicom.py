"""Reader of DICOM files, of which only the picture is read.

The steps are those of the standard (PS3.4, annex N.2), done by pydicom's own functions: stored values, modality LUT or
rescaling, VOI LUT or window, presentation. Decisions:

- Only the attributes that the picture needs are read; the patient's never leave the file.
- A VOI LUT comes before a window, the first of several is taken, and its output range becomes 0 to 255.
- Without either, the range that the user gives; else the rule of `mcmfh_lightning.images.png`: 0 to the greatest
  value of ``BitsStored`` bits. Where that fills 16 allocated bits, which writers do without meaning it, the depth is
  that of the greatest value. Signed values, values with padding and those of a modality LUT are measurements, whose
  greatest possible value says nothing: they are stretched from the least to the greatest of the picture.
- ``PixelPaddingValue`` (to ``PixelPaddingRangeLimit``) is black, and left out of a stretch.
- Bits outside of ``HighBit`` and ``BitsStored`` are not part of a value. Values that need more bits are refused.
- ``MONOCHROME1`` (the least value is white) and ``PresentationLUTShape`` INVERSE are inverted: bone is always bright.
- Attributes that contradict the pixels are refused (`mcmfh_lightning.images.dicom_values`).
- A rescaling by 0 and a window without width are ignored, attributes that are missing get their usual values, a file
  may lack its preamble, or its file meta information if its pixels are not compressed. All of that is reported with
  the picture.
- Names burned into the pixels are pixels, they stay. De-identify such pictures before they come here.
"""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mcmfh_lightning.images import dicom_values
from mcmfh_lightning.images import unusable as reasons
from mcmfh_lightning.images.png import ValueRange, choose_scale, to_eight_bits
from mcmfh_lightning.images.unusable import PictureError, picture_errors
from mcmfh_lightning.shards.members import MAX_PICTURE_SIDE

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

NO_PREAMBLE = "DICOM without a preamble"
NO_SYNTAX = "DICOM without a transfer syntax: taken as uncompressed"
PADDED = "DICOM with padding: shown black"
ALL_PADDING = "DICOM in which every pixel is padding: padding ignored"
EXTRA_BITS = "DICOM with bits outside of BitsStored: ignored"

_PIXEL_ATTRIBUTES = (
    "SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns BitsAllocated "
    "BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit PixelData"
)
_PRESENTATION_ATTRIBUTES = (
    "PresentationLUTShape ModalityLUTSequence RescaleIntercept RescaleSlope VOILUTSequence WindowCenter WindowWidth "
    "VOILUTFunction"
)
_PALETTES = [
    f"{color}PaletteColorLookupTable{part}" for color in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
]
_OVERLAY_POSITIONS = [0x60000102 + (number << 17) for number in range(16)]
"""Attributes that name the bit of a cell which holds an overlay; a file may have 16 overlays."""
_NAMES = [*_PIXEL_ATTRIBUTES.split(), *_PRESENTATION_ATTRIBUTES.split(), *_PALETTES]
_ATTRIBUTES: list[str | int] = [*_NAMES, *_OVERLAY_POSITIONS]
_SIZE = ["Rows", "Columns"]
_ITEM = b"\xfe\xff\x00\xe0"
_MARK = b"DICM"
_PREAMBLE = bytes(128)
# The first element of group 2 (file meta information) or 8 (the data set itself), in either order of bytes.
_HEADERLESS = re.compile(rb"[\x02\x08]\x00[\x00-\xff]\x00|\x00[\x02\x08]\x00[\x00-\xff]", re.DOTALL)


def is_dicom(data: bytes) -> bool:
    """Decide by the first bytes whether a file is DICOM (PS3.10), with or without its preamble of 128 bytes."""
    return data[128:132] == _MARK or data[:4] == _MARK or _HEADERLESS.match(data) is not None


def dicom_size(data: bytes) -> tuple[int, int]:
    """Read width and height from the header of a file.

    Raises:
        PictureError: If it has none, or pydicom is not installed.
    """
    with picture_errors(reasons.UNREADABLE):  # a damaged file makes pydicom raise whatever its parsing ran into
        return _checked_size(_read(data, _SIZE, []))


def decode_dicom(
    data: bytes, value_range: ValueRange | None, assumed: list[str]
) -> tuple[NDArray[np.uint8], int | None]:
    """Decode the picture of a DICOM file.

    Args:
        data: The whole file.
        value_range: Values, after rescaling, that become black and white where the file has no window and more than
            8 bits.
        assumed: Takes what the file leaves open or has wrong; summaries count it.

    Returns:
        Pixels of 8 bits, (rows, columns) or (rows, columns, 3), and the depth that they were scaled from; None where a
        window or the picture's own range decided.

    Raises:
        PictureError: If there is no picture that can be shown, or pydicom is not installed.
    """
    with picture_errors(reasons.UNREADABLE):
        dataset = _read(data, _ATTRIBUTES, assumed)
        if not dataset.get("PixelData"):
            raise PictureError(reasons.NO_PIXELS)
        if (dicom_values.whole_number(dataset, "NumberOfFrames") or 1) > 1:
            raise PictureError(reasons.MULTI_FRAME)
        _checked_size(dataset)
        dicom_values.complete_attributes(dataset, assumed)
        dicom_values.check_pixel_data(dataset)
        return _eight_bits(dataset, value_range, assumed)


def _read(data: bytes, attributes: Sequence[str | int], assumed: list[str]) -> "Dataset":
    """Read attributes; a file without a header gets one, as pydicom asks for one."""
    try:
        from pydicom import dcmread
        from pydicom.filereader import read_dataset
        from pydicom.tag import Tag
        from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
    except ImportError as error:
        raise PictureError(reasons.NO_PYDICOM) from error
    if data[128:132] != _MARK:
        assumed.append(NO_PREAMBLE)
        data = _PREAMBLE + _MARK + data.removeprefix(_MARK)
    stream = io.BytesIO(data)
    # Ahead of the rest, since a "deflated" file is inflated, to any size, by the mere reading of its attributes.
    stream.seek(len(_PREAMBLE) + len(_MARK))
    meta = read_dataset(
        stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, _vr, _length: tag.group != 2
    )
    syntax = meta.get("TransferSyntaxUID")
    if syntax:
        _require_decoder(syntax)
    stream.seek(0)
    dataset = dcmread(
        stream, specific_tags=[Tag(name) for name in attributes], stop_before_pixels="PixelData" not in attributes
    )
    if not syntax:
        _require_uncompressed(dataset)
        assumed.append(NO_SYNTAX)
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _require_decoder(syntax: "UID") -> None:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    try:
        supported = syntax != DeflatedExplicitVRLittleEndian and get_decoder(syntax).is_available
    except NotImplementedError:  # an unknown syntax, or one that holds no pictures
        supported = False
    if not supported:
        raise PictureError(reasons.COMPRESSED, syntax.name)


def _require_uncompressed(dataset: "Dataset") -> None:
    """Refuse compressed pixels in a file that does not name its transfer syntax: its bytes would be read as pixels."""
    if "PixelData" not in dataset:
        return
    pixels = dataset["PixelData"]
    if pixels.is_undefined_length or (pixels.value or b"")[:4] == _ITEM:
        raise PictureError(reasons.COMPRESSED, "its pixels are compressed, and it has no transfer syntax that says how")


def _checked_size(dataset: "Dataset") -> tuple[int, int]:
    """Return width and height, within the limits of all pictures: a header of a few bytes may say 4 gigapixels."""
    rows, columns = (dicom_values.whole_number(dataset, name) or 0 for name in _SIZE)
    if rows < 1 or columns < 1:
        raise PictureError(reasons.UNREADABLE, "Rows or Columns are missing")
    limit = 2 * (Image.MAX_IMAGE_PIXELS or rows * columns)
    if rows * columns > limit or max(rows, columns) > MAX_PICTURE_SIDE:
        raise PictureError(reasons.TOO_LARGE, f"{columns} x {rows} pixels")
    return columns, rows


def _eight_bits(
    dataset: "Dataset", value_range: ValueRange | None, assumed: list[str]
) -> tuple[NDArray[np.uint8], int | None]:
    """Decode the picture and bring it to 8 bits: (rows, columns) or (rows, columns, 3)."""
    allocated, bits = int(dataset.BitsAllocated), int(dataset.BitsStored)
    stated = bits if bits < allocated or bits <= 8 else None
    cells, values = _values(dataset, bits)  # (rows, columns) or (rows, columns, 3)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return dicom_values.look_up_colors(values, dataset), 8
    padding = dicom_values.padding_of(cells, values, dataset) if dataset.SamplesPerPixel == 1 else None
    _check_spare_bits(cells, values, padding, bits, dataset, assumed)
    if dataset.SamplesPerPixel == 3:
        return _color(values, stated, value_range, assumed)
    if padding is not None and padding.all():
        assumed.append(ALL_PADDING)
        padding = None
    picture = values if padding is None else values[~padding]
    # There are far fewer values than pixels: each is presented once, and looked up.
    least, greatest = int(picture.min()), int(picture.max())
    if greatest - least < 2**16:
        levels, places = np.arange(least, greatest + 1), np.clip(values, least, greatest) - least
    else:
        levels, places = np.unique(np.clip(values, least, greatest), return_inverse=True)
    shown, scaled_from = dicom_values.present(
        levels, dataset, stated, value_range, assumed, has_padding=padding is not None
    )
    if dicom_values.is_inverted(dataset, assumed):
        shown = 255 - shown
    gray = shown[places.reshape(values.shape)]
    if padding is not None and padding.any():
        gray[padding] = 0
        assumed.append(PADDED)
    return gray, scaled_from


def _values(dataset: "Dataset", bits: int) -> "tuple[NDArray[Any], NDArray[Any]]":
    """Decode the pixel cells, and take of each the bits that are its value.

    Returns:
        The cells, whose spare bits may say that they are padding, and the values, of 32 or 64 bits with sign.
    """
    from pydicom.encaps import generate_frames
    from pydicom.pixels.utils import pixel_array

    by_frame = _is_decoded_by_frame(dataset)
    if by_frame:
        _check_frame(next(generate_frames(dataset.PixelData, number_of_frames=1)), dataset)
    elif dataset.BitsAllocated > 1:
        # pydicom would cut off what is above BitsStored, also where HighBit puts the value there.
        dataset.BitsStored = dataset.BitsAllocated
    cells = pixel_array(dataset)
    cells = cells.astype(cells.dtype.newbyteorder("="), copy=False)  # the machine's order of bytes
    if by_frame:
        return cells, _wide(cells)
    values = _wide(cells.view(f"u{cells.dtype.itemsize}")) >> int(dataset.HighBit) + 1 - bits & 2**bits - 1
    if dataset.PixelRepresentation:
        values -= values >> bits - 1 << bits
    return cells, values


def _check_spare_bits(
    cells: "NDArray[Any]",
    values: "NDArray[Any]",
    padding: NDArray[np.bool_] | None,
    bits: int,
    dataset: "Dataset",
    assumed: list[str],
) -> None:
    """Refuse values that need more than BitsStored bits; count other bits outside of these, such as an overlay."""
    # An overlay is named by the file, or leaves the bit above the values free. Values that are too large use that bit.
    is_shifted = not _is_decoded_by_frame(dataset)
    top = int(dataset.HighBit) + 1 if is_shifted else bits
    wide = _wide(cells.view(f"u{cells.dtype.itemsize}"))
    if is_shifted and not dataset.PixelRepresentation and (values << top - bits != wide).any():
        assumed.append(EXTRA_BITS)
    overlays = (int(dataset[tag].value or 0) for tag in _OVERLAY_POSITIONS if tag in dataset)
    if top >= 8 * cells.dtype.itemsize or top in overlays:
        return
    # The bit above a negative value repeats its sign, or is free.
    too_large = (wide >> top & 1).astype(bool) & (values >= 0)
    if padding is not None:
        too_large &= ~padding
    if too_large.any():
        needed = int(wide[too_large].max()).bit_length()
        raise PictureError(
            reasons.UNREADABLE, f"BitsStored is {bits}, its values use {needed} bits and no overlay is named"
        )


def _is_decoded_by_frame(dataset: "Dataset") -> bool:
    """Decide whether a codec of pictures decodes it: then values come without spare bits, wherever HighBit is."""
    from pydicom.uid import RLELossless

    syntax = dataset.file_meta.TransferSyntaxUID
    return bool(syntax.is_compressed) and syntax != RLELossless


def _wide(cells: "NDArray[Any]") -> "NDArray[Any]":
    """Convert cells to numbers with sign that have room for all their values."""
    return cells.astype(np.int64 if cells.dtype.itemsize > 2 else np.int32)


def _check_frame(frame: bytes, dataset: "Dataset") -> None:
    """Compare the header of a compressed frame with that of the file, before it is decoded."""
    size = _checked_size(dataset)
    try:
        with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as header:
            found, samples = header.size, len(header.getbands())
    except UnidentifiedImageError:  # of a kind that only pydicom's plugins know
        return
    if found != size:
        raise PictureError(
            reasons.UNREADABLE, f"its header says {size[0]} x {size[1]} pixels, its frame {found[0]} x {found[1]}"
        )
    if samples != dataset.SamplesPerPixel:
        raise PictureError(reasons.UNREADABLE, f"SamplesPerPixel is {dataset.SamplesPerPixel}, its frame has {samples}")


def _color(
    values: "NDArray[Any]", stated: int | None, value_range: ValueRange | None, assumed: list[str]
) -> tuple[NDArray[np.uint8], int | None]:
    if values.min() < 0:
        raise PictureError(reasons.UNREADABLE, "colors below 0")
    if stated == 8:
        return values.astype(np.uint8), 8
    scale = choose_scale(int(values.max()), stated, value_range)
    assumed.append(scale.assumed)
    return to_eight_bits(np.arange(values.max() + 1), scale.low, scale.high)[values], scale.bits

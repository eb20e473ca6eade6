"""Attributes of a DICOM file: checks against its pixels, and the picture that they make of values (PS3.4, annex N.2).

A library that believes attributes which contradict the pixels gives a sheared or a darkened picture without an error.
Lengths, numbers of frames and kinds of color are therefore compared before anything is decoded.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.images.png import ValueRange, choose_scale, to_eight_bits
from mcmfh_lightning.images.unusable import MULTI_FRAME, UNREADABLE, PictureError

if TYPE_CHECKING:
    from pydicom import Dataset

DEFAULTS = "DICOM with missing attributes: their usual values taken"
NO_SLOPE = "DICOM with a rescale slope of 0: not rescaled"
NO_WINDOW = "DICOM with a window that cannot be (width 0, not a number): ignored"
INVERSE = "DICOM of MONOCHROME2 with PresentationLUTShape INVERSE: inverted"
STRETCHED = "DICOM without a window: stretched from its least to its greatest value"

_FAR = 1e12  # beyond any window
_GRAY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOR = ("RGB", "YBR_FULL", "YBR_FULL_422")
_JPEG_2000_COLOR = ("YBR_ICT", "YBR_RCT")  # only its decoder turns these into RGB
_FRAME_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")  # JPEG and JPEG-LS; twice JPEG 2000


def complete_attributes(dataset: "Dataset", assumed: list[str]) -> None:
    """Give attributes that are missing their usual values.

    Args:
        dataset: Data set with Rows, Columns and PixelData; it is completed.
        assumed: Takes what had to be assumed.

    Raises:
        PictureError: If an attribute has several values, or attributes contradict each other.
    """
    kind = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    samples = whole_number(dataset, "SamplesPerPixel") or (3 if kind in _COLOR + _JPEG_2000_COLOR else 1)
    high = whole_number(dataset, "HighBit")
    stored = whole_number(dataset, "BitsStored") or (None if high is None else high + 1)
    pixels = int(dataset.Rows) * int(dataset.Columns) * samples
    # By the bits of a value if there are any: by the length alone, several frames would pass as one of deeper pixels.
    by_length = 8 * max(1, len(dataset.PixelData) // pixels)
    allocated = whole_number(dataset, "BitsAllocated") or (by_length if stored is None else -(-stored // 8) * 8)
    stored = stored or allocated
    found = {
        "SamplesPerPixel": samples,
        "PhotometricInterpretation": kind or ("MONOCHROME2" if samples == 1 else "RGB"),
        "BitsAllocated": allocated,
        "BitsStored": stored,
        "HighBit": stored - 1 if high is None else high,
        "PixelRepresentation": whole_number(dataset, "PixelRepresentation") or 0,
        **({"PlanarConfiguration": whole_number(dataset, "PlanarConfiguration") or 0} if samples > 1 else {}),
    }
    for name, value in found.items():
        if dataset.get(name) in (None, ""):
            assumed.append(DEFAULTS)
        setattr(dataset, name, value)
    if allocated not in (1, 8, 16, 32, 64) or not 0 < stored <= dataset.HighBit + 1 <= allocated:
        raise PictureError(
            UNREADABLE,
            f"BitsAllocated {allocated}, BitsStored {stored} and HighBit {dataset.HighBit} contradict each other",
        )


def one_number(dataset: "Dataset", name: str) -> float | None:
    """Read an attribute that is one number; None if it is missing or empty.

    Raises:
        PictureError: If it has several values.
    """
    value = dataset.get(name)
    if value in (None, ""):
        return None
    if not isinstance(value, int | float | str):
        raise PictureError(UNREADABLE, f"{name} is {value}, and must be one number")
    return float(value)


def whole_number(dataset: "Dataset", name: str) -> int | None:
    """Read an attribute as `one_number` does, without its fraction."""
    value = one_number(dataset, name)
    return None if value is None else int(value)


def check_pixel_data(dataset: "Dataset") -> None:
    """Compare the pixels with the attributes, which `complete_attributes` has completed.

    Raises:
        PictureError: If there are several pictures, or the attributes contradict the pixels or each other.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    _check_color(dataset, is_jpeg_2000="JPEG 2000" in syntax.name or "JPEG2000" in syntax.name)
    if syntax.is_compressed:
        _check_frames(dataset)
        return
    rows, columns, samples, bits = (
        int(dataset[name].value) for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    )
    values = rows * columns * samples
    if dataset.PhotometricInterpretation == "YBR_FULL_422":  # two pixels share their two values of color
        values = values // 3 * 2
    length, announced = len(dataset.PixelData), -(-values * bits // 8)
    if length not in (announced, announced + announced % 2):  # lengths are even, by one byte of padding
        raise PictureError(
            UNREADABLE,
            f"PixelData is {length:,} bytes; Rows {rows}, Columns {columns}, SamplesPerPixel {samples} and "
            f"BitsAllocated {bits} say {announced:,}",
        )


def _check_color(dataset: "Dataset", *, is_jpeg_2000: bool) -> None:
    """Refuse kinds of color that would be shown as if they were RGB."""
    kind, samples = dataset.PhotometricInterpretation, int(dataset.SamplesPerPixel)
    if kind not in {1: _GRAY, 3: _COLOR + _JPEG_2000_COLOR * is_jpeg_2000}.get(samples, ()):
        raise PictureError(
            UNREADABLE,
            f"PhotometricInterpretation {kind} with SamplesPerPixel {samples} is not supported: "
            "export it as RGB or MONOCHROME2",
        )


def _check_frames(dataset: "Dataset") -> None:
    """Refuse several compressed pictures: a decoder shows the first, or joins them to one that is damaged."""
    from pydicom.encaps import generate_fragments
    from pydicom.uid import RLELossless

    _, *fragments = generate_fragments(dataset.PixelData)  # the first holds offsets
    if dataset.file_meta.TransferSyntaxUID == RLELossless:  # each frame is one fragment
        frames = len(fragments)
        _check_run_lengths(fragments[0], int(dataset.Rows), int(dataset.Columns))
    else:
        frames = sum(fragment.startswith(_FRAME_STARTS) for fragment in fragments)
    if frames > 1:
        raise PictureError(MULTI_FRAME, f"PixelData holds {frames} frames, NumberOfFrames says one")


def _check_run_lengths(frame: bytes, rows: int, columns: int) -> None:
    """Refuse an RLE frame that holds more pixels than are announced: pydicom would cut it, and show it sheared."""
    count, *starts = np.frombuffer(frame, "<u4", 16).tolist()
    ends = [*starts[1:count], len(frame)]
    for start, end in zip(starts[:count], ends, strict=True):
        length, said = _unpacked_length(frame[start:end]), rows * columns
        if length > said + 1:  # lengths are even, by one byte of padding
            raise PictureError(
                UNREADABLE,
                f"a part of PixelData unpacks to {length:,} bytes; Rows {rows} and Columns {columns} say {said:,}",
            )


def _unpacked_length(packed: bytes) -> int:
    """Count the bytes that run lengths (PS3.5, annex G.3) stand for, without making them."""
    length, at, size = 0, 0, len(packed)
    while at + 1 < size:
        head = packed[at]
        if head < 128:  # that number of bytes follows unpacked, and one more
            length += min(head + 1, size - at - 1)
            at += head + 2
        elif head > 128:  # the next byte, several times
            length += 257 - head
            at += 2
        else:
            at += 1
    return length


def present(
    levels: "NDArray[Any]",
    dataset: "Dataset",
    stated: int | None,
    value_range: ValueRange | None,
    assumed: list[str],
    *,
    has_padding: bool,
) -> tuple[NDArray[np.uint8], int | None]:
    """Bring gray values to 0..255 by the file's VOI LUT or window, else by the user's range or the depth.

    Args:
        levels: The values of the picture, ascending.
        dataset: The attributes.
        stated: Bits of a value, if the file says so.
        value_range: The user's range.
        assumed: Takes what had to be assumed.
        has_padding: Whether the file names padding.

    Returns:
        The levels in 8 bits, and the depth that they were scaled from; None where something else decided.
    """
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing

    _correct_rescaling(dataset, assumed)
    measured = apply_modality_lut(levels, dataset)
    deep, bits = dataset.BitsAllocated > 8, None
    measurements = dataset.PixelRepresentation or dataset.get("ModalityLUTSequence") or (deep and has_padding)
    shown = measured
    if sequence := dataset.get("VOILUTSequence"):
        entries, first, _ = sequence[0].LUTDescriptor
        last = first + (entries or 2**16) - 1
        # For entries of 8 bits pydicom indexes with 8 bits, which wraps around; as 16 bits they are the same entries.
        sequence[0].LUTDescriptor = [entries, first, 16]
        shown = apply_voi_lut(np.clip(np.rint(measured), first, last).astype(np.int64), dataset)
        ends = apply_voi_lut(np.arange(first, last + 1), dataset)
        low, high = ends.min(), ends.max()
    elif _has_window(dataset, assumed):
        shown = apply_windowing(measured, dataset)
        with np.errstate(over="ignore"):  # of a sigmoid window
            low, high = apply_windowing(np.array([-_FAR, _FAR]), dataset)
    elif measurements and not (deep and value_range):
        assumed.append(STRETCHED)
        low, high = measured.min(), measured.max()
    else:
        scale = choose_scale(int(levels[-1]), stated, value_range if deep else None)
        bits = scale.bits
        if bits != 8 or deep:
            assumed.append(scale.assumed)
        ends = np.array([scale.low, scale.high])
        ends = ends if bits is None else apply_modality_lut(ends, dataset)  # a user's range is one of measured values
        low, high = ends.min(), ends.max()
    low, high = float(low), float(high)
    if low == high:
        return np.zeros(shown.shape, np.uint8), bits
    if low > high:  # by a window behind a falling rescaling
        return to_eight_bits(-shown, -low, -high), bits
    return to_eight_bits(shown, low, high), bits


def padding_of(cells: "NDArray[Any]", values: "NDArray[Any]", dataset: "Dataset") -> NDArray[np.bool_] | None:
    """Find the pixels that are padding; None if the file names no padding."""
    # A padding value may be written with the other sign, or use bits of the cell that are not part of a value.
    first, last = (whole_number(dataset, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if first is None:
        return None
    ends = [first, first if last is None else last]
    bits = 8 * cells.dtype.itemsize
    low, high = np.sort(np.array([end % 2**bits for end in ends], f"u{bits // 8}").view(cells.dtype)).tolist()
    padding: NDArray[np.bool_] = (cells >= low) & (cells <= high) | (values >= low) & (values <= high)
    return padding


def _correct_rescaling(dataset: "Dataset", assumed: list[str]) -> None:
    """Leave out a rescaling that cannot be meant, and complete one of which half is missing."""
    slope, intercept = (one_number(dataset, name) for name in ("RescaleSlope", "RescaleIntercept"))
    if slope is None and intercept is None:
        return
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    if slope == 0 or not (math.isfinite(slope) and math.isfinite(intercept)):
        assumed.append(NO_SLOPE)
        slope, intercept = 1.0, 0.0
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept


def _has_window(dataset: "Dataset", assumed: list[str]) -> bool:
    """Decide whether there is a window that can be applied, and keep the first such as the only one."""
    dataset.VOILUTFunction = function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    found = (dataset.get(name) for name in ("WindowCenter", "WindowWidth"))  # each is none, one or several numbers
    windows = [np.ravel([] if numbers in (None, "") else numbers).astype(float).tolist() for numbers in found]
    for center, width in zip(*windows, strict=False):
        enough = {"LINEAR": width >= 1, "LINEAR_EXACT": width > 0, "SIGMOID": width > 0}.get(function, False)
        if enough and math.isfinite(width) and math.isfinite(center):
            dataset.WindowCenter, dataset.WindowWidth = center, width
            return True
        assumed.append(NO_WINDOW)
    return False


def is_inverted(dataset: "Dataset", assumed: list[str]) -> bool:
    """Decide whether the least value of a gray picture is white."""
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        return True
    if str(dataset.get("PresentationLUTShape") or "").strip().upper() != "INVERSE":
        return False
    assumed.append(INVERSE)
    return True


def look_up_colors(values: "NDArray[Any]", dataset: "Dataset") -> NDArray[np.uint8]:
    """Look up the colors of a palette picture.

    Args:
        values: Whole numbers, (rows, columns).
        dataset: The attributes.

    Returns:
        (rows, columns, 3). Entries of 16 bits lose their lower byte, unless none is greater than 255: then they are
        entries of 8 bits, whatever the descriptor says.

    Raises:
        PictureError: If the palette is not complete.
    """
    palettes = [_palette(dataset, color) for color in ("Red", "Green", "Blue")]
    shift = 8 if max(int(entries.max()) for _, entries in palettes) > 255 else 0
    looked_up = [entries[np.clip(values - first, 0, len(entries) - 1)] >> shift for first, entries in palettes]
    return np.stack(looked_up, axis=-1).astype(np.uint8)


def _palette(dataset: "Dataset", color: str) -> tuple[int, NDArray[np.uint16]]:
    """Read the value of the first entry of a palette, and the entries."""
    name = f"{color}PaletteColorLookupTable"
    descriptor, data = dataset.get(f"{name}Descriptor"), dataset.get(f"{name}Data")
    if not isinstance(data, bytes) or descriptor is None or len(descriptor) != 3:
        raise PictureError(UNREADABLE, f"PALETTE COLOR without a usable {name}Descriptor and {name}Data")
    count, first, _ = (int(number) for number in descriptor)
    count = count or 2**16
    if len(data) == 2 * count:
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        return first, np.frombuffer(data, f"{order}u2").astype(np.uint16)
    if len(data) not in (count, count + count % 2):
        raise PictureError(UNREADABLE, f"{name}Data is {len(data):,} bytes, its descriptor says {count:,} entries")
    return first, np.frombuffer(data, np.uint8, count).astype(np.uint16)

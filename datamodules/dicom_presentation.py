"""What values of a DICOM file look like: modality LUT, VOI LUT, window, depth, palette (PS3.4, annex N.2)."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.datamodules.depth import BY_RANGE, ValueRange, choose_scale, to_eight_bits
from mcmfh_lightning.datamodules.dicom_attributes import one_number
from mcmfh_lightning.datamodules.unusable import UNREADABLE, PictureError

if TYPE_CHECKING:
    from pydicom import Dataset

NO_SLOPE = "DICOM with a rescale slope of 0: not rescaled"
NO_WINDOW = "DICOM with a window that cannot be (width 0, not a number): ignored"
INVERSE = "DICOM of MONOCHROME2 with PresentationLUTShape INVERSE: inverted"
STRETCHED = "DICOM without a window: stretched from its least to its greatest value"

_FAR = 1e12  # beyond any window


def present(
    levels: "NDArray[Any]",
    dataset: "Dataset",
    stated: int | None,
    value_range: ValueRange | None,
    assumed: list[str],
    *,
    has_padding: bool,
) -> tuple[NDArray[np.uint8], int | None]:
    """Bring grey values to 0..255 by the file's VOI LUT or window, else by the user's range or the depth.

    Args:
        levels: The values of the picture, ascending.
        dataset: The attributes.
        stated: Bits of a value, if the file says so.
        value_range: The user's range.
        assumed: Is continued.
        has_padding: Whether the file speaks of padding.
    """
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing

    _correct_rescaling(dataset, assumed)
    measured = apply_modality_lut(levels, dataset)
    bits = None
    if sequence := dataset.get("VOILUTSequence"):
        entries, first, _ = sequence[0].LUTDescriptor
        last = first + (entries or 2**16) - 1
        # For entries of 8 bits pydicom indexes with 8 bits, which wraps around; as 16 bits they are the same entries.
        sequence[0].LUTDescriptor = [entries, first, 16]
        shown = apply_voi_lut(np.clip(np.rint(measured), first, last).astype(np.int64), dataset)
        table = apply_voi_lut(np.arange(first, last + 1), dataset)
        low, high = table.min(), table.max()
    elif _has_window(dataset, assumed):
        shown = apply_windowing(measured, dataset)
        with np.errstate(over="ignore"):  # of a sigmoid window
            low, high = apply_windowing(np.array([-_FAR, _FAR]), dataset)
    else:
        shown = measured
        low, high, bits = _range(levels, measured, dataset, stated, value_range, assumed, has_padding=has_padding)
    low, high = float(low), float(high)
    if low == high:
        return np.zeros(shown.shape, np.uint8), bits
    if low > high:  # by a window behind a falling rescaling
        return to_eight_bits(-shown, -low, -high), bits
    return to_eight_bits(shown, low, high), bits


def _range(
    levels: "NDArray[Any]",
    measured: "NDArray[Any]",
    dataset: "Dataset",
    stated: int | None,
    value_range: ValueRange | None,
    assumed: list[str],
    *,
    has_padding: bool,
) -> tuple[float, float, int | None]:
    """Choose the values that become black and white where the file does not say them, and the depth behind them."""
    from pydicom.pixels.processing import apply_modality_lut

    deep = dataset.BitsAllocated > 8
    if deep and value_range is not None:
        assumed.append(BY_RANGE)
        return *value_range, None
    measurements = dataset.PixelRepresentation or dataset.get("ModalityLUTSequence") or (deep and has_padding)
    scale = None if measurements else choose_scale(int(levels[-1]), stated, None)
    if scale is None:
        assumed.append(STRETCHED)
        return measured.min(), measured.max(), None
    if scale.bits != 8 or deep:
        assumed.append(scale.assumed)
    ends = apply_modality_lut(np.array([scale.low, scale.high]), dataset)
    return ends.min(), ends.max(), scale.bits


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
    """Find out whether there is a window that can be applied, and leave the first such as the only one."""
    dataset.VOILUTFunction = function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    windows = list(zip(*(_listed(dataset.get(name)) for name in ("WindowCenter", "WindowWidth")), strict=False))
    for center, width in windows:
        enough = {"LINEAR": width >= 1, "LINEAR_EXACT": width > 0, "SIGMOID": width > 0}.get(function, False)
        if enough and math.isfinite(width) and math.isfinite(center):
            dataset.WindowCenter, dataset.WindowWidth = center, width
            return True
        assumed.append(NO_WINDOW)
    return False


def _listed(numbers: object) -> list[float]:
    """Return the numbers of an attribute that has none, one or several."""
    if numbers in (None, ""):
        return []
    several = [numbers] if isinstance(numbers, float | int | str) else numbers
    return [float(number) for number in several]  # type: ignore[attr-defined]  # pydicom's lists have no common type


def is_inverted(dataset: "Dataset", assumed: list[str]) -> bool:
    """Find out whether the least value of a grey picture is white."""
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        return True
    if str(dataset.get("PresentationLUTShape") or "").strip().upper() != "INVERSE":
        return False
    assumed.append(INVERSE)
    return True


def look_up_colours(values: "NDArray[Any]", dataset: "Dataset") -> NDArray[np.uint8]:
    """Look up the colors of a palette picture.

    Args:
        values: (rows, columns), whole numbers.
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
    """Read the value that the first entry of a palette is for, and the entries."""
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

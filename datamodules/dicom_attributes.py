"""Attributes that describe the pixels of a DICOM file: usual values of those that are missing, and contradictions.

A library that believes attributes which contradict the pixels gives a sheared or a darkened picture without an error.
Lengths, numbers of frames and kinds of color are therefore compared before anything is decoded.
"""

from typing import TYPE_CHECKING

import numpy as np

from mcmfh_lightning.datamodules.unusable import MULTI_FRAME, UNREADABLE, PictureError

if TYPE_CHECKING:
    from pydicom import Dataset

DEFAULTS = "DICOM with missing attributes: their usual values taken"

_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422")
_JPEG_2000_COLOUR = ("YBR_ICT", "YBR_RCT")
"""Only the decoder of JPEG 2000 turns these into RGB."""
_FRAME_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")
"""JPEG and JPEG-LS; JPEG 2000 as a stream, and as a file."""


def complete_attributes(dataset: "Dataset", assumed: list[str]) -> None:
    """Give attributes that are missing their usual values.

    Args:
        dataset: Has Rows, Columns and PixelData; is completed.
        assumed: Is continued.

    Raises:
        PictureError: If an attribute has several values, or attributes contradict each other.
    """
    kind = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    samples = whole_number(dataset, "SamplesPerPixel") or (3 if kind in _COLOUR + _JPEG_2000_COLOUR else 1)
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
    """Read an attribute as `one_number` does, without what is behind the point."""
    value = one_number(dataset, name)
    return None if value is None else int(value)


def check_pixel_data(dataset: "Dataset") -> None:
    """Compare the pixels with the attributes, which `complete_attributes` has completed.

    Raises:
        PictureError: If there are several pictures, or the attributes contradict the pixels or each other.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    _check_colour(dataset, is_jpeg_2000="JPEG 2000" in syntax.name or "JPEG2000" in syntax.name)
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


def _check_colour(dataset: "Dataset", *, is_jpeg_2000: bool) -> None:
    """Refuse kinds of color that would be shown as if they were RGB."""
    kind, samples = dataset.PhotometricInterpretation, int(dataset.SamplesPerPixel)
    if kind not in {1: _GREY, 3: _COLOUR + _JPEG_2000_COLOUR * is_jpeg_2000}.get(samples, ()):
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
        if head < 128:  # so many bytes follow as they are, and one more
            length += min(head + 1, size - at - 1)
            at += head + 2
        elif head > 128:  # the next byte, several times
            length += 257 - head
            at += 2
        else:
            at += 1
    return length

"""PNG files written byte by byte, for tests: Pillow cannot write color of 16 bits."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

GRAY, RGB, GRAY_ALPHA, RGBA = 0, 2, 4, 6
_KINDS = {1: GRAY, 2: GRAY_ALPHA, 3: RGB, 4: RGBA}

Chunk = tuple[bytes, bytes]


def png_bytes(pixels: np.ndarray, depth: int = 16, chunks: Sequence[Chunk] = ()) -> bytes:
    """A PNG of (rows, columns) or (rows, columns, channels), every row by another of the five filters.

    Args:
        pixels: Samples of ``depth`` bits: 2 and 4 for gray only, 8, 16.
        chunks: Between header and pixels.
    """
    rows, columns = pixels.shape[:2]
    samples = pixels.reshape(rows, columns, -1)
    channels = samples.shape[2]
    if depth >= 8:
        raw = samples.astype(f">u{depth // 8}").reshape(rows, -1).view(np.uint8).reshape(rows, -1)
        width = channels * depth // 8
    else:
        bits = (samples[..., 0, None] >> np.arange(depth)[::-1]) & 1
        raw, width = np.packbits(bits.reshape(rows, -1).astype(np.uint8), axis=1), 1
    lines, above = [], np.zeros(raw.shape[1], np.int64)
    for number, line in enumerate(raw.astype(np.int64)):
        left = np.concatenate([np.zeros(width, np.int64), line[:-width]])
        corner = np.concatenate([np.zeros(width, np.int64), above[:-width]])
        guess = left + above - corner
        distances = np.abs(np.stack([guess - left, guess - above, guess - corner]))
        nearest = np.choose(distances.argmin(0), [left, above, corner])
        predicted = [0 * line, left, above, (left + above) // 2, nearest][number % 5]
        lines.append(bytes([number % 5]) + ((line - predicted) % 256).astype(np.uint8).tobytes())
        above = line
    header = struct.pack(">IIBBBBB", columns, rows, depth, _KINDS[channels], 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def write_png(path: Path, pixels: np.ndarray, depth: int = 16, chunks: Sequence[Chunk] = ()) -> Path:
    path.write_bytes(png_bytes(pixels, depth, chunks))
    return path

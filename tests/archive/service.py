"""What the tests of the HTTP service share."""

import io
import struct
import zlib

from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

HERE = "http://127.0.0.1:8000"
TOKEN = "correct-horse-battery-staple"
SECRET = "Xanthippe Quickenborne"  # a patient that no message may name
JSON = {"content-type": "application/json"}


def client_of(app: FastAPI) -> TestClient:
    return TestClient(app, base_url=HERE, raise_server_exceptions=False)


def png(width: int, height: int, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, height), 90).save(stream, "PNG", **options)
    return stream.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A header that promises pixels, and no more of them than a few bytes."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )

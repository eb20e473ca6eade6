"""What the tests of the HTTP service share."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from mcmfh_lightning.archive.server.app import listen

HERE = "http://127.0.0.1:8000"
TOKEN = "correct-horse-battery-staple"
SECRET = "Xanthippe Quickenborne"  # a patient that no message may name
JSON = {"content-type": "application/json"}
ODD_ID = "study 3/film ä.1?"
"""Of an item that has both; it needs quoting in a URL."""


def client_of(app: FastAPI) -> TestClient:
    return TestClient(app, base_url=HERE, raise_server_exceptions=False)


@contextmanager
def answering(app: FastAPI) -> Iterator[str]:
    """Address of the service, which a server in a thread of this process answers at."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    with listen("127.0.0.1", 0) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


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

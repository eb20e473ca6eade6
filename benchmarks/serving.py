"""Size of an environment, start and memory of the service in it; see docs/guides/serve_without_torch.md.

    python benchmarks/serving.py --archive DIR [--model DIR] [--environment DIR] [--turns N] [--csv FILE]

Starts ``mcmfh-archive serve`` in an environment (by default this one) with an exported model, or with torch where none
is given, and asks for a text and a film. The time begins with the process. The memory is the most that was resident.
"""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pandas as pd
from measurements import Row, markdown, options, report
from PIL import Image

TEXT = "enlarged heart with pleural effusion"
WAIT_SECONDS = 120
_MEBIBYTE = 1 << 20


def size_of(environment: Path) -> float:
    """Sum what the files of a folder take on the disk, in megabytes; a file with two names counts once."""
    found = {(status.st_dev, status.st_ino): status for status in (path.lstat() for path in environment.rglob("*"))}
    return sum(512 * status.st_blocks for status in found.values()) / 1e6


def serve_once(command: list[str]) -> dict[str, float]:
    """Start the service, ask, and stop it."""
    begin = time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603  # of this file
        try:
            assert process.stderr is not None  # noqa: S101  # asked for
            url = process.stderr.readline().partition(" ")[0]
            found = {"listening": time.monotonic() - begin}
            ask(f"{url}api/search", json.dumps({"text": TEXT}).encode(), "application/json")
            found["text"] = time.monotonic() - begin
            found["processor"] = processor_seconds(process.pid)
            asked = time.monotonic()
            ask(f"{url}api/search/image", *film())
            found["film"] = time.monotonic() - asked
            asked = time.monotonic()
            ask(f"{url}api/search", json.dumps({"text": TEXT}).encode(), "application/json")
            found["again"] = time.monotonic() - asked
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            return found | {"memory": int(most.split()[1]) * 1024 / _MEBIBYTE}
        finally:
            process.terminate()


def processor_seconds(process: int) -> float:
    """Return the processor time of a process, which other work of the machine changes little."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def ask(url: str, body: bytes, kind: str) -> None:
    """Ask until there is an answer: at first nothing may listen, or the archive may not be open.

    Raises:
        TimeoutError: If there is none in time.
    """
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        try:
            with urlopen(Request(url, body, {"Content-Type": kind}), timeout=WAIT_SECONDS) as answer:  # noqa: S310  # ours
                assert json.load(answer)["hits"]  # noqa: S101  # or nothing was measured
                return
        except HTTPError as error:
            if error.code != 503:
                raise
        except URLError:
            pass
        time.sleep(0.02)
    raise TimeoutError(f"no answer within {WAIT_SECONDS} s")


def film() -> tuple[bytes, str]:
    """Make a request with a gray picture of the size of a film."""
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((2048, 2500)).save(stream, "PNG")
    head = b'--limit\r\nContent-Disposition: form-data; name="image"; filename="film"\r\n\r\n'
    return head + stream.getvalue() + b"\r\n--limit--\r\n", "multipart/form-data; boundary=limit"


def measure(archive: Path, model: Path | None, environment: Path, turns: int) -> Iterator[Row]:
    """Start the service several times."""
    command = [str(environment / "bin" / "mcmfh-archive"), "serve", str(archive), "--port", "0"]
    command += [] if model is None else ["--model", str(model)]
    found = [serve_once(command) for _ in range(turns)]
    numbers = {name: median(one[name] for one in found) for name in found[0]}
    yield {
        "system": "torch" if model is None else "onnxruntime",
        "environment": round(size_of(environment)),
        "model": 0 if model is None else round(size_of(model)),
        **{name: round(value, 0 if name == "memory" else 3) for name, value in numbers.items()},
    }


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the table."""
    heads = {"system": "queries by", "environment": "environment, MB", "model": "exported model, MB"}
    heads |= {"listening": "listens after, s", "text": "first answer after, s"}
    heads |= {
        "processor": "its CPU time, s",
        "again": "next text, s",
        "film": "film, s",
    }
    heads |= {"memory": "memory, MiB"}
    return {"serving": markdown(rows[[*heads]].set_axis([*heads.values()], axis=1))}


if __name__ == "__main__":
    parser = options(__doc__, "csv", "page")
    parser.add_argument("--archive", type=Path, required=True, help="folder of the archive")
    parser.add_argument("--model", type=Path, help="folder that `mcmfh export` wrote; default: torch")
    parser.add_argument("--environment", type=Path, default=Path(sys.prefix), help="folder of a virtual environment")
    parser.add_argument("--turns", type=int, default=3, help="how often the service is started")
    given = parser.parse_args()
    rows = measure(given.archive, given.model, given.environment, given.turns)
    report(given, rows, tables, benchmark="serving", keys=("system",), packages=("pillow",))

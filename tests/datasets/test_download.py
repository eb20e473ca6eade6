import hashlib
import importlib
import io
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from mcmfh_lightning.cli.data import main
from mcmfh_lightning.datasets.download import IMAGES, REPORTS, REPORTS_SHA256, fetch_openi
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.shards import DatasetInfo

# By its full name: as an attribute of its package it is the function.
COMMAND = importlib.import_module("mcmfh_lightning.cli.data")


def tgz(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4), shade).save(stream, "PNG")
    return stream.getvalue()


class Server:
    """A loopback mirror whose first answers may be cut short."""

    def __init__(self) -> None:
        self.files = {
            REPORTS: tgz({"ecgen-radiology/1.xml": b"<eCitation/>"}),
            IMAGES: tgz({"a.png": png(1), "deep/b.png": png(2), "../out.png": png(3), "note.txt": b"x"}),
        }
        self.requests: Counter[str] = Counter()
        self.cut_first = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/collections/")
                server.requests[name] += 1
                if name not in server.files:
                    self.send_error(404)
                    return
                content = server.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                whole = server.requests[name] > server.cut_first
                self.wfile.write(content if whole else content[: len(content) // 2])

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/collections"

    def sha256(self, name: str) -> str:
        return hashlib.sha256(self.files[name]).hexdigest()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr("time.sleep", lambda _: None)  # pooch waits between attempts
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    mirror = Server()
    thread = threading.Thread(target=partial(mirror.http.serve_forever, poll_interval=0.01))
    thread.start()
    yield mirror
    mirror.http.shutdown()
    thread.join()
    mirror.http.server_close()


def fetch(server: Server, cache: Path, **changes):
    arguments = {"base_url": server.url, "reports_sha256": server.sha256(REPORTS)} | changes
    return fetch_openi(cache, Console(file=io.StringIO()), **arguments)


def test_both_archives_are_fetched_once_and_images_are_unpacked_flat(server, tmp_path):
    cache = tmp_path / "cache"
    files = fetch(server, cache)
    assert files.reports.read_bytes() == server.files[REPORTS]
    assert {path.name: path.read_bytes() for path in files.images.iterdir()} == {
        "a.png": png(1),
        "b.png": png(2),
        "out.png": png(3),  # stays inside the folder
    }
    assert not (cache / "out.png").exists()
    assert files.sha256 == {REPORTS: server.sha256(REPORTS), IMAGES: server.sha256(IMAGES)}
    assert fetch(server, cache) == files
    assert server.requests == {REPORTS: 1, IMAGES: 1}


def test_a_truncated_transfer_is_tried_again(server, tmp_path):
    server.cut_first = 1
    files = fetch(server, tmp_path)
    assert files.sha256[IMAGES] == server.sha256(IMAGES)
    assert server.requests == {REPORTS: 2, IMAGES: 2}


def test_a_transfer_that_stays_truncated_is_an_error_and_leaves_nothing(server, tmp_path):
    server.cut_first = 99
    with pytest.raises(DataError, match=r"NLMCXR_reports\.tgz: download failed .*--mirror"):
        fetch(server, tmp_path)
    assert server.requests[REPORTS] == 3
    assert not list(tmp_path.iterdir())


def test_reports_of_another_checksum_are_refused(server, tmp_path):
    with pytest.raises(DataError, match="not the expected one"):
        fetch(server, tmp_path, reports_sha256="0" * 64)
    assert not list(tmp_path.iterdir())


def test_images_of_another_checksum_than_the_users_are_refused(server, tmp_path):
    with pytest.raises(DataError, match=r"NLMCXR_png\.tgz: the file is not the expected one"):
        fetch(server, tmp_path, images_sha256="0" * 64)
    assert fetch(server, tmp_path, images_sha256=server.sha256(IMAGES)).images.is_dir()


def test_a_corrupted_file_in_the_cache_is_fetched_again(server, tmp_path):
    (tmp_path / REPORTS).write_bytes(b"corrupted")
    assert fetch(server, tmp_path).reports.read_bytes() == server.files[REPORTS]


def test_an_image_archive_corrupted_at_the_source_is_found_without_a_checksum(server, tmp_path):
    content = bytearray(server.files[IMAGES])
    content[-6] ^= 1  # the length or checksum that ends a gzip stream
    server.files[IMAGES] = bytes(content)
    with pytest.raises(DataError, match=r"NLMCXR_png\.tgz: damaged archive"):
        fetch(server, tmp_path)
    assert not [path for path in tmp_path.glob("images-*") if not path.name.endswith(".part")]


def test_an_interrupted_unpacking_starts_over(server, tmp_path):
    images = fetch(server, tmp_path).images
    part = images.with_name(images.name + ".part")
    images.rename(part)
    (part / "a.png").write_bytes(b"half")
    assert (fetch(server, tmp_path).images / "a.png").read_bytes() == png(1)


def test_another_image_archive_gets_its_own_folder(server, tmp_path):
    first = fetch(server, tmp_path).images
    server.files[IMAGES] = tgz({"c.png": png(9)})
    (tmp_path / IMAGES).unlink()
    second = fetch(server, tmp_path).images
    assert [path.name for path in second.iterdir()] == ["c.png"]
    assert first != second


def test_a_missing_file_on_the_mirror_is_named(server, tmp_path):
    del server.files[IMAGES]
    with pytest.raises(DataError, match=r"NLMCXR_png\.tgz: download failed .*404"):
        fetch(server, tmp_path)


REPORT = b"""<eCitation><uId id="CXR1"/><Abstract><AbstractText Label="FINDINGS">Clear.</AbstractText></Abstract>
<MeSH><major>normal</major></MeSH><parentImage id="a"/></eCitation>"""


def test_the_command_downloads_when_no_path_is_given_and_records_checksums(server, tmp_path, monkeypatch):
    server.files[REPORTS] = tgz({"ecgen-radiology/1.xml": REPORT})
    known = partial(fetch_openi, reports_sha256=server.sha256(REPORTS))
    monkeypatch.setattr(COMMAND, "fetch_openi", known)
    out, cache = tmp_path / "out", tmp_path / "cache"
    options = ["--mirror", server.url, "--cache", str(cache), "--min-label-count", "1", "--out", str(out)]
    with pytest.raises(SystemExit) as stop:
        main(["openi", *options, "--images-sha256", "0" * 64])
    assert stop.value.code == 2
    main(["openi", *options])
    info = DatasetInfo.load(out)
    assert sum(split.pairs for split in info.splits.values()) == 1
    assert info.settings["downloads_sha256"] == {name: server.sha256(name) for name in (REPORTS, IMAGES)}


def test_the_known_checksum_is_that_of_the_true_archive(shared_data):
    assert sha256_of(shared_data / "openi" / REPORTS) == REPORTS_SHA256

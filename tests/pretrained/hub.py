"""A model hub on loopback: what huggingface_hub asks for when it makes a repository, uploads to it and downloads."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "c0ffee" + 34 * "0"


class Hub(ThreadingHTTPServer):
    """Repositories of one commit, each a mapping from names of files to their contents.

    Every file is taken as a plain one: the upload of large files to another store (LFS, Xet) is not imitated.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.asked: list[tuple[str, str, bytes]] = []
        """Method, path and body of every request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Stay quiet."""

    def answer(self, content: bytes, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_json(self, content: object) -> None:
        self.answer(json.dumps(content).encode(), Content_Type="application/json")

    def missing(self, code: str) -> None:
        self.answer(b"{}", 404, X_Error_Code=code)

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, b""))
        path = self.path.partition("?")[0].lstrip("/")
        if path.startswith("api/models/"):
            name, _, question = path.removeprefix("api/models/").partition("/revision/")
            if "/tree/" in name:
                name = name.partition("/tree/")[0]
            files = self.server.repositories.get(name)
            if files is None:
                self.missing("RepoNotFound")
            elif question:
                self.answer_json(
                    {"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files], "tags": []}
                )
            else:
                tree = [
                    {"type": "file", "path": file, "size": len(files[file]), "oid": _oid(files[file])} for file in files
                ]
                self.answer_json(tree)
            return
        name, _, rest = path.partition("/resolve/")
        files, file = self.server.repositories.get(name), rest.partition("/")[2]
        if files is None or file not in files:
            self.missing("RepoNotFound" if files is None else "EntryNotFound")
            return
        self.answer(files[file], ETag=f'"{_oid(files[file])}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET  # noqa: N815  # named by the standard library

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(self._chunks())
        self.server.asked.append((self.command, self.path, body))
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.repositories.setdefault(name, {})
            self.answer_json({"url": f"{self.server.url}/{name}"})
        elif path == "/api/validate-yaml":
            self.answer_json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = [file["path"] for file in json.loads(body)["files"]]
            self.answer_json(
                {"files": [{"path": one, "uploadMode": "regular", "shouldIgnore": False} for one in files]}
            )
        elif "/commit/" in path:
            name = path.removeprefix("/api/models/").partition("/commit/")[0]
            for entry in map(json.loads, body.splitlines()):
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.server.repositories[name][entry["value"]["path"]] = content
            self.answer_json({"commitUrl": f"{self.server.url}/{name}/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self.missing("EntryNotFound")

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


def _oid(content: bytes) -> str:
    """The name that Git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def running() -> Iterator[Hub]:
    with Hub() as hub:
        thread = Thread(target=hub.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()

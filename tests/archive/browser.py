"""A server of its own process, and pages of a real browser that notice what they should not do."""

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
NEEDED = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("playwright") is None, reason="playwright is not installed"),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
"""Marks of tests with a browser."""
SERVE = "import sys; from mcmfh_lightning.cli.archive import main; main(['serve', *sys.argv[1:]])"


class Server:
    """``mcmfh-archive serve`` on loopback; what it says is kept."""

    def __init__(self, archive: Path, log: Path, *flags: str, port: int = 0, **environment: str) -> None:
        self.log = log
        with log.open("ab") as stream:
            start = stream.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(archive), "--port", str(port), *flags],
                stdout=stream,
                stderr=stream,
                env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | environment,
            )
        while not (found := re.search(rb"http://127\.0\.0\.1:(\d+)/", log.read_bytes()[start:])):
            assert self._process.poll() is None, log.read_text()
            time.sleep(0.05)
        self.url, self.port = found.group().decode(), int(found.group(1))

    def stop(self) -> int:
        """As Ctrl+C does; returns the exit code."""
        self._process.send_signal(2)
        return self._process.wait(20)


class Watched:
    """A page with what it asked for and complained of."""

    def __init__(self, page: Any, url: str) -> None:  # playwright is optional
        self.page, self.url = page, url
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on(
            "console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text)
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.set_default_timeout(20_000)

    def check(self, *, expected: str = r"$^") -> None:
        """Nothing went elsewhere, and nothing was complained of but what is expected."""
        foreign = [url for url in self.requests if not url.startswith((self.url, "blob:", "data:"))]
        assert not foreign
        assert not [text for text in self.complaints if not re.search(expected, text)]

    def search(self, text: str) -> list[str]:
        """Type and press Enter; ids of the hits."""
        self.page.fill("#query", text)
        self.page.press("#query", "Enter")
        return self.hits()

    def hits(self) -> list[str]:
        """Ids of the hits, once they are there."""
        self.settled()
        return [title.split(" ", 1)[1] for title in self.page.locator(".card h3").all_inner_texts()]

    def settled(self) -> None:
        """Wait until nothing is being searched."""
        self.page.wait_for_selector("body:not(.busy)")

    def until(self, expression: str, seconds: float = 20) -> None:
        """Wait until something holds; playwright's own way is forbidden by the page's policy, as it needs ``eval``."""
        for _ in range(int(seconds * 20)):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{expression} does not come to hold")

    def all_pictures_come(self) -> int:
        """Scroll through the hits; how many pictures there are, all of them loaded."""
        films = self.page.locator(".card .film img")
        for number in range(films.count()):
            films.nth(number).scroll_into_view_if_needed()
        self.until("[...document.querySelectorAll('.card .film img')].every((image) => image.naturalWidth > 0)")
        return films.count()

    def drop(self, content: bytes | None, name: str = "film.png", padding: int = 0, *, kind: str = "image/png") -> None:
        """Drop a file where the page asks for one, with zeros behind its content; with None a piece of text."""
        self.page.evaluate(
            """([content, name, padding, kind]) => {
                const data = new DataTransfer();
                if (content === null) data.setData("text/plain", "words");
                else {
                    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
                    data.items.add(new File([bytes, new Uint8Array(padding)], name, { type: kind }));
                }
                const box = document.getElementById("drop");
                for (const type of ["dragenter", "dragover", "drop"])
                    box.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
            }""",
            [None if content is None else base64.b64encode(content).decode(), name, padding, kind],
        )

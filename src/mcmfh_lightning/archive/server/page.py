"""The page: one document whose style and script are within it, and a policy under which nothing else runs or loads."""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_SCRIPTS = ("elements.js", "api.js", "pictures.js", "cards.js", "filters.js", "results.js", "main.js")
"""One script in this order; the parts share their names."""


class Page(NamedTuple):
    """What is sent."""

    html: str
    policy: str
    """Content-Security-Policy."""


@cache
def page() -> Page:
    """Put the page together from the files beside this one."""
    folder = files("mcmfh_lightning.archive.server") / "page"
    style, script = (
        "\n" + "\n".join((folder / name).read_text("utf-8") for name in names) for names in (("page.css",), _SCRIPTS)
    )
    html = (folder / "page.html").read_text("utf-8").replace("{style}", style).replace("{script}", script)
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "'self' blob: data:",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return Page(html, "; ".join(f"{name} {value}" for name, value in policy.items()))


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

"""A result as one html file, pictures and style included: it loads nothing."""

from base64 import b64encode
from collections.abc import Callable
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from mcmfh_lightning.archive.results import SearchResult
from mcmfh_lightning.archive.show.words import NOTICE, heading, sentences


def result_page(result: SearchResult, picture: Callable[[str], bytes | None]) -> str:
    """Write the page.

    Everything that comes from the archive is escaped, and a content policy keeps the page from loading or running
    anything all the same.

    Args:
        result: What was found.
        picture: The JPEG of an item, by its id; None if there is none.
    """
    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    hits = [(hit, _data_url(picture(hit.item.id) if hit.item.has_image else None)) for hit in result.hits]
    return environment.from_string(template).render(
        heading=heading(result), sentences=sentences(result), notice=NOTICE, hits=hits
    )


def _data_url(jpeg: bytes | None) -> str | None:
    return None if jpeg is None else f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"

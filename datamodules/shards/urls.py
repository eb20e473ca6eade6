"""Which addresses of shard folders are URLs, which are refused, and how a URL is shown."""

from urllib.parse import urlsplit, urlunsplit

from mcmfh_lightning.errors import DataError


def is_url(root: str) -> bool:
    """Tell a URL from a local path.

    Raises:
        DataError: If it would run a command (``pipe:``) or is a chain of URLs (``::``).
    """
    if root.startswith("pipe:"):
        raise DataError(f"{root!r} would run a command; name a local folder or a plain URL such as s3://bucket/folder")
    if "::" in root:
        raise DataError(f"{root!r} is a chain of URLs (::), which could read through anything; name one plain URL")
    return "://" in root


def without_password(url: str) -> str:
    """Return a URL as it may be shown: without user and password.

    >>> without_password("https://me:secret@example.org/shards")
    'https://example.org/shards'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

"""Names of archives that one service has, which are parts of its addresses."""

import re
from collections.abc import Sequence

from mcmfh_lightning.errors import ConfigError

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_TAKEN = ("api", "healthz", "metrics", "openapi.json")


def named_places(archives: Sequence[str]) -> dict[str, str]:
    """Find the name of each archive: as it is given, or the last part of its place.

    Args:
        archives: Folders and ``s3://`` addresses, with ``NAME=`` in front or not.

    Returns:
        Places by name.

    Raises:
        ConfigError: If a name cannot be part of an address, or two archives have the same.

    Example:
        >>> named_places(["/data/openi", "films=s3://hospital/archive"])
        {'openi': '/data/openi', 'films': 's3://hospital/archive'}
    """
    places: dict[str, str] = {}
    for archive in archives:
        given = re.fullmatch(f"({_NAME})=(.+)", archive)
        name, place = given.groups() if given else (archive.rstrip("/").rpartition("/")[2], archive)
        if name in _TAKEN or not re.fullmatch(_NAME, name):
            raise ConfigError(
                f"{archive}: {name!r} cannot be part of an address; give the archive a name of letters and digits "
                f"(serve NAME={place} ...)"
            )
        if name in places:
            raise ConfigError(
                f"{places[name]} and {place} are both called {name}; give one a name (serve NAME={place} ...)"
            )
        places[name] = place
    return places

"""Groups (studies, articles, patients) have a name for people, and a number for sums and exclusions."""

import hashlib
import re

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")


def group_number(name: str) -> int:
    """Return the number of a group: that of its name if it is an integer of 64 bits, else a hash of the name.

    A hash, not a counter: the number of a group, and with it its split, must not depend on the other groups. Two names
    may therefore have one number; code that collects names has to check it.

    >>> group_number("17"), group_number("P-17")
    (17, -440880982678804470)
    """
    # Only as Python writes it: the patients 7 and 007 may be two.
    number = int(name) if _INTEGER.fullmatch(name) and len(name) <= 20 else None
    if number is None or not -(2**63) <= number < 2**63:
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    return number


def name_of_number(number: int) -> str:
    """Return the name of a group of which only the number is known, as in shards of version 2."""
    return str(number)

"""Limit on wrong tokens: who guesses has to wait."""

import ipaddress
from collections import OrderedDict
from math import ceil
from time import monotonic

MAX_WRONG = 20  # wrong tokens of a client in a window; a page that has an old one sends a handful
WINDOW_SECONDS = 60.0
MAX_CLIENTS = 10_000  # that are remembered; then the oldest window is forgotten


class WrongTokens:
    """Wrong tokens by client, in a window that begins with the first one.

    The library `limits` has such windows, but keeps each address for as long as it takes, and an attacker with IPv6 has
    any number of them. Here, an IPv6 network of 64 bits counts as one client, and memory is bounded.
    """

    def __init__(self) -> None:
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()  # begin and number, the oldest first

    def seconds_to_wait(self, address: str) -> int:
        """Return how long a client has to wait before it may ask at all; 0 if it may now."""
        begin, wrong = self._windows.get(_client(address), (0.0, 0))
        return max(0, ceil(begin + WINDOW_SECONDS - monotonic())) if wrong >= MAX_WRONG else 0

    def add(self, address: str) -> None:
        """Count a wrong token."""
        client, now = _client(address), monotonic()
        begin, wrong = self._windows.get(client, (now, 0))
        if begin + WINDOW_SECONDS <= now:
            del self._windows[client]
            begin, wrong = now, 0
        self._windows[client] = begin, wrong + 1
        if len(self._windows) > MAX_CLIENTS:
            self._windows.popitem(last=False)


def _client(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a name, or none
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address

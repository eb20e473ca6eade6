"""``mcmfh-archive serve``."""

import logging
import socket
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from mcmfh_lightning.errors import ConfigError

MAX_CONNECTIONS = 100
"""More are answered 503: a laptop is not a web site."""


def serve(
    archive: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    device: str = "cpu",
) -> None:
    """Open an archive to a browser of this machine, until Ctrl+C.

    The page searches by text, picture or item; programs use the same service (/openapi.json). An archive that is not
    there yet is picked up when it is, changes are picked up at once. Nothing of a query is written down. Other machines
    are served only with a token: in a file, or in the environment variable MCMFH_ARCHIVE_TOKEN.

    Args:
        archive: folder of the archive, or s3://bucket/prefix.
        host: address to listen at.
        port: port to listen at; 0 takes a free one.
        token_file: file that holds the token that users are asked for.
        device: where queries are encoded: cpu, cuda.
    """
    import uvicorn

    from mcmfh_lightning.archive.devices import check_device
    from mcmfh_lightning.archive.server.app import create_app
    from mcmfh_lightning.archive.server.auth import TOKEN_VARIABLE, is_loopback, read_token
    from mcmfh_lightning.archive.server.served import ServedArchive

    check_device(device)
    token = read_token(token_file)
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"--host {host} opens the archive to other machines: give a token (--token_file or {TOKEN_VARIABLE}), "
            "or listen at 127.0.0.1"
        )
    with _listening(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        console = Console(stderr=True)
        said = f"http://{name}:{listener.getsockname()[1]}/ shows {archive}; Ctrl+C ends. Research use, not diagnosis."
        console.print(said, markup=False, highlight=False, soft_wrap=True)
        logging.basicConfig(format="%(levelname)s: %(message)s")
        config = uvicorn.Config(
            create_app(ServedArchive(archive, device), token),
            log_level="warning",
            access_log=False,  # paths hold ids
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """Open the port.

    Raises:
        ConfigError: If it is taken, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot listen at {host}, port {port} ({error}): choose another --host or --port") from error
    # asyncio does so only where it made the socket; without, each answer waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener

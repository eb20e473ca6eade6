"""``mcmfh-archive``: build, change, search and serve an archive. Each public function is a subcommand."""

import json as json_module
import logging
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Literal, TypeVar, cast

import pyarrow as pa
import yaml
from rich.console import Console

from mcmfh_lightning.archive.archive import RERANKED, Archive, K
from mcmfh_lightning.archive.build import check_checkpoint, create_archive, fill, report
from mcmfh_lightning.archive.code_index import IndexKind
from mcmfh_lightning.archive.codes_cache import remove_indexes
from mcmfh_lightning.archive.filters import Filters, check_groups, of_groups, others_of_their_number
from mcmfh_lightning.archive.identity import ArchiveInfo, Identity, build_encoder, read_encoder_spec
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.model import check_device
from mcmfh_lightning.archive.results import Modality, SearchResult, Side, overview, overview_table
from mcmfh_lightning.archive.schema import GROUP
from mcmfh_lightning.archive.show import result_json, result_page, result_table
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.verification import verify_archive
from mcmfh_lightning.cli.command_line import run_subcommand
from mcmfh_lightning.errors import ConfigError, DataError
from mcmfh_lightning.shards import atomic_write
from mcmfh_lightning.shards.info import Split
from mcmfh_lightning.shards.verify import verify_table


def info(archive: str, *, json: bool = False) -> None:
    """Say what an archive holds and what it is made with.

    Args:
        archive: folder or s3://bucket/prefix.
        json: print JSON, with all labels and the encoder's identity.
    """
    content = overview(Location(archive))
    if json:
        sys.stdout.write(json_module.dumps(content, indent=1, ensure_ascii=False) + "\n")
        return
    Console().print(overview_table(content))


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

    from mcmfh_lightning.archive.model import check_device
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


T = TypeVar("T", bound=str)
Names = str | list[str] | None
Splits = Split | list[Split] | None


def listed(values: T | Sequence[T] | None) -> tuple[T, ...]:
    """Return the values of such an option; numbers are texts too, as they are written.

    Raises:
        ConfigError: If a list in brackets cannot be read as one of texts.

    >>> listed(None), listed("a"), listed(["a", "b"]), listed("[007, P-1]")
    ((), ('a',), ('a', 'b'), ('007', 'P-1'))
    """
    if values is None:
        return ()
    if isinstance(values, str):
        # What jsonargparse leaves as one text is a list of which YAML reads an entry as a number, or the like.
        in_brackets = values.startswith("[") and values.endswith("]")
        return tuple(cast(list[T], _entries(values))) if in_brackets else (values,)
    return tuple(values)


def _entries(text: str) -> list[str]:
    try:
        entries = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # makes texts and lists of them alone, 007 stays 007
    except yaml.YAMLError:
        entries = None
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ConfigError(f"{text} is not a list such as [a, b]: put entries with brackets, commas or colons in quotes")
    return entries


_TABLE_WIDTH = 150


def search(
    archive: str,
    *,
    text: str | None = None,
    image: Path | None = None,
    id: str | None = None,  # noqa: A002  # the name of the option
    modality: Modality | None = None,
    k: int = K,
    radius: int | None = None,
    against: Side = "case",
    labels: Names = None,
    any_labels: Names = None,
    since: str | None = None,
    until: str | None = None,
    licences: Names = None,
    groups: Names = None,
    without_groups: Names = None,
    splits: Names = None,
    has_image: bool | None = None,
    has_text: bool | None = None,
    rerank: int = RERANKED,
    offset: int = 0,
    limit: int | None = None,
    index: IndexKind | None = None,
    device: str = "cpu",
    format: Literal["table", "json", "html"] = "table",  # noqa: A002  # the name of the option
    out: Path | None = None,
) -> None:
    """Find the items nearest to a text, a picture or an item. Give one of --text, --image and --id.

    Research use, not diagnosis.

    Args:
        archive: folder, or s3://bucket/prefix.
        text: what to look for, as a report would say it.
        image: JPEG, PNG or DICOM file to look for the like of.
        id: item of the archive to look for the like of; its own group is left out.
        modality: with --id, whether its image or its text is searched by. Default: its image, if it has one.
        k: how many to find; without a meaning if a radius is given.
        radius: find all within this Hamming distance instead.
        against: code that the query is compared with: of the case, or of the image or the text alone.
        labels: labels that an item must all have; more than one as [a, b].
        any_labels: labels of which it must have one.
        since: earliest date, YYYY-MM-DD.
        until: latest date, YYYY-MM-DD.
        licences: licences of which it must have one.
        groups: groups (patients, studies, articles) of which it must be, by their own names.
        without_groups: groups of which it must not be.
        splits: splits of which it must be.
        has_image: whether it must have, or lack, an image.
        has_text: whether it must have, or lack, a text.
        rerank: how many of the nearest are ordered anew by stored relaxed codes, ties included; 0 turns it off.
        offset: how many of the ranking to pass over.
        limit: how many to show at most. Default: all that are left.
        index: flat or hash; both find the same. Default: by the number of items.
        device: where the query is encoded.
        format: table and json are printed; html is one file with pictures, named by --out.
        out: file to write instead of printing.
    """
    if format == "html" and out is None:
        raise ConfigError("--format html writes a file: name it by --out")
    filters = Filters(
        labels=listed(labels),
        any_labels=listed(any_labels),
        since=since,
        until=until,
        licences=listed(licences),
        groups=listed(groups),
        without_groups=listed(without_groups),
        splits=listed(splits),
        has_image=has_image,
        has_text=has_text,
    )
    opened = Archive.open(archive, device, index)
    result = opened.search(
        text=text,
        image=image,
        id=id,
        modality=modality,
        k=k,
        radius=radius,
        against=against,
        filters=filters,
        rerank=rerank,
        offset=offset,
        limit=limit,
    )
    if format == "html":
        _write(result_page(result, opened.picture), out)
    elif format == "json":
        _write(f"{result_json(result)}\n", out)
    elif out is not None:
        _write(_table_text(result), out)
    else:
        console = Console()
        console.width = max(console.width, _TABLE_WIDTH)
        console.print(result_table(result))


def _table_text(result: SearchResult) -> str:
    console = Console(file=StringIO(), width=_TABLE_WIDTH, record=True)
    console.print(result_table(result))
    return console.export_text()


def _write(content: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(content)
        return
    with atomic_write(out) as stream:
        stream.write(content.encode())


def build(
    archive: str,
    *,
    checkpoint: Path,
    features: str | None = None,
    pairs: str | None = None,
    splits: Splits = None,
    encoder: Path | None = None,
    store_content: bool = False,
    without_relaxed: bool = False,
    device: str = "cpu",
) -> None:
    """Make an archive of the items of shards; a build that was interrupted goes on with the same command.

    Args:
        archive: folder to make, or s3://bucket/prefix.
        checkpoint: trained hasher, as `mcmfh fit` wrote it.
        features: feature shards; without them pairs are encoded.
        pairs: pair shards: date and licence of each item, and where its text and picture lie.
        splits: one, or several as [train,val]; all by default.
        encoder: YAML file of the encoder that queries need, as model/encoder_offline.yaml, which is the default.
        store_content: keep texts and small pictures in the archive; without it they stay where they are.
        without_relaxed: do not keep the codes before the sign, which rank short codes anew; saves 6 bytes a bit.
        device: where items are encoded.
    """
    check_device(device)
    location, source, spec = Location(archive), Source.of(features, pairs, listed(splits)), read_encoder_spec(encoder)
    identity = Identity.of(checkpoint)
    source.check_encoder(identity.encoder)
    if store_content and pairs is None:
        raise DataError("--store-content needs --pairs DIR: features have neither texts nor pictures")
    built = build_encoder(spec, identity.encoder) if features is None else None
    create_archive(
        location,
        checkpoint,
        spec,
        source.info.label_vocabulary,
        store_content=store_content,
        keep_relaxed=not without_relaxed,
        value_range=source.value_range,
    )
    console = Console(stderr=True)
    report(location, fill(location, source, replace=False, device=device, console=console, encoder=built))


def add(
    archive: str,
    *,
    features: str | None = None,
    pairs: str | None = None,
    splits: Splits = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
) -> None:
    """Add the items of shards whose ids are not there yet; one that was interrupted goes on with the same command.

    Args:
        archive: folder or s3://bucket/prefix.
        features: feature shards; without them pairs are encoded.
        pairs: pair shards: date and licence of each item, and where its text and picture lie.
        splits: one, or several as [train,val]; all by default.
        checkpoint: refuse if it is not the archive's own hasher, with which items are encoded in any case.
        device: where items are encoded.
    """
    location, source = Location(archive), Source.of(features, pairs, listed(splits))
    check_checkpoint(location, checkpoint)
    report(location, fill(location, source, replace=False, device=device, console=Console(stderr=True)))


def upsert(
    archive: str,
    *,
    features: str | None = None,
    pairs: str | None = None,
    splits: Splits = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
) -> None:
    """Add the items of shards, replacing those that have the same ids.

    Args:
        archive: folder or s3://bucket/prefix.
        features: feature shards; without them pairs are encoded.
        pairs: pair shards: date and licence of each item, and where its text and picture lie.
        splits: one, or several as [train,val]; all by default.
        checkpoint: refuse if it is not the archive's own hasher, with which items are encoded in any case.
        device: where items are encoded.
    """
    location, source = Location(archive), Source.of(features, pairs, listed(splits))
    check_checkpoint(location, checkpoint)
    report(location, fill(location, source, replace=True, device=device, console=Console(stderr=True)))


def delete(
    archive: str,
    *,
    ids: Names = None,
    ids_file: Path | None = None,
    groups: Names = None,
    erase: bool = False,
) -> None:
    """Remove items; of ids that are not there, only the number is told.

    Args:
        archive: folder or s3://bucket/prefix.
        ids: an item, or several as [a,b].
        ids_file: text file with an id a line.
        groups: all items of a group (patient, study) by its own name, or of several as [P-17,P-18].
        erase: remove what was ever deleted or replaced from the disk too, where earlier versions keep it; all items are
            written anew, and whoever has the archive open must open it again.
    """
    location = Location(archive)
    info = ArchiveInfo.load(location)
    table = ItemTable.open(location)
    named = [*listed(ids), *_lines(ids_file)]
    asked = listed(groups)
    if not named and not asked and not erase:
        raise DataError("nothing to delete: pass --ids, --ids-file or --groups")
    console = Console(soft_wrap=True, highlight=False, markup=False)
    members = _members(table, asked, console) if asked else []
    found = table.delete([*named, *members])
    missing = f", {len(set(named)) - found} were not there" if not asked and found < len(set(named)) else ""
    console.print(f"{location}: {found} items deleted{missing}; {len(table)} items, version {table.version}")
    if erase:
        table.erase()
        remove_indexes(location, info.uid)
        console.print(f"{location}: what was deleted is erased; version {table.version}")


def _members(table: ItemTable, groups: tuple[str, ...], console: Console) -> list[str]:
    """Ids of all items of some groups; says which other names the same group may have.

    Raises:
        DataError: If the archive does not know one of them; then nothing was deleted.
    """
    items = table.select(["id", *GROUP])
    check_groups(items, groups)
    found = of_groups(items, groups)
    if others := others_of_their_number(items, found):
        console.print(
            f"not deleted: items of group {', '.join(map(repr, others))}, which has the same number. Those that an "
            "earlier release added may be of the same patient or study: then delete that group too"
        )
    members: list[str] = items.filter(pa.array(found))["id"].to_pylist()
    return members


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()  # editors of Windows mark UTF-8 files
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); correct --ids-file") from error


def verify(archive: str, *, features: str | None = None, pairs: str | None = None) -> None:
    """Look at everything in an archive; exit with 1 if a check failed.

    Args:
        archive: folder or s3://bucket/prefix.
        features: feature shards whose items are hashed again and compared with the archive.
        pairs: the same of pair shards, which are encoded first; without either, a few items whose pair shards are at
            hand.
    """
    location = Location(archive)
    source = None if features is None and pairs is None else Source.of(features, pairs)
    report = verify_archive(location, source, Console(stderr=True))
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(verify_table(report, f"{location}"))
    if report.failed:
        sys.exit(1)


COMMANDS: Mapping[str, Callable[..., None]] = {
    command.__name__: command for command in (build, add, upsert, delete, info, verify, search, serve)
}
_EXTRA = ("faiss", "fastapi", "lancedb", "pyarrow", "python_multipart", "uvicorn")
"""What the extra ``archive`` brings."""


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    Args:
        args: The command line after the program's name, by default the process's own.
    """
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"mcmfh-archive: error: {', '.join(missing)} missing: pip install 'mcmfh-lightning[archive]'\n"
        )
        sys.exit(2)
    run_subcommand("mcmfh-archive", COMMANDS, args)

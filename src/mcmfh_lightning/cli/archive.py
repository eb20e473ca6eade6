"""``mcmfh-archive``: show, check, search and serve an archive.

`archive_items` has the commands that change it, `archive_versions` those that keep versions and exchange archives.

A subcommand imports its parts itself, so that ``--help`` is quick, and only those that need torch load it.
"""

import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from mcmfh_lightning.archive.results import RERANKED, Against, IndexKind, K, Match, Modality
from mcmfh_lightning.cli.archive_items import Names, add, build, delete, reindex, upsert
from mcmfh_lightning.cli.archive_versions import compare, restore, switch, tag, tags
from mcmfh_lightning.cli.command_line import Commands, run_subcommand
from mcmfh_lightning.errors import ConfigError, say, without_controls
from mcmfh_lightning.files import atomic_write

# What the extra `archive` brings.
_EXTRA = ("faiss", "fastapi", "lancedb", "prometheus_client", "pyarrow", "python_multipart", "uvicorn")


def info(
    archive: str,
    *,
    format: Literal["table", "json"] = "table",  # noqa: A002  # the name of the option
    json: Annotated[bool, Parameter(show=False)] = False,
) -> None:
    """Show what an archive holds and what it was made with.

    Args:
        archive: Folder or s3://bucket/prefix.
        format: Kind of output: table, or json with all labels and the encoder's identity.
        json: The name of --format json in the release before.
    """
    from json import dumps

    from mcmfh_lightning.archive.info import Location
    from mcmfh_lightning.archive.show import overview, overview_table
    from mcmfh_lightning.tables import show

    content = overview(Location(archive))
    if json or format == "json":
        sys.stdout.write(dumps(content, indent=1, ensure_ascii=False) + "\n")
    else:
        show(overview_table(content))


def verify(archive: str, *, features: str | None = None, pairs: str | None = None) -> None:
    """Check everything in an archive; exit with 1 if a check failed.

    Args:
        archive: Folder or s3://bucket/prefix.
        features: Feature shards whose items are hashed again and compared with the archive.
        pairs: The same of pair shards, which are encoded first; without either, a few items whose pair shards are on
            this machine.
    """
    from mcmfh_lightning.archive.info import Location
    from mcmfh_lightning.archive.source import Source
    from mcmfh_lightning.archive.verification import verify_archive
    from mcmfh_lightning.shards.verify.report import verify_table
    from mcmfh_lightning.tables import show

    location = Location(archive)
    source = None if features is None and pairs is None else Source(features, pairs)
    report = verify_archive(location, source)
    show(verify_table(report, f"{location}"))
    if report.failed:
        sys.exit(1)


def search(
    archive: str,
    *,
    text: str | None = None,
    image: Path | None = None,
    id: Names = None,  # noqa: A002  # the name of the option
    modality: Modality | None = None,
    match: Match | None = None,
    against: Against | None = None,
    k: int = K,
    radius: int | None = None,
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
    synonyms: Path | None = None,
    device: str = "cpu",
    model: Path | None = None,
    format: Literal["table", "json", "csv", "html"] = "table",  # noqa: A002  # the name of the option
    out: Path | None = None,
) -> None:
    """Find the items nearest to a text, a picture or an item. Give one of --text, --image and --id.

    Args:
        archive: Folder, or s3://bucket/prefix.
        text: What to look for, as a report would say it.
        image: JPEG, PNG or DICOM file to look for similar ones of.
        id: Item of the archive to look for similar ones of; repeat it for several. Their own groups are left out.
        modality: With --id, whether its image or its text is searched by. Default: its image, if it has one.
        match: With --text, whether to search by its code, by its words, or both. Default: both where the archive keeps
            texts, else codes.
        against: Code that the query is compared with: of the case, or of the image or the text alone. Default: both for
            a picture, where those that are the same, or nearly, come first, then cases; the case for a text.
        k: How many to find; ignored if a radius is given.
        radius: Find all within this Hamming distance instead.
        labels: Labels that an item must all have.
        any_labels: Labels of which it must have one.
        since: Earliest date, YYYY-MM-DD.
        until: Latest date, YYYY-MM-DD.
        licences: Licenses of which it must have one.
        groups: Groups (patients, studies, articles) that it must belong to, by their own names.
        without_groups: Groups that it must not belong to.
        splits: Splits that it must be in.
        has_image: Only items that have an image; --has-image false finds those that have none.
        has_text: Only items that have a text; --has-text false finds those that have none.
        rerank: How many of the nearest to rerank by stored relaxed codes, ties included; 0 turns it off.
        offset: How many of the ranking to skip.
        limit: How many to show at most. Default: all that are left.
        index: Kind of index, flat, or hash for codes of at most 24 bits; both find the same. Default: by the number
            of items.
        synonyms: YAML file of lay words for what reports name, as `cardiomegaly: [big heart]`; it adds to the built-in
            table.
        device: Where the query is encoded.
        model: Folder that `mcmfh export` wrote, by which the query is encoded without torch.
        format: Kind of output: table, json and csv are printed; html is one file with pictures, named by --out.
        out: File to write instead of printing.
    """
    from mcmfh_lightning.archive.exporting import BOM, result_csv, result_json, result_page
    from mcmfh_lightning.archive.filters import Filters, QueryError, UnknownError
    from mcmfh_lightning.archive.queries import Query
    from mcmfh_lightning.archive.search import Archive
    from mcmfh_lightning.archive.show import cut_query, no_candidates, result_table
    from mcmfh_lightning.tables import as_text, counted, show

    if format == "html" and out is None:
        raise ConfigError("--format html writes a file: name it by --out")
    names = {"labels": labels, "any_labels": any_labels, "licences": licences, "splits": splits}
    names |= {"groups": groups, "without_groups": without_groups}
    given: dict[str, Any] = {name: tuple(values or ()) for name, values in names.items()}
    try:
        query = Query(
            text=text,
            image=image,
            id=tuple(id) if id else None,
            modality=modality,
            match=match,
            against=against,
            k=k,
            radius=radius,
            filters=Filters(**given, since=since, until=until, has_image=has_image, has_text=has_text),
            rerank=rerank,
            offset=offset,
            limit=limit,
        )
    except QueryError as error:
        raise ConfigError(_with_options(str(error))) from error
    opened = Archive.open(archive, device, index, synonyms, model)
    try:
        result = opened.find(query)
    except UnknownError as error:
        raise UnknownError(_with_options(str(error)), error.public) from error
    _warn(cut_query(result))
    if not result.candidates:
        _warn(no_candidates(result, len(opened), opened.remaining(query), opened.facets().dates))
    if format == "html":
        content = result_page(result, opened.picture)
    elif format == "json":
        content = f"{result_json(result)}\n"
    elif format == "csv":
        content = ("" if out is None else BOM) + result_csv(result)
    elif out is not None:
        content = as_text(result_table(result))
    else:
        show(result_table(result))
        return
    if out is None:
        sys.stdout.write(content)
    else:
        _write(out, content, counted(len(result.hits), "hit"))


def _with_options(message: str) -> str:
    """Name options as the command line does, where Python names arguments."""
    message = message.replace("one of text, image and id", "one of --text, --image and --id")
    return re.sub(r"\b([a-z]+)=(\s?)", r"--\1 ", message)


def _warn(line: str | None) -> None:
    if line is not None:
        sys.stderr.write(f"warning: {without_controls(line)}\n")


def _write(out: Path, content: str, what: str) -> None:
    """Write a file, and say whether there was one."""
    replaced = ", in place of the file that was there" if out.exists() else ""
    with atomic_write(out) as stream:
        stream.write(content.encode())
    say(f"{out}: {what} written{replaced}")


def serve(
    archive: str,
    *others: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    proxy: str | None = None,
    access_log: Path | None = None,
    synonyms: Path | None = None,
    device: str = "cpu",
    model: Path | None = None,
) -> None:
    """Open archives to a browser of this machine, until Ctrl+C.

    The page searches by text, picture or item; programs use the same service (/openapi.json). An archive that is not
    there yet is opened when it is, and changes are shown at once. Nothing of a query is written down. Other machines
    are served only with a token: in a file, or in the variable MCMFH_ARCHIVE_TOKEN.

    Args:
        archive: Folder of the archive, or s3://bucket/prefix.
        others: More archives. Pages are named by the ends of places, or as NAME=PLACE.
        host: Address to listen at.
        port: Port to listen at; 0 takes a free one.
        token_file: File that holds the token that users are asked for.
        proxy: Address of a proxy in front whose header X-Forwarded-For names the client; * trusts any. Without it, all
            clients of a proxy are one.
        access_log: File to which a line of JSON is added for each request: time, client, route, status, never contents.
        synonyms: YAML file of lay words for what reports name, as for search.
        device: Where queries are encoded: cpu, cuda.
        model: Folder that `mcmfh export` wrote, by which queries are encoded without torch.
    """
    from mcmfh_lightning.archive.server.app import create_app, listen, run
    from mcmfh_lightning.archive.server.middleware import TOKEN_VARIABLE, is_loopback, read_token
    from mcmfh_lightning.archive.server.names import named_places
    from mcmfh_lightning.archive.server.observing import AccessLog
    from mcmfh_lightning.archive.server.routes import ServedArchive
    from mcmfh_lightning.archive.words import Synonyms
    from mcmfh_lightning.tables import listed

    _check_encoding(device, model)
    if synonyms is not None:
        Synonyms.load(synonyms)  # a wrong file is an error now, not at the first question
    places = named_places((archive, *others)) if others else {"": archive}
    token = read_token(token_file)
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"--host {host} opens the archive to other machines: give a token (--token-file or {TOKEN_VARIABLE}), "
            "or listen at 127.0.0.1"
        )
    log = None if access_log is None else AccessLog(access_log)
    with listen(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{listener.getsockname()[1]}/"
        shown = without_controls(f"{url} shows {listed(places.values())}; Ctrl+C ends. Research use, not diagnosis.")
        sys.stderr.write(f"{shown}\n")
        served = {name: ServedArchive(place, device, synonyms, model) for name, place in places.items()}
        run(create_app(served, token, log), listener, proxy)


def _check_encoding(device: str, model: Path | None) -> None:
    """Refuse to serve without something that encodes queries.

    Raises:
        ConfigError: If the device cannot be used, or neither torch nor a model is there.
        DataError: If the model is not one.
    """
    if model is None:
        from mcmfh_lightning.archive.search import check_torch

        check_torch()
        from mcmfh_lightning.archive.devices import check_device

        check_device(device)
        return
    from mcmfh_lightning.portable.description import Description

    if device != "cpu":
        raise ConfigError(f"--device {device}: an exported model runs on the cpu, leave it out")
    Description.load(model)


COMMANDS: Commands = {
    command.__name__: command
    for command in (
        build,
        add,
        upsert,
        delete,
        reindex,
        info,
        verify,
        search,
        serve,
        tag,
        tags,
        restore,
        compare,
        switch,
    )
}


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    Args:
        args: The command line after the program's name, by default the process's own.
    """
    if missing := [name for name in _EXTRA if find_spec(name) is None]:
        sys.stderr.write(
            f"mcmfh-archive: error: {', '.join(missing)} missing: pip install 'mcmfh-lightning[archive]'\n"
        )
        sys.exit(2)
    run_subcommand("mcmfh-archive", COMMANDS, args)

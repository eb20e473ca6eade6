"""Subcommands of ``mcmfh-archive`` that keep versions and exchange archives: tag, tags, restore, compare and switch.

A subcommand imports its parts itself, so that ``--help`` is quick.
"""

import shlex
import sys
from pathlib import Path
from typing import Literal

from mcmfh_lightning.archive.results import K, Match
from mcmfh_lightning.errors import say


def tag(archive: str, name: str, *, delete: bool = False) -> None:
    """Name the present version of an archive, so that it is kept and can be restored.

    Args:
        archive: Folder or s3://bucket/prefix.
        name: Name of the version: letters, digits, '-', '_' and dots.
        delete: Take the name off its version instead; the version may then be removed.
    """
    from mcmfh_lightning.archive.info import Location
    from mcmfh_lightning.archive.versions import remove_tag, tag_version
    from mcmfh_lightning.tables import counted

    location = Location(archive)
    if delete:
        removed = remove_tag(location, name)
        say(f"{location}: tag {name} removed; version {removed.version} may be removed from now on")
    else:
        made = tag_version(location, name)
        say(f"{location}: version {made.version} has the tag {name}; {counted(made.items, 'item')}")


def tags(archive: str, *, format: Literal["table", "json"] = "table") -> None:  # noqa: A002  # name of the option
    """List the named versions of an archive.

    Args:
        archive: Folder or s3://bucket/prefix.
        format: Kind of output: table or json.
    """
    from json import dumps

    from mcmfh_lightning.archive.info import Location
    from mcmfh_lightning.archive.versions import list_tags
    from mcmfh_lightning.tables import make_table, show

    location = Location(archive)
    found = list_tags(location)
    if format == "json":
        content = [tag._asdict() | {"time": tag.time.isoformat()} for tag in found]
        sys.stdout.write(dumps(content, indent=1) + "\n")
    elif not found:
        say(f"{location}: no version has a tag; `mcmfh-archive tag` names the present one")
    else:
        rows = [(tag.name, str(tag.version), f"{tag.time:%Y-%m-%d %H:%M} UTC", f"{tag.items:,}") for tag in found]
        show(make_table(str(location), ("tag", "version", "written", "items"), rows, numbers=("version", "items")))


def restore(archive: str, name: str, *, restore_deleted: bool = False) -> None:
    """Make the items of an archive those of a named version; what came after it is still there as earlier versions.

    Args:
        archive: Folder or s3://bucket/prefix.
        name: Name of the version, as `mcmfh-archive tags` lists it.
        restore_deleted: Bring back also items that were deleted from this archive since; without it they stay out.
    """
    from mcmfh_lightning.archive.info import Location
    from mcmfh_lightning.archive.versions import restore_version
    from mcmfh_lightning.tables import counted

    location = Location(archive)
    done = restore_version(location, name, deleted_too=restore_deleted)
    say(f"{location}: restored tag {name}; {counted(len(done.table), 'item')}, version {done.table.version}")
    if done.kept_out:
        verb, stay, them = ("was", "stays", "it") if done.kept_out == 1 else ("were", "stay", "them")
        items = counted(done.kept_out, "item")
        say(f"{items} {verb} deleted from this archive since and {stay} out; --restore-deleted brings {them} back")


def compare(
    old: str,
    new: str,
    *,
    queries: Path,
    k: int = K,
    match: Match | None = None,
    device: str = "cpu",
    old_model: Path | None = None,
    new_model: Path | None = None,
    format: Literal["table", "json"] = "table",  # noqa: A002  # the name of the option
) -> None:
    """Compare what two archives find for the same texts.

    Args:
        old: Folder of an archive, or s3://bucket/prefix, such as the one in use.
        new: The other archive, such as one of a new model.
        queries: Text file with a query a line. Its texts appear in the output and nowhere else.
        k: How many of the first hits to compare.
        match: What is searched: codes, words, or both. Default: as in a search by a text.
        device: Where queries are encoded.
        old_model: Folder that `mcmfh export` wrote of the hasher of the archive OLD, for codes without torch.
        new_model: The same of NEW.
        format: Kind of output: table or json.
    """
    from json import dumps

    from mcmfh_lightning.archive.comparison import compare_archives, medians, read_queries
    from mcmfh_lightning.archive.progress import items_bar
    from mcmfh_lightning.archive.search import Archive
    from mcmfh_lightning.tables import counted, make_table, show

    texts = read_queries(queries)
    named = ((old, old_model), (new, new_model))
    archives = [Archive.open(archive, device, model=model) for archive, model in named]
    with items_bar() as bar:
        task = bar.add_task("searching", total=len(texts))
        found = list(compare_archives(archives[0], archives[1], texts, k, match, lambda: bar.advance(task)))
    overlap, biased = medians(found)
    same = sum(one.same_first for one in found)
    if format == "json":
        content = {"k": k, "median_overlap": overlap, "median_rank_biased_overlap": biased, "same_first": same}
        sys.stdout.write(dumps(content | {"queries": [one._asdict() for one in found]}, indent=1) + "\n")
        return
    rows = [
        (one.query, f"{one.overlap:.2f}", f"{one.rank_biased_overlap:.2f}", "yes" if one.same_first else "no")
        for one in found
    ]
    of = counted(len(found), "query", "queries")
    rows.append((f"median of {of}", f"{overlap:.2f}", f"{biased:.2f}", f"{same:,} of {len(found):,}"))
    title = f"First {k} hits of {old} and {new}"
    columns = ("query", "overlap", "rank-biased", "same first")
    show(make_table(title, columns, rows, numbers=columns[1:]))


def switch(
    link: str, archive: str, *, without_encoder: bool = False, device: str = "cpu", model: Path | None = None
) -> None:
    """Let a link name another archive; to switch back, name the one before.

    A service that was started on the link answers from the new archive as soon as it has loaded it. What was deleted
    from the archive before is deleted from this one too.

    Args:
        link: Symbolic link that the service is started on; made if missing.
        archive: Folder of the archive that it shall name.
        without_encoder: Do not try the encoder of queries first, where the service runs on another machine.
        device: Where queries are encoded.
        model: Folder that `mcmfh export` wrote of that archive's hasher, by which the encoder is tried without torch.
    """
    from mcmfh_lightning.archive.switching import switch_archive
    from mcmfh_lightning.tables import counted

    done = switch_archive(link, archive, device=device, encoder=not without_encoder, model=model)
    say(f"{link}: names {archive} now; {counted(done.items, 'item')}")
    if done.deleted:
        say(
            f"{counted(done.deleted, 'item')} deleted, as from {done.before} earlier; to erase them from the disk: "
            f"mcmfh-archive delete {shlex.quote(archive)} --erase"
        )
    if done.missing:
        say(f"{counted(done.missing, 'item')} of the archive before {'is' if done.missing == 1 else 'are'} not in it")
    if done.before is not None:
        say(f"back: mcmfh-archive switch {shlex.join([link, str(done.before)])}")

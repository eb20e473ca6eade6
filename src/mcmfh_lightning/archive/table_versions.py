"""Versions of a table of LanceDB: the names that some have, their age, and how one becomes the newest again."""

import re
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from mcmfh_lightning.archive.info import Location
from mcmfh_lightning.errors import ConfigError, DataError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*", re.ASCII)
_LONGEST = 100
_MARGIN = timedelta(minutes=1)


def tag_versions(table: Any) -> dict[str, int]:  # noqa: ANN401  # LanceDB's classes differ by release
    """Return the versions that have a name, by it."""
    return {name: int(tag["version"]) for name, tag in table.tags.list().items()}


def check_tag_name(name: str) -> None:
    """Refuse a name that LanceDB, a file system or a shell would read in another way.

    Raises:
        ConfigError: If it is such a name.
    """
    if len(name) > _LONGEST or name.endswith(".lock") or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name[:_LONGEST]!r} cannot name a version: use letters A to Z, digits, '-', '_' and single dots inside, "
            f"{_LONGEST} characters at most"
        )


def check_untagged(table: Any, location: Location) -> None:  # noqa: ANN401  # as above
    """Refuse to erase while versions have names: they keep what is to be erased.

    Raises:
        DataError: If there is one.
    """
    if names := sorted(tag_versions(table)):
        archive = shlex.quote(str(location))
        fixes = "; ".join(f"mcmfh-archive tag {archive} {name} --delete" for name in names)
        raise DataError(
            f"{location}: nothing was erased, because tagged versions keep all that they held ({', '.join(names)}): "
            f"remove the tags, then repeat the command: {fixes}"
        )


def version_times(table: Any) -> Mapping[int, datetime]:  # noqa: ANN401  # as above
    """Return when each version was written."""
    # LanceDB gives local times that do not say so.
    return {int(one["version"]): one["timestamp"].astimezone(UTC) for one in table.list_versions()}


def age_of_tags(table: Any) -> timedelta:  # noqa: ANN401  # as above
    """Return the age of the oldest version that has a name, and a little more; 0 if none has."""
    versions = tag_versions(table).values()
    if not versions:
        return timedelta(0)
    times = version_times(table)
    oldest = min(times[version] for version in versions)
    return datetime.now(UTC) - oldest + _MARGIN


def replace_rows(table: Any, rows: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:  # noqa: ANN401  # as above
    """Make the rows of a table those that are given, in one commit.

    Args:
        table: Table of LanceDB, at its newest version.
        rows: Rows, each id once.
        schema: Columns of the rows and of the table.
    """
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    merge.when_not_matched_by_source_delete().execute(pa.RecordBatchReader.from_batches(schema, rows))

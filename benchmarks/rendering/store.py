"""Storage of results: a file a table, xz-compressed JSON with a line for each run.

A run that several tables declare is stored once, in the file of the table that ran it; every table reads all files.
Of the AP of each query only the searches of the headline are kept, to five decimals: comparisons need no other, and
AP is most of the file.
"""

import lzma
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.protocols import PROTOCOLS
from mcmfh_lightning.files import atomic_write
from mcmfh_lightning.searches import MEASURED
from mcmfh_lightning.sweeps.result import QueryValues, Result, dumped, parse

SUFFIX = ".jsonl.xz"
PLACES: Mapping[str, str] = {
    search: next(name for name in ("unimodal", "asymmetric") if search in {one.name for one in PROTOCOLS[name]})
    for search in MEASURED
}
"""The searches by whose mean systems are compared, and the protocol of each."""
_DECIMALS = 5


def read(folder: Path) -> list[Result]:
    """Read every result of a folder, in the order of their names; a folder that does not exist has none.

    Raises:
        DataError: If a file cannot be used, or a run is stored twice.
    """
    if old := sorted(folder.glob("*.json")):
        raise DataError(f"{old[0]}: a result of an earlier version; move such files to <work>/results and pass --run")
    found = {name: result for of_file in _read_files(folder).values() for name, result in of_file.items()}
    return [found[name] for name in sorted(found)]


def add(folder: Path, table: str, results: Iterable[Result]) -> None:
    """Store results; those of a run that is stored already replace what is there.

    Args:
        folder: An existing folder.
        table: Name of the table that ran them.
        results: New results.

    Raises:
        DataError: If a file of the folder cannot be used.
    """
    files = _read_files(folder)
    changed: dict[Path, dict[str, Result]] = {}
    for result in results:
        stored = (path for path, of_file in files.items() if result.file_name in of_file)
        path = next(stored, folder / f"{table}{SUFFIX}")
        changed[path] = files.setdefault(path, {})
        if result.queries is not None:
            result = replace(result, queries=_kept(result.queries))
        changed[path][result.file_name] = result
    for path, of_file in changed.items():
        lines = [dumped(of_file[name]).replace("\n", "") + "\n" for name in sorted(of_file)]
        with atomic_write(path) as stream:
            stream.write(lzma.compress("".join(lines).encode()))


def _kept(queries: QueryValues) -> QueryValues:
    """Leave out and round the AP of queries; see the text of the module."""
    kept: dict[str, dict[str, list[float | None]]] = {}
    for search, protocol in PLACES.items():
        values = queries.average_precision.get(protocol, {}).get(search)
        if values is not None:
            rounded = [None if value is None else round(value, _DECIMALS) for value in values]
            kept.setdefault(protocol, {})[search] = rounded
    return replace(queries, average_precision=kept)


def _read_files(folder: Path) -> dict[Path, dict[str, Result]]:
    """Read the results by file and by name."""
    places: dict[str, tuple[Path, int]] = {}
    files: dict[Path, dict[str, Result]] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            lines = lzma.decompress(path.read_bytes()).decode().split("\n")[:-1]
        except (lzma.LZMAError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not a file of results ({error}); restore it from git") from error
        files[path] = {}
        for number, line in enumerate(lines, start=1):
            result = parse(line, f"{path}: line {number}")
            first = places.setdefault(result.file_name, (path, number))
            if first != (path, number):
                raise DataError(f"{path}: line {number}: {result.file_name} is in {first[0]} already; remove one")
            files[path][result.file_name] = result
    return files

"""Arrays of a file of codes, as they stand: npz, or Parquet with a row an item. What they mean is told elsewhere."""

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError

KEYS = ("codes", "labels", "groups", "ids")
"""What is read; all else in a file is left alone."""

Array = NDArray[Any]


def read_arrays(path: Path) -> dict[str, Array]:
    """Read those of `KEYS` that a file has; the ending of its name tells the format.

    Args:
        path: ``.npz``, or ``.parquet`` with lists in its columns ``codes`` and ``labels``.

    Returns:
        Arrays by key, without objects.

    Raises:
        DataError: The file or one of these keys cannot be read.
    """
    readers = {".npz": _read_npz, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: files of codes end in .npz or .parquet; save it as one of these")
    if not path.is_file():
        raise DataError(f"{path}: no such file; correct the path")
    return reader(path)


def _read_npz(path: Path) -> dict[str, Array]:
    broken = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)
    try:
        archive = np.load(path, allow_pickle=False)
        known = _known(archive.files)
    except (*broken, AttributeError) as error:  # a lone array, under another name, has no files
        raise DataError(f"{path}: not an npz archive; write it with numpy.savez") from error
    arrays = {}
    with archive:
        for key in known:
            try:
                arrays[key] = archive[key]
            except broken as error:
                mend = "save plain numbers, strings or booleans: objects would need pickle, which is never read"
                raise DataError(f"{path}: {key} cannot be read ({_first_line(error)}); {mend}") from error
    return arrays


def _read_parquet(path: Path) -> dict[str, Array]:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(f"{path}: Parquet needs pyarrow: pip install 'mcmfh-lightning[parquet]'") from error
    try:
        with ParquetFile(path) as file:
            table = file.read(columns=_known(file.schema_arrow.names))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({_first_line(error)}); write it again") from error
    return {key: _column(f"{path}: column {key}", table.column(key)) for key in table.column_names}


def _column(where: str, column: Any) -> Array:  # noqa: ANN401  # pyarrow has no types
    """A column of lists of one length as a matrix, one of plain values as a vector."""
    import pyarrow.compute as pc
    from pyarrow import types

    if column.null_count:
        raise DataError(f"{where} has {column.null_count} empty cells; fill them or leave these rows out")
    kind = column.type
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return _plain(where, column)
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) > 1:
        raise DataError(f"{where} has lists of {min(lengths)} to {max(lengths)} values; give every row as many")
    values = pc.list_flatten(column)
    if values.null_count:
        raise DataError(f"{where} has {values.null_count} empty values in its lists; fill them")
    return _plain(where, values).reshape(len(column), lengths[0] if lengths else 0)


def _plain(where: str, values: Any) -> Array:  # noqa: ANN401  # pyarrow has no types
    array = np.asarray(values.to_numpy())
    if array.dtype == object:
        texts = array.tolist()
        if not all(isinstance(text, str) for text in texts):
            raise DataError(f"{where} is of {values.type}; give numbers, booleans, strings, or lists of them")
        return np.array(texts, dtype=str)
    return array


def _known(names: Collection[str]) -> list[str]:
    return [key for key in KEYS if key in names]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

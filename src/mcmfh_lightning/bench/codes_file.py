"""Read the arrays of a file of codes as they are; `items` says what they mean."""

import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mcmfh_lightning.bench.hdf5_file import read_hdf5
from mcmfh_lightning.bench.keys import KEYS, Array, Keys
from mcmfh_lightning.bench.mat_file import read_mat
from mcmfh_lightning.errors import DataError


def read_arrays(path: Path, keys: Keys = KEYS) -> dict[str, Array]:
    """Read codes and labels, and groups and ids where a file has them; the ending of its name decides the format.

    Args:
        path: ``.npz``, ``.mat``, ``.h5``, ``.hdf5``, or ``.parquet`` with lists in the columns of codes and labels.
        keys: Names of the arrays.

    Returns:
        Arrays by ``codes``, ``labels``, ``groups`` and ``ids``, without objects.

    Raises:
        DataError: If the file or one of these arrays cannot be read, or codes or labels are missing.
    """
    readers = {
        ".npz": _read_npz,
        ".parquet": _read_parquet,
        ".mat": read_mat,
        ".h5": read_hdf5,
        ".hdf5": read_hdf5,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: files of codes end in .npz, .parquet, .mat, .h5 or .hdf5; save it as one of these")
    if not path.is_file():
        raise DataError(f"{path}: no such file; correct the path")
    arrays = reader(path, keys)
    return {key: arrays[name] for key, name in asdict(keys).items() if name in arrays}


def _read_npz(path: Path, keys: Keys) -> dict[str, Array]:
    broken = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)
    try:
        archive = np.load(path, allow_pickle=False)
        names = archive.files
    except (*broken, AttributeError) as error:  # a lone array, under another name, has no files
        raise DataError(f"{path}: not an npz archive; write it with numpy.savez") from error
    arrays = {}
    with archive:
        for name in keys.names_in(path, names):
            try:
                arrays[name] = archive[name]
            except broken as error:
                advice = "save plain numbers, strings or booleans: objects would need pickle, which is never read"
                raise DataError(f"{path}: {name} cannot be read ({_first_line(error)}); {advice}") from error
    return arrays


def _read_parquet(path: Path, keys: Keys) -> dict[str, Array]:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(f"{path}: Parquet needs pyarrow: pip install 'mcmfh-lightning[parquet]'") from error
    try:
        with ParquetFile(path) as file:
            table = file.read(columns=keys.names_in(path, file.schema_arrow.names))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({_first_line(error)}); write it again") from error
    return {name: _column(f"{path}: column {name}", table.column(name)) for name in table.column_names}


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


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

"""Files of codes: NumPy, Parquet, MATLAB and HDF5. Readers give arrays as they are; `codes` interprets them.

MATLAB stores matrices column by column and HDF5 row by row: an (n, K) matrix of MATLAB is a (K, n) data set, of h5py an
(n, K) one. A file of MATLAB says so in its first bytes, and a data set of MATLAB in its attribute ``MATLAB_class``.
"""

import warnings
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError, McmfhError
from mcmfh_lightning.files import atomic_write
from mcmfh_lightning.literals import read_literal
from mcmfh_lightning.tables import listed

Array = NDArray[Any]

_HEADER = b"MATLAB 7.3 MAT-file"
_NUMBERS = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
_CELLS = "is a cell array; save numbers as a matrix, texts as a cell array of char vectors"


@dataclass(frozen=True)
class Keys:
    """Names under which a file holds its arrays.

    Args:
        codes: Name of the codes.
        labels: Name of the label sets.
        groups: Name of the groups; an empty one, '', leaves them out.
        ids: Name of the ids; an empty one, '', leaves them out.
    """

    codes: str = "codes"
    labels: str = "labels"
    groups: str | None = "groups"
    ids: str | None = "ids"

    def names_in(self, path: Path, names: Collection[str]) -> list[str]:
        """Choose what is read of a file.

        Args:
            path: The file, for messages.
            names: All that it holds.

        Returns:
            Names of the codes, of the labels, and of the groups and ids that are there.

        Raises:
            DataError: If codes or labels are missing, or groups or ids under a name that the user gave.
        """
        # null is what the release before took for no name.
        wanted = {key: name for key, name in asdict(self).items() if name and (name != "null" or name in names)}
        for key, name in wanted.items():
            if name not in names and (key in ("codes", "labels") or name != getattr(KEYS, key)):
                there = listed(sorted(names)) or "nothing"
                raise DataError(
                    f"{path}: has no {name}; it holds {there}: add {key} under this name, or pass another "
                    f"with --query-keys.{key} or --database-keys.{key}"
                )
        return [name for name in dict.fromkeys(wanted.values()) if name in names]

    def where(self, path: Path, key: str) -> str:
        """Name the file and one of its arrays, for a message.

        Args:
            path: The file.
            key: ``codes``, ``labels``, ``groups`` or ``ids``.

        Returns:
            File and key, and the array's own name where it differs.
        """
        name = asdict(self)[key]
        return f"{path}: {key}" if name == key else f"{path}: {key} ({name})"


KEYS = Keys()
"""The names that files have where the user gives no others."""


def read_arrays(path: Path, keys: Keys = KEYS) -> dict[str, Array]:
    """Read codes and labels, and groups and ids where a file has them; the ending of its name decides the format.

    Args:
        path: ``.npz``, ``.mat``, ``.h5``, ``.hdf5``, or ``.parquet`` with lists in the columns of codes and labels.
        keys: Names of the arrays.

    Returns:
        Arrays by ``codes``, ``labels``, ``groups`` and ``ids``, without objects.

    Raises:
        DataError: If the file or one of these arrays cannot be read, codes or labels are missing, or nothing says
            whether a row or a column is an item.
    """
    mat = _read_mat, "a MATLAB file", "MATLAB files need SciPy and h5py", "mat"
    hdf5 = _read_hdf5, "HDF5", "HDF5 files need h5py", "mat"
    formats = {
        ".npz": (_read_npz, "an npz archive", "", ""),
        ".parquet": (_read_parquet, "Parquet", "Parquet needs pyarrow", "parquet"),
        ".mat": mat,
        ".h5": hdf5,
        ".hdf5": hdf5,
    }
    if path.suffix.lower() not in formats:
        raise DataError(f"{path}: files of codes end in .npz, .parquet, .mat, .h5 or .hdf5; save it as one of these")
    if not path.is_file():
        raise DataError(f"{path}: no such file; correct the path")
    reader, what, needs, extra = formats[path.suffix.lower()]
    try:
        arrays = reader(path, keys)
    except McmfhError:
        raise
    except ImportError as error:
        raise DataError(f"{path}: {needs}: pip install 'mcmfh-lightning[{extra}]'") from error
    except Exception as error:  # whatever a library meets in a damaged file: none promises a kind of error
        raise DataError(f"{path}: cannot be read as {what} ({_first_line(error)}); write it again") from error
    return {key: arrays[name] for key, name in asdict(keys).items() if name in arrays}


def write_codes(path: Path, codes: Array, labels: Array, groups: Array, ids: Array) -> None:
    """Write a ``.npz`` that `read_arrays` reads without names of arrays, atomically.

    Args:
        path: The file; one of the same name is replaced.
        codes: (n, num_bits) uint8, bits 0 and 1.
        labels: (n, num_labels) uint8, 0 and 1.
        groups: (n,) integers.
        ids: (n,) strings.
    """
    with atomic_write(path) as stream:
        np.savez_compressed(stream, codes=codes, labels=labels, groups=groups, ids=ids)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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
                arrays[name] = read_literal(partial(archive.__getitem__, name))
            except broken as error:
                advice = "save plain numbers, strings or booleans: objects would need pickle, which is never read"
                raise DataError(f"{path}: {name} cannot be read ({_first_line(error)}); {advice}") from error
    return arrays


def _read_parquet(path: Path, keys: Keys) -> dict[str, Array]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        table = file.read(columns=keys.names_in(path, file.schema_arrow.names))
    return {name: _column(f"{path}: column {name}", table.column(name)) for name in table.column_names}


def _column(where: str, column: Any) -> Array:  # noqa: ANN401  # pyarrow has no types
    """Read a column of lists of one length as a matrix, one of plain values as a vector."""
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


def _read_mat(path: Path, keys: Keys) -> dict[str, Array]:
    """Read a MATLAB file of any version: 7.3 is HDF5, earlier ones are read by SciPy."""
    import h5py
    from scipy import io

    if h5py.is_hdf5(path):
        return _read_hdf5(path, keys)
    with path.open("rb") as file, warnings.catch_warnings():
        # SciPy warns of a variable that it cannot read and of a name that is there twice, and continues.
        warnings.simplefilter("error")
        names = keys.names_in(path, [name for name, _, _ in io.whosmat(file)])
        # mat_dtype: MATLAB stores doubles that are small whole numbers as bytes, which would look like packed ones.
        content = io.loadmat(file, variable_names=names, mat_dtype=True)
        return {name: _plain_mat(f"{path}: {name}", content[name]) for name in names}


def _plain_mat(where: str, value: Any) -> Array:  # noqa: ANN401  # SciPy has no types
    """Read sparse matrices in full, cells of texts as a vector of strings."""
    from scipy import sparse

    if sparse.issparse(value):
        full: Array = value.toarray()
        return full.astype(bool) if full.dtype == np.uint8 else full  # logical; MATLAB has no sparse bytes
    array: Array = value
    if array.dtype.kind == "U":
        return np.char.rstrip(array)  # a character matrix pads its rows with blanks
    if array.dtype == object:
        if not all(cell.dtype.kind == "U" and cell.size <= 1 for cell in array.flat):
            raise DataError(f"{where} {_CELLS}")
        return np.array([str(cell[0]) if cell.size else "" for cell in array.flat], dtype=str)
    return array


def _read_hdf5(path: Path, keys: Keys) -> dict[str, Array]:
    """Read arrays of an HDF5 file; one in a folder of it is called ``folder/name``."""
    import h5py

    with h5py.File(path, "r") as file:
        names = keys.names_in(path, _array_names(file))
        with path.open("rb") as raw:
            of_matlab = raw.read(len(_HEADER)) == _HEADER
        arrays = {name: _array(f"{path}: {name}", file[name], of_matlab=of_matlab) for name in names}
        marked = "MATLAB_class" in file[keys.codes].attrs
    if not marked:
        _check_rows(path, keys, arrays)
    return arrays


def _array_names(file: Any) -> list[str]:  # noqa: ANN401  # h5py has no types
    """List data sets and sparse matrices; what MATLAB keeps for itself in ``#refs#`` is left out."""
    names: list[str] = []

    def collect(name: str, node: Any) -> None:  # noqa: ANN401  # h5py has no types
        if not name.startswith("#") and (hasattr(node, "shape") or "MATLAB_sparse" in node.attrs):
            names.append(name)

    file.visititems(collect)
    return names


def _array(where: str, node: Any, *, of_matlab: bool) -> Array:  # noqa: ANN401  # h5py has no types
    if "MATLAB_sparse" in node.attrs:
        return _sparse(node)
    kind = _matlab_class(node)
    if "MATLAB_empty" in node.attrs:
        return np.zeros(tuple(node[...]))  # it stores its shape
    if kind == "cell":
        return np.array([_cell(where, node.file[reference]) for reference in node[...].flat], dtype=str)
    if kind == "char":
        return np.array(_texts(node), dtype=str)
    if kind is not None and kind not in _NUMBERS:
        raise DataError(f"{where} is a MATLAB {kind}; save numbers, a char matrix or a cell array of char vectors")
    if node.dtype.kind in "OS":
        return np.asarray(node.asstr()[...], dtype=str)
    values: Array = node[...].astype(bool) if kind == "logical" else node[...]
    return values.T if of_matlab or kind is not None else values


def _matlab_class(node: Any) -> str | None:  # noqa: ANN401  # h5py has no types
    kind: bytes | str | None = node.attrs.get("MATLAB_class")
    return kind.decode() if isinstance(kind, bytes) else kind


def _sparse(group: Any) -> Array:  # noqa: ANN401  # h5py has no types
    """Read a sparse matrix of MATLAB in full: values, their rows, and where each column begins."""
    from scipy.sparse import csc_matrix

    starts = group["jc"][...]
    shape = int(group.attrs["MATLAB_sparse"]), len(starts) - 1
    if "data" not in group:  # not one value differs from 0
        return np.zeros(shape)
    full: Array = csc_matrix((group["data"][...], group["ir"][...], starts), shape=shape).toarray()
    return full.astype(bool) if _matlab_class(group) == "logical" else full


def _cell(where: str, node: Any) -> str:  # noqa: ANN401  # h5py has no types
    if _matlab_class(node) != "char":
        raise DataError(f"{where} {_CELLS}")
    if "MATLAB_empty" in node.attrs:
        return ""
    (text,) = _texts(node)
    return text


def _texts(node: Any) -> list[str]:  # noqa: ANN401  # h5py has no types
    """Read the rows of a char matrix, which is stored transposed as UTF-16, padded with blanks."""
    return [row.astype("<u2").tobytes().decode("utf-16-le").rstrip() for row in np.atleast_2d(node[...].T)]


def _check_rows(path: Path, keys: Keys, arrays: dict[str, Array]) -> None:
    """Refuse equal shapes of codes and labels that are transposed as likely as not.

    With different shapes the number of rows, which must be equal, says which dimension the items are.
    """
    codes, labels = arrays[keys.codes], arrays[keys.labels]
    if codes.shape != labels.shape or codes.ndim != 2 or codes.shape[0] > codes.shape[1]:
        return
    rows, columns = codes.shape
    others = [arrays[name] for name in (keys.groups, keys.ids) if name in arrays]
    if rows == columns or not any(other.size == rows for other in others):
        raise DataError(
            f"{path}: {keys.codes} and {keys.labels} are both of shape {rows} x {columns}, and nothing says whether "
            "an item is a row or, as MATLAB's h5write stores it, a column; save the file as .npz with a row an item"
        )

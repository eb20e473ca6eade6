"""Read files of codes in HDF5: those of MATLAB 7.3, whose arrays are transposed, and others.

MATLAB stores matrices column by column and HDF5 row by row: an (n, K) matrix of MATLAB is a (K, n) data set, of h5py an
(n, K) one. A file of MATLAB says so in its first bytes, and a data set of MATLAB in its attribute ``MATLAB_class``.
"""

from pathlib import Path
from typing import Any

import numpy as np

from mcmfh_lightning.bench.keys import Array, Keys
from mcmfh_lightning.errors import DataError, McmfhError

_HEADER = b"MATLAB 7.3 MAT-file"
_NUMBERS = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}


def read_hdf5(path: Path, keys: Keys) -> dict[str, Array]:
    """Read arrays of an HDF5 file; one in a folder of it is called ``folder/name``.

    Args:
        path: The file.
        keys: Names of the arrays.

    Returns:
        Arrays by their own name, with a row an item.

    Raises:
        DataError: If the file or one of the arrays cannot be read, codes or labels are missing, or nothing says whether
            a row or a column is an item.
    """
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{path}: HDF5 files need h5py: pip install 'mcmfh-lightning[mat]'") from error
    try:
        with h5py.File(path, "r") as file:
            names = keys.names_in(path, _array_names(file))
            with path.open("rb") as raw:
                of_matlab = raw.read(len(_HEADER)) == _HEADER
            arrays = {name: _array(f"{path}: {name}", file[name], of_matlab=of_matlab) for name in names}
            marked = "MATLAB_class" in file[keys.codes].attrs
    except McmfhError:
        raise
    except Exception as error:  # h5py passes on whatever the C library reports of a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: cannot be read as HDF5 ({reason}); write it again") from error
    if not marked:
        _check_rows(path, keys, arrays)
    return arrays


def _array_names(file: Any) -> list[str]:  # noqa: ANN401  # h5py has no types
    """Data sets and sparse matrices; what MATLAB keeps for itself in ``#refs#`` is left out."""
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
    """A sparse matrix of MATLAB, in full: values, their rows, and where each column begins."""
    from scipy.sparse import csc_matrix

    starts = group["jc"][...]
    shape = int(group.attrs["MATLAB_sparse"]), len(starts) - 1
    if "data" not in group:  # not one value differs from 0
        return np.zeros(shape)
    full: Array = csc_matrix((group["data"][...], group["ir"][...], starts), shape=shape).toarray()
    return full.astype(bool) if _matlab_class(group) == "logical" else full


def _cell(where: str, node: Any) -> str:  # noqa: ANN401  # h5py has no types
    if _matlab_class(node) != "char":
        raise DataError(f"{where} is a cell array; save numbers as a matrix, texts as a cell array of char vectors")
    if "MATLAB_empty" in node.attrs:
        return ""
    (text,) = _texts(node)
    return text


def _texts(node: Any) -> list[str]:  # noqa: ANN401  # h5py has no types
    """Rows of a char matrix, which is stored transposed as UTF-16, padded with blanks."""
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

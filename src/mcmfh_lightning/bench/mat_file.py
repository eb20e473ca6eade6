"""Read files of codes that MATLAB or `scipy.io.savemat` wrote."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from mcmfh_lightning.bench.hdf5_file import read_hdf5
from mcmfh_lightning.bench.keys import Array, Keys
from mcmfh_lightning.errors import DataError, McmfhError


def read_mat(path: Path, keys: Keys) -> dict[str, Array]:
    """Read arrays of a MATLAB file of any version: 7.3 is HDF5, earlier ones are read by SciPy.

    Args:
        path: The file.
        keys: Names of the arrays.

    Returns:
        Arrays by their own name.

    Raises:
        DataError: If the file or one of the arrays cannot be read, or codes or labels are missing.
    """
    try:
        import h5py
        from scipy import io
    except ImportError as error:
        raise DataError(f"{path}: MATLAB files need SciPy and h5py: pip install 'mcmfh-lightning[mat]'") from error
    if h5py.is_hdf5(path):
        return read_hdf5(path, keys)
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # SciPy warns of a variable that it cannot read and of a name that is there twice, and continues.
            warnings.simplefilter("error")
            names = keys.names_in(path, [name for name, _, _ in io.whosmat(file)])
            # mat_dtype: MATLAB stores doubles that are small whole numbers as bytes, which would look like packed ones.
            content = io.loadmat(file, variable_names=names, mat_dtype=True)
            return {name: _plain(f"{path}: {name}", content[name]) for name in names}
    except McmfhError:
        raise
    except Exception as error:  # whatever SciPy's reader meets in a damaged file: it promises no kind of error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: cannot be read as a MATLAB file ({reason}); write it again") from error


def _plain(where: str, value: Any) -> Array:  # noqa: ANN401  # SciPy has no types
    """Sparse matrices in full, cells of texts as a vector of strings."""
    from scipy import sparse

    if sparse.issparse(value):
        full: Array = value.toarray()
        return full.astype(bool) if full.dtype == np.uint8 else full  # logical; MATLAB has no sparse bytes
    array: Array = value
    if array.dtype.kind == "U":
        return np.char.rstrip(array)  # a character matrix pads its rows with blanks
    if array.dtype == object:
        if not all(cell.dtype.kind == "U" and cell.size <= 1 for cell in array.flat):
            raise DataError(f"{where} is a cell array; save numbers as a matrix, texts as a cell array of char vectors")
        return np.array([str(cell[0]) if cell.size else "" for cell in array.flat], dtype=str)
    return array

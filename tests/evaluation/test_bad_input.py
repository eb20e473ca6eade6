"""Whatever a file has wrong ends in one line that names the file, the key and the fix, and exit code 2."""

import pickle
import re
import sys

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import io

from mcmfh_lightning.cli.bench import main
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.codes_files import read_arrays

from .conftest import BITS, ITEMS, LABELS, save

_UNIFORM = np.random.default_rng(0).random((ITEMS, BITS))

BAD_ARRAYS = {
    "no codes": ({"codes": None}, [], "has no codes; it holds groups, ids, labels: add"),
    "no labels": ({"labels": None}, [], "has no labels; it holds codes"),
    "one code": ({"codes": np.ones(ITEMS)}, [], "codes must be a matrix"),
    "class numbers": ({"labels": np.arange(ITEMS)}, [], "labels must be a matrix.*numpy.eye"),
    "text codes": ({"codes": np.full((ITEMS, BITS), "x")}, [], "codes are of type <U1; give numbers"),
    "complex codes": ({"codes": np.ones((ITEMS, BITS), complex)}, [], "codes are of type complex128"),
    "no bits": ({"codes": np.ones((ITEMS, 0))}, [], "codes are empty"),
    "no rows": (
        {"codes": np.ones((0, BITS)), "labels": np.ones((0, LABELS)), "groups": np.ones(0, int), "ids": None},
        [],
        "codes are empty",
    ),
    "rows": ({"labels": np.ones((ITEMS - 1, LABELS))}, [], f"labels has {ITEMS - 1} rows, codes {ITEMS}"),
    "rows of groups": ({"groups": np.arange(3)}, [], f"groups has 3 rows, codes {ITEMS}"),
    "a number for groups": ({"groups": np.array(3)}, [], "groups has no rows, codes"),
    "NaN codes": ({"codes": np.full((ITEMS, BITS), np.nan)}, [], "codes hold NaN or infinite values, first in row 0"),
    "infinite codes": ({"codes": np.diag([np.inf] * ITEMS)[:, :BITS]}, [], "codes hold NaN or infinite.*row 0"),
    "NaN labels": ({"labels": np.full((ITEMS, LABELS), np.nan)}, [], "labels hold NaN or"),
    "float groups": ({"groups": np.linspace(0, 1, ITEMS)}, [], "groups must be a vector of integers or strings"),
    "groups of numbers and text": ({"groups": np.full(ITEMS, "a")}, [], "groups are of type.*as integers or both"),
    "groups in one file": ({"groups": None}, [], "has no groups, the other file has"),
    "outputs of a sigmoid": (
        {"codes": _UNIFORM},
        [],
        "codes: floating-point .* one side of 0 .*subtract the threshold",
    ),
    "outputs of a ReLU": ({"codes": np.maximum(_UNIFORM - 0.5, 0)}, [], r"all on one side of 0 \(from 0 to 0.4"),
    "log probabilities": ({"codes": np.log(_UNIFORM + 1e-9)}, [], "all on one side of 0"),
    "0 and -1": ({"codes": -np.eye(ITEMS, BITS)}, [], "all on one side of 0 .from -1 to"),
    "zeros, bits or signs": ({"codes": np.zeros((ITEMS, BITS))}, [], "all on one side of 0 .from 0 to 0"),
    "0 and 255": ({"codes": 255.0 * (_UNIFORM > 0.5)}, [], "all on one side of 0 .from 0 to 255"),
    "0 and 255 of bytes": ({"codes": (255 * (_UNIFORM > 0.5)).astype("u1")}, [], "neither 0 and 1 nor -1 and 1"),
    "1 and 2": ({"codes": 1 + (_UNIFORM > 0.5).astype(int)}, [], "codes of int64 are neither 0 and 1 nor -1 and 1"),
    "integers 0 and -1": ({"codes": -(_UNIFORM > 0.5).astype(int)}, [], "codes of int64 are neither"),
    "-128": ({"codes": np.where(_UNIFORM > 0.5, -128, 1).astype("i1")}, [], "codes of int8 are neither"),
    "classes 0 and 1": (
        {"labels": np.arange(ITEMS)[:, None] % 2},
        [],
        "labels have one column.*numpy.eye.*--num-labels 1 ",
    ),
    "classes of one column": ({"labels": np.arange(ITEMS)[:, None] % 7.0}, [], "labels have one column.*numpy.eye"),
    "one class": ({"labels": np.ones((ITEMS, 1), bool)}, [], "labels have one column"),
    "bytes of one column": ({"labels": np.ones((ITEMS, 1), "u1")}, [], "one column.*their number if they are packed"),
    "columns for items": ({"labels": np.ones((LABELS, ITEMS))}, [], f"labels has {LABELS} rows.*transpose"),
    "groups of halves": ({"groups": np.arange(ITEMS) / 2}, [], "groups must be a vector of integers or strings"),
    "groups that are missing": ({"groups": np.full(ITEMS, np.nan)}, [], "groups must be a vector of integers"),
    "other names": ({}, ["--database-keys.groups", "patient"], "has no patient; it holds .*--database-keys.groups"),
    "a file for both sides, and two": ({}, ["--all-directions", "x.mat"], "give --query and --database, or one file"),
    "scores": ({"codes": np.full((ITEMS, BITS), 7)}, [], "codes of int64 are neither 0 and 1 nor -1 and 1"),
    "packed, unsaid": ({"codes": np.full((ITEMS, 2), 7, "u1")}, [], "pass --num-bits"),
    "packed labels, unsaid": ({"labels": np.full((ITEMS, 2), 7, "u1")}, [], "pass --num-labels"),
    "bits": ({"codes": np.ones((ITEMS, BITS + 1))}, [], f"codes have {BITS + 1} bits, those of .* {BITS}"),
    "labels": ({"labels": np.ones((ITEMS, LABELS + 1))}, [], f"labels have {LABELS + 1} labels, those of"),
    "other --num-bits": ({}, ["--num-bits", "16"], r"codes: codes of 16 bits are \(n, 2\) packed"),
    "other --num-labels": ({}, ["--num-labels", "16"], "labels: 16 labels are .n, 2. packed"),
    "bits beyond": (
        {"codes": np.full((ITEMS, 2), 255, "u1")},
        ["--num-bits", str(BITS)],
        f"bits set beyond bit {BITS}",
    ),
    "labels beyond": (
        {"labels": np.full((ITEMS, 2), 255, "u1")},
        ["--num-labels", str(LABELS)],
        f"bits set beyond label {LABELS}",
    ),
    "no bits asked for": ({}, ["--num-bits", "0"], "--num-bits must be at least 1"),
    "no labels asked for": ({}, ["--num-labels", "-1"], "--num-labels must be at least 1"),
    "ids and groups": ({}, ["--exclude-same-id"], "has groups.*drop --exclude-same-id"),
    "names": ({}, ["--label-names", "none.txt"], "none.txt: cannot be read"),
}


def _fails(capsys, pattern, query, database, *flags):
    with pytest.raises(SystemExit) as stop:
        main(["rank", "--query", str(query), "--database", str(database), *flags])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith("mcmfh-bench: error: ")
    assert re.search(pattern, error), error
    return error


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(items, tmp_path, capsys, name):
    change, flags, pattern = BAD_ARRAYS[name]
    database = {key: array for key, array in (items["database"] | change).items() if array is not None}
    paths = save(tmp_path / "q.npz", items["query"]), save(tmp_path / "d.npz", database)
    error = _fails(capsys, pattern, *paths, *flags)
    if change:
        assert "d.npz" in error


def test_files_that_are_none(items, tmp_path, capsys):
    good = save(tmp_path / "q.npz", items["query"])
    for name, content, pattern in (
        ("d.npz", b"", "not an npz archive"),
        ("d.npz", b"PK\x03\x04" + b"\0" * 99, "not an npz archive"),
        ("d.npz", pickle.dumps({"codes": [[1]]}), "not an npz archive"),
        ("d.npz", good.read_bytes()[:2000], "not an npz archive"),
        ("d.parquet", b"PAR1", "cannot be read as Parquet"),
        ("d.mat", b"", "cannot be read as a MATLAB file"),
        ("d.mat", b"x" * 400, "cannot be read as a MATLAB file"),
        ("d.mat", b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM", "has no codes; it holds nothing"),
        ("d.mat", b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "cannot be read as a MATLAB file"),
        ("d.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "cannot be read as HDF5"),
        ("d.hdf5", b"", "cannot be read as HDF5"),
        ("d.csv", b"codes", "end in .npz, .parquet, .mat, .h5 or .hdf5"),
    ):
        (tmp_path / name).write_bytes(content)
        assert name in _fails(capsys, pattern, good, tmp_path / name)
    assert "gone.npz" in _fails(capsys, "no such file", tmp_path / "gone.npz", good)
    _fails(capsys, "no such file", good, tmp_path / "gone.parquet")
    (tmp_path / "folder.npz").mkdir()
    _fails(capsys, "no such file", good, tmp_path / "folder.npz")
    np.save(tmp_path / "lone.npy", np.ones((3, 3)))
    (tmp_path / "lone.npy").rename(tmp_path / "lone.npz")
    _fails(capsys, "not an npz archive", good, tmp_path / "lone.npz")


class _Trap:
    """Unpickling this would leave a trace."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_pickles_are_never_read(items, tmp_path, capsys):
    objects = np.empty((ITEMS, 1), dtype=object)
    objects[0] = _Trap()
    bad = items["database"] | {"labels": objects}
    paths = save(tmp_path / "q.npz", items["query"]), save(tmp_path / "d.npz", bad)
    _fails(capsys, "labels cannot be read .*pickle, which is never read", *paths)
    with np.load(paths[1], allow_pickle=True) as archive:
        archive["labels"]
    assert capsys.readouterr().out.split() == ["unpickled"]  # the trap works: above it did not spring


def test_a_damaged_member(items, tmp_path, capsys):
    path = save(tmp_path / "d.npz", items["database"])
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF  # in the data of the first array: the checksum of the archive differs
    path.write_bytes(content)
    _fails(capsys, "codes cannot be read", save(tmp_path / "q.npz", items["query"]), path)


@pytest.mark.parametrize(
    ("column", "values", "pattern"),
    [
        ("codes", [[1.0, -1.0]] * (ITEMS - 1) + [[1.0]], "column codes has lists of 1 to 2 values"),
        ("codes", [[1.0, None]] * ITEMS, f"column codes has {ITEMS} empty values"),
        ("labels", [None] + [[1, 0]] * (ITEMS - 1), "column labels has 1 empty cells"),
        ("labels", [3] * ITEMS, "labels must be a matrix"),
        ("groups", [None] + [1] * (ITEMS - 1), "column groups has 1 empty cells"),
        ("codes", [{"a": 1}] * ITEMS, "column codes is of struct"),
    ],
)
def test_bad_columns(items, tmp_path, capsys, column, values, pattern):
    columns = {key: list(array) if array.ndim == 2 else array for key, array in items["database"].items()}
    pq.write_table(pa.table(columns | {column: values}), tmp_path / "d.parquet")
    query = save(tmp_path / "q.npz", items["query"])
    assert "d.parquet" in _fails(capsys, pattern, query, tmp_path / "d.parquet")


@pytest.mark.parametrize(
    ("name", "write", "pattern"),
    [
        ("d.mat", lambda path: _mat(path, {"a": 1}), "codes .*of type"),
        ("d.mat", lambda path: _mat(path, _CELLS), "codes is a cell array; save numbers"),
        ("d.mat", lambda path: _mat(path, np.eye(2) * 1j), "discards the imaginary part"),
        ("d.mat", lambda path: _mat(path, ["a", "b"]), "codes must be a matrix"),
        ("d.h5", lambda path: _hdf5(path, "string"), "codes is a MATLAB string; save numbers"),
        ("d.h5", lambda path: _hdf5(path, "cell"), "codes is a cell array; save numbers"),
        ("d.h5", lambda path: _hdf5(path, "folder"), "has no codes; it holds codes/a, labels"),
        ("d.h5", lambda path: _hdf5(path, "empty"), "codes are empty"),
        ("d.h5", lambda path: _hdf5(path, "huge"), "cannot be read as HDF5 .*write it again"),
    ],
)  # fmt: skip
def test_foreign_arrays_that_are_no_matrix(items, tmp_path, capsys, name, write, pattern):
    write(tmp_path / name)
    query = save(tmp_path / "q.npz", items["query"])
    assert name in _fails(capsys, pattern, query, tmp_path / name)


def _mat(path, codes):
    io.savemat(path, {"codes": codes, "labels": np.eye(2)})


_CELLS = np.array([np.eye(2), np.eye(3)], dtype=object)


def _hdf5(path, kind):
    """Codes that MATLAB stores in ways of its own, and one of more values than any memory has."""
    with h5py.File(path, "w") as file:
        file["labels"] = np.eye(2, 3)
        if kind == "folder":
            file["codes/a"] = np.eye(2)
            return
        if kind == "huge":
            file.create_dataset("codes", (1 << 40, 1 << 10), chunks=(64, 64), dtype="f8")
            return
        if kind == "cell":
            file["numbers"] = np.eye(2)
            file.create_dataset("codes", data=np.array([[file["numbers"].ref]], dtype=h5py.ref_dtype))
        else:
            file["codes"] = np.array([0, 2], dtype="u8")
        file["codes"].attrs["MATLAB_class"] = np.bytes_("double" if kind == "empty" else kind)
        if kind == "empty":
            file["codes"].attrs["MATLAB_empty"] = np.uint8(1)


@pytest.mark.parametrize("name", ["x.mat", "x.h5"])
def test_truncated_files(items, tmp_path, capsys, name):
    """A file that ends early is refused; between two arrays the format of MATLAB has no mark of its end."""
    path = tmp_path / name
    if name == "x.mat":
        io.savemat(path, items["database"])
    else:
        with h5py.File(path, "w") as file:
            for key in ("codes", "labels", "groups"):
                file[key] = items["database"][key]
    content = path.read_bytes()
    for cut in np.linspace(1, len(content) - 1, 40).astype(int):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError, match=f"{name}: (cannot be read|has no)"):
            read_arrays(path)


@pytest.mark.parametrize(("name", "package"), [("x.mat", "scipy"), ("x.mat", "h5py"), ("x.h5", "h5py")])
def test_mat_without_its_packages(items, tmp_path, capsys, monkeypatch, name, package):
    (tmp_path / name).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, package, None)
    _fails(capsys, r"pip install 'mcmfh-lightning\[mat\]'", tmp_path / name, tmp_path / name)


def test_parquet_without_pyarrow(items, tmp_path, capsys, monkeypatch):
    query = save(tmp_path / "q.parquet", items["query"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    _fails(capsys, r"pip install 'mcmfh-lightning\[parquet\]'", query, query)


def test_flags_that_do_not_fit(items, tmp_path, capsys):
    paths = [save(tmp_path / f"{side}.npz", items[side]) for side in ("query", "database")]
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    _fails(capsys, "2 names, the files have 10 labels", *paths, "--label-names", str(tmp_path / "names.txt"))
    _fails(capsys, "names.txt: cannot be made", *paths, "--out", str(tmp_path / "names.txt"))
    for side in items.values():
        del side["groups"], side["ids"]
    paths = [save(tmp_path / f"{side}.npz", items[side]) for side in ("query", "database")]
    _fails(capsys, "has no ids; add them", *paths, "--exclude-same-id")

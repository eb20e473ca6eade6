"""Whatever a file has wrong ends in one line that names the file, the key and the mend, and exit code 2."""

import pickle
import re
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mcmfh_lightning.bench.cli import main

from .conftest import BITS, ITEMS, LABELS, save

BAD_ARRAYS = {
    "no codes": ({"codes": None}, [], "has no codes; add"),
    "no labels": ({"labels": None}, [], "has no labels; add"),
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
    "NaN codes": ({"codes": np.full((ITEMS, BITS), np.nan)}, [], "codes hold NaN, first in row 0"),
    "NaN labels": ({"labels": np.full((ITEMS, LABELS), np.nan)}, [], "labels hold NaN"),
    "float groups": ({"groups": np.linspace(0, 1, ITEMS)}, [], "groups must be a vector of integers or strings"),
    "groups of numbers and text": ({"groups": np.full(ITEMS, "a")}, [], "groups are of type.*as integers or both"),
    "groups in one file": ({"groups": None}, [], "has no groups, the other file has"),
    "float bits": ({"codes": np.eye(ITEMS, BITS)}, [], "codes: floating-point codes are read by their sign"),
    "scores": ({"codes": np.full((ITEMS, BITS), 7)}, [], "codes of int64 are neither 0 and 1 nor -1 and 1"),
    "packed, unsaid": ({"codes": np.full((ITEMS, 2), 7, "u1")}, [], "pass --num-bits"),
    "packed labels, unsaid": ({"labels": np.full((ITEMS, 2), 7, "u1")}, [], "pass --num-labels"),
    "bits": ({"codes": np.ones((ITEMS, BITS + 1))}, [], f"codes have {BITS + 1} bits, those of .* {BITS}"),
    "labels": ({"labels": np.ones((ITEMS, LABELS + 1))}, [], f"labels have {LABELS + 1} labels, those of"),
    "other --num-bits": ({}, ["--num-bits", "16"], "codes: codes of 16 bits must be"),
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
    "no depth": ({}, ["--k", "0"], "--k must be at least 1"),
    "an empty depth": ({}, ["--k", "[]"], "--k must be at least 1"),
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
        ("d.csv", b"codes", "end in .npz or .parquet"),
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


@pytest.mark.parametrize("line", [[], ["rank"], ["rank", "--nonsense"], ["table"]])
def test_a_wrong_command_line_exits_with_2(line, capsys):
    with pytest.raises(SystemExit) as stop:
        main(line)
    assert stop.value.code == 2

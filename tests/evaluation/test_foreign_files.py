"""Codes of MATLAB and HDF5 files, as MATLAB, SciPy, h5py and published code write them, against npz."""

import json
import shlex

import h5py
import numpy as np
import pytest
from scipy import io, sparse

from mcmfh_lightning.cli.bench import main
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.codes import read_items
from mcmfh_lightning.evaluation.codes_files import read_arrays

from .conftest import BITS, ITEMS, LABELS, random_items, save

FEW = 7
HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Sat Nov 28 12:00:00 2026 HDF5 schema 1.00 ."


def matlab_73(path, arrays, *, header=True, attributes=True):
    """What MATLAB's ``save -v7.3`` writes: 512 bytes of header, transposed data sets, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if sparse.issparse(array):
                node = file.create_group(name)
                node.attrs["MATLAB_sparse"] = np.uint64(array.shape[0])
                kind = "logical" if array.dtype == bool else "double"
                for part, values in (("data", array.data), ("ir", array.indices), ("jc", array.indptr)):
                    if array.nnz or part == "jc":
                        node[part] = values.astype("u1") if values.dtype == bool else values
            elif array.dtype.kind == "U":
                references = []
                for number, text in enumerate(array):
                    letters = file.create_dataset(f"#refs#/{name}{number}", data=_letters(text))
                    letters.attrs["MATLAB_class"] = np.bytes_("char")
                    if not text:
                        letters.attrs["MATLAB_empty"] = np.uint8(1)
                    references.append(letters.ref)
                node = file.create_dataset(name, data=np.array([references], dtype=h5py.ref_dtype))
                kind = "cell"
            else:
                kinds = {"b": "logical", "f8": "double", "f4": "single"}
                kind = kinds.get(array.dtype.str[1:], kinds.get(array.dtype.kind, array.dtype.name))
                stored = np.atleast_2d(array.T) if array.ndim == 1 else array.T  # (n, 1) of MATLAB is (1, n) here
                node = file.create_dataset(name, data=stored.astype("u1") if kind == "logical" else stored)
            if attributes:
                node.attrs["MATLAB_class"] = np.bytes_(kind)
    if header:
        with path.open("r+b") as file:
            file.write(HEADER.ljust(124) + b"\0" * 8 + b"\x00\x02IM")
    return path


def _letters(text):
    """(letters, 1) UTF-16, or the shape of an empty text."""
    encoded = np.frombuffer(text.encode("utf-16-le"), dtype="u2")
    return encoded[:, None] if text else np.zeros(2, dtype="u8")


def v5(path, arrays):
    columns = {name: array[:, None] if array.ndim == 1 and array.dtype.kind != "U" else array
               for name, array in arrays.items()}  # fmt: skip
    io.savemat(path, columns)
    return path


def hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array.astype(object) if array.dtype.kind == "U" else array
    return path


def _doubles(arrays):
    """Everything that MATLAB makes of it where nobody names a class."""
    return {name: array if array.dtype.kind == "U" else array.astype("f8") for name, array in arrays.items()}


def _cells(arrays):
    return arrays | {"ids": np.array(arrays["ids"], dtype=object)}


FILES = {
    "v5": ("x.mat", v5, dict),
    "v5 of doubles": ("x.mat", v5, _doubles),
    "v5 with cells": ("x.mat", lambda path, arrays: (io.savemat(path, arrays), path)[1], _cells),
    "v5 compressed": ("x.mat", lambda path, arrays: (io.savemat(path, arrays, do_compression=True), path)[1], _doubles),
    "v4": ("x.mat", lambda path, arrays: (io.savemat(path, arrays, format="4"), path)[1], _doubles),
    "v5 sparse": ("x.mat", v5, lambda arrays: arrays | {"labels": sparse.csc_matrix(arrays["labels"])}),
    "v5 sparse doubles": ("x.mat", v5, lambda arrays: arrays | {"labels": sparse.csc_matrix(1.0 * arrays["labels"])}),
    "v7.3": ("x.mat", matlab_73, dict),
    "v7.3 of doubles": ("x.mat", matlab_73, _doubles),
    "v7.3 sparse": ("x.mat", matlab_73, lambda arrays: arrays | {"labels": sparse.csc_matrix(arrays["labels"])}),
    "v7.3, header alone": ("x.mat", lambda *a: matlab_73(*a, attributes=False), lambda a: _doubles(a) | {"ids": None}),
    "v7.3, attributes alone": ("x.h5", lambda *a: matlab_73(*a, header=False), dict),
    "HDF5": ("x.h5", hdf5, dict),
    "HDF5 under the name of MATLAB": ("x.MAT", hdf5, _doubles),
    "hdf5": ("x.hdf5", hdf5, dict),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_container_holds_the_same_items(items, tmp_path, kind):
    """Compared with the arrays themselves, packed by NumPy."""
    name, write, change = FILES[kind]
    arrays = items["database"]
    arrays["ids"][3] = ""
    changed = {key: array for key, array in change(arrays).items() if array is not None}
    read = read_items(write(tmp_path / name, changed), None, None)
    np.testing.assert_array_equal(read.codes, np.packbits(arrays["codes"] > 0, axis=1))
    np.testing.assert_array_equal(read.labels, np.packbits(arrays["labels"], axis=1))
    np.testing.assert_array_equal(read.groups, arrays["groups"])
    assert read.groups.dtype.kind == "i"
    if "ids" in changed:
        np.testing.assert_array_equal(read.ids, arrays["ids"])
    assert (read.num_bits, read.num_labels) == (BITS, LABELS)


@pytest.mark.parametrize("write", [v5, matlab_73, hdf5])
def test_packed_bytes_stay_bytes(items, tmp_path, write):
    arrays = items["database"]
    packed = {"codes": np.packbits(arrays["codes"] > 0, axis=1), "labels": np.packbits(arrays["labels"], axis=1)}
    read = read_items(write(tmp_path / "x.mat", packed), BITS, LABELS)
    np.testing.assert_array_equal(read.codes, packed["codes"])
    np.testing.assert_array_equal(read.labels, packed["labels"])
    assert read.reading == "packed bytes"


def test_no_label_at_all_in_a_sparse_matrix(tmp_path):
    none = {"codes": np.array([[1.0, -1.0]] * 3), "labels": sparse.csc_matrix((3, 4))}
    for write in (v5, matlab_73):
        assert not read_items(write(tmp_path / "x.mat", none), None, None).labels.any()


def test_texts_of_a_char_matrix(items, tmp_path):
    """One text a row, padded with blanks; version 7.3 stores letters transposed."""
    arrays = items["query"]
    texts = np.array([f"café {number}" for number in range(len(arrays["ids"]))])
    v5(tmp_path / "x.mat", arrays | {"ids": texts})
    np.testing.assert_array_equal(read_items(tmp_path / "x.mat", None, None).ids, texts)
    matlab_73(tmp_path / "x.mat", {key: arrays[key] for key in ("codes", "labels")})
    with h5py.File(tmp_path / "x.mat", "r+") as file:
        file["ids"] = np.array([[ord(letter) for letter in text.ljust(9)] for text in texts], dtype="u2").T
        file["ids"].attrs["MATLAB_class"] = np.bytes_("char")
    np.testing.assert_array_equal(read_items(tmp_path / "x.mat", None, None).ids, texts)


def published(seed=0):
    """What DCHMT saves at its best epoch: signs of floats, of which a few are exactly 0, and labels of floats."""
    rng = np.random.default_rng(seed)
    query, database = random_items(seed + 1, FEW * 4), random_items(seed + 2, ITEMS)
    other_query, other = random_items(seed + 1, FEW * 4), random_items(seed + 2, ITEMS)
    arrays = {
        "q_img": query["codes"],
        "r_img": database["codes"],
        "q_txt": other_query["codes"],
        "r_txt": other["codes"],
    }
    for name in ("q_txt", "r_txt"):
        arrays[name] = np.where(rng.random(arrays[name].shape) < 0.2, -arrays[name], arrays[name])
    for array in arrays.values():
        array[rng.random(array.shape) < 0.01] = 0
    return {name: array.astype("f4") for name, array in arrays.items()} | {
        "q_l": query["labels"].astype("f4"),
        "r_l": database["labels"].astype("f4"),
    }


DIRECTIONS = {"image_to_text": ("q_img", "r_txt"), "text_to_image": ("q_txt", "r_img"),
              "image_to_image": ("q_img", "r_img"), "text_to_text": ("q_txt", "r_txt")}  # fmt: skip


def _results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("write", [v5, matlab_73, hdf5], ids=["v5", "v7.3", "HDF5"])
@pytest.mark.usefixtures("without_figures")
def test_one_file_for_all_directions_equals_npz(report, tmp_path, capsys, write):
    arrays = published()
    path = write(tmp_path / "results.mat", arrays)
    main(["rank", "--all-directions", str(path), "--k", "5", "--out", str(tmp_path / "report")])
    printed = capsys.readouterr()
    for folder, (query, database) in DIRECTIONS.items():
        items = {"query": {"codes": np.where(arrays[query] >= 0, 1, -1), "labels": arrays["q_l"]},
                 "database": {"codes": np.where(arrays[database] >= 0, 1, -1), "labels": arrays["r_l"]}}  # fmt: skip
        made = _results(tmp_path / "report" / folder)
        assert made["results"] == report(items, "--k", "5")["results"]
        assert made["direction"] == folder.replace("_", " ")
        assert made["query"]["zero_signs"] == (arrays[query] == 0).sum() > 0
        assert f"ties in closed form, {made['direction']}" in printed.out
        if folder != "image_to_text":
            continue
        flags = ["--query-keys.codes", query, "--query-keys.labels", "q_l"]
        flags += ["--database-keys.codes", database, "--database-keys.labels", "r_l", "--k", "5"]
        main(["rank", "--query", str(path), "--database", str(path), *flags, "--out", str(tmp_path / "one")])
        assert _results(tmp_path / "one")["results"] == made["results"]
    assert printed.err.count("(q_img): ") == 1  # said once, though two directions use it
    assert (
        f"{(arrays['q_img'] == 0).sum()} of {arrays['q_img'].size} signs are exactly 0, which count as +1"
        in printed.err
    )


@pytest.mark.usefixtures("without_figures")
def test_names_of_arrays_for_npz_and_parquet(report, items, tmp_path):
    expected = report(items)["results"]
    names = {"codes": "B", "labels": "L", "groups": "patient", "ids": "name"}
    flags = [f"--{side}-keys.{key}={name}" for side in items for key, name in names.items()]
    for suffix in (".npz", ".parquet"):
        paths = [save(tmp_path / f"other-{side}{suffix}", {names[key]: array for key, array in one.items()})
                 for side, one in items.items()]  # fmt: skip
        out = tmp_path / suffix[1:]
        main(["rank", "--query", str(paths[0]), "--database", str(paths[1]), *flags, "--out", str(out)])
        assert _results(out)["results"] == expected
        assert _results(out)["query"]["keys"] == names


@pytest.mark.usefixtures("without_figures")
def test_arrays_in_folders_and_without_groups(items, tmp_path):
    arrays = items["query"]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for key, array in arrays.items():
            file[f"best/{key}"] = array.astype(object) if key == "ids" else array
    with pytest.raises(DataError, match=r"has no codes; it holds best/codes, best/groups, best/ids, best/labels: add"):
        read_arrays(tmp_path / "x.h5")
    out = tmp_path / "out"
    keys = [f"--{side}-keys.{key}={value}" for side in ("query", "database")
            for key, value in (("codes", "best/codes"), ("labels", "best/labels"), ("groups", "null"))]  # fmt: skip
    main(["rank", "--query", str(tmp_path / "x.h5"), "--database", str(tmp_path / "x.h5"), *keys, "--out", str(out)])
    assert _results(out)["interval"]["resampled"] == "queries"


@pytest.mark.parametrize("transposed", [False, True])
def test_equal_shapes_without_a_mark_are_refused(tmp_path, transposed):
    """As many labels as bits: 4 items of 9 bits and 9 labels, or 9 items of 4; nothing in the file decides."""
    rng = np.random.default_rng(0)
    codes, labels = np.sign(rng.normal(size=(4, 9))), rng.random((4, 9)) < 0.5
    arrays = {"codes": codes, "labels": labels}
    if transposed:  # MATLAB's h5write, which leaves no mark
        arrays = {key: array[:, :4].T for key, array in arrays.items()}
        with pytest.raises(DataError, match="4 x 4, and nothing says whether an item is a row or"):
            read_arrays(hdf5(tmp_path / "x.h5", arrays))
        return
    with pytest.raises(DataError, match="4 x 9, and nothing says whether an item is a row or"):
        read_arrays(hdf5(tmp_path / "x.h5", arrays))
    np.testing.assert_array_equal(read_arrays(matlab_73(tmp_path / "x.mat", arrays))["codes"], codes)
    np.testing.assert_array_equal(
        read_arrays(hdf5(tmp_path / "x.h5", arrays | {"groups": np.arange(4)}))["codes"], codes
    )
    long = {"codes": np.tile(codes, (5, 1)), "labels": np.tile(labels, (5, 1))}
    np.testing.assert_array_equal(read_arrays(hdf5(tmp_path / "x.h5", long))["codes"], long["codes"])


def test_transposed_by_h5write_is_refused(items, tmp_path):
    arrays = {key: items["query"][key].T for key in ("codes", "labels")}
    with pytest.raises(DataError, match=f"labels has {LABELS} rows, codes {BITS}.*transpose"):
        read_items(hdf5(tmp_path / "x.h5", arrays), None, None)


@pytest.mark.usefixtures("without_figures")
def test_commands_of_the_page_run_as_written(repository, items, tmp_path, monkeypatch, capsys):
    for side, name in (("query", "q.npz"), ("database", "d.npz")):
        save(tmp_path / name, items[side])
    v5(tmp_path / "results.mat", published())
    page = (repository / "docs" / "concepts" / "ties.md").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in page.splitlines() if line.startswith("    mcmfh-bench rank")]
    assert len(lines) == 3
    monkeypatch.chdir(tmp_path)
    for line in lines:
        main(shlex.split(line)[1:])
        assert "mAP@50" in capsys.readouterr().out
    assert (tmp_path / "report" / "text_to_text" / "results.json").is_file()

"""Python 3.11 now and then loses count of the depth of a literal; what is sound must be read all the same."""

import ast

import numpy as np
import pytest

from mcmfh_lightning.datasets.table.labels import read_printed_list
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.codes_files import read_arrays
from mcmfh_lightning.literals import read_literal
from mcmfh_lightning.shards.members import decode_npy, encode_npy


@pytest.fixture
def losing_count(monkeypatch):
    """Let every second call of `ast.literal_eval` fail as Python 3.11.7 does when it loses count."""
    calls = []
    parse = ast.literal_eval

    def literal_eval(text):
        calls.append(text)
        if len(calls) % 2:
            raise SystemError("AST constructor recursion depth mismatch (before=42, after=39)")
        return parse(text)

    monkeypatch.setattr(ast, "literal_eval", literal_eval)
    return calls


def test_an_array_of_a_shard_is_read(losing_count):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert (decode_npy(encode_npy(array)) == array).all()
    assert losing_count


def test_an_array_of_an_npz_file_is_read(losing_count, tmp_path):
    codes = np.eye(8, dtype=np.uint8)
    np.savez(tmp_path / "codes.npz", codes=codes, labels=codes, groups=np.arange(8), ids=np.arange(8).astype(str))
    arrays = read_arrays(tmp_path / "codes.npz")
    assert (arrays["codes"] == codes).all()
    assert losing_count


def test_a_printed_list_of_labels_is_read(losing_count):
    assert read_printed_list("['Edema', 'Effusion']") == ["Edema", "Effusion"]
    assert losing_count


def test_what_fails_each_time_is_still_an_error():
    def read():
        raise SystemError("AST constructor recursion depth mismatch (before=42, after=39)")

    with pytest.raises(SystemError, match="depth mismatch"):
        read_literal(read)


def test_a_damaged_header_is_still_refused():
    with pytest.raises(DataError, match="cannot be read"):
        decode_npy(b"\x93NUMPY\x01\x00\x10\x00" + b"{'descr': (((((\n" + bytes(64))

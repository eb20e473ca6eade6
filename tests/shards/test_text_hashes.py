"""A split of pairs says which texts are equal, as a split of features does."""

import numpy as np
import pytest

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import PairShardReader, text_hash


@pytest.fixture
def folder(pair_writer, make_pair, tmp_path):
    with pair_writer(tmp_path) as writer:
        for number in range(9):
            writer.write("train", make_pair(number, lacks={2: "image", 6: "text"}.get(number)))
    return tmp_path


def test_hashes_of_all_texts(folder, make_pair):
    expected = [0 if number == 6 else text_hash(make_pair(number).text) for number in range(9)]
    np.testing.assert_array_equal(PairShardReader(folder, "train").text_hashes, expected)
    empty = PairShardReader(folder, "val").text_hashes
    assert (empty.dtype, len(empty)) == (np.int64, 0)


def test_a_damaged_text_is_named(folder, make_pair):
    shard = folder / "train-000-00001.tar"
    content = shard.read_bytes()
    text = make_pair(7).text.encode()
    assert content.count(text) == 1
    shard.write_bytes(content.replace(text, text.replace(b"Finding", b"finding")))
    reader = PairShardReader(folder, "train")
    with pytest.raises(DataError, match=r"train-000-00001\.tar, pair pair-7: its \.txt is damaged \(CRC-32\)"):
        _ = reader.text_hashes

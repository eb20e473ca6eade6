import io
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringDataModule
from PIL import Image
from torch import Tensor

from mcmfh_lightning.encoders import FeatureExtractor
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import (
    DatasetInfo,
    FeatureShardReader,
    Pair,
    PairShardReader,
    PairShardWriter,
    text_hash,
    unpack_bits,
)
from tests.callbacks.encode_pairs import Simple, encode

VOCABULARY = ("normal", "opacity", "effusion")
SIZES = {"train": 7, "val": 3, "test": 1}


def picture(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (8, 8), color=number).save(stream, format="PNG")
    return stream.getvalue()


def write_pairs(folder: Path, lacks: Mapping[int, str]) -> Path:
    """Pair n has a picture of gray n, n letters more than 10 in its text, and labels that are the bits of n."""
    with PairShardWriter(
        folder,
        name="tiny",
        source="https://example.org",
        licence="CC0-1.0",
        settings={"seed": 3},
        label_vocabulary=VOCABULARY,
        normal_label="normal",
        pairs_per_shard=3,
    ) as writer:
        number = 0
        for split, size in SIZES.items():
            for _ in range(size):
                labels = tuple(label for bit, label in enumerate(VOCABULARY) if number >> bit & 1)
                image = None if lacks.get(number) == "image" else picture(number)
                text = None if lacks.get(number) == "text" else "no finding" + "!" * number
                kind = None if image is None else "png"
                pair = Pair(
                    f"p-{number}", image, kind, text, labels, number // 2, None, "here", "CC0-1.0", f"P-{number // 2}"
                )
                writer.write(split, pair)
                number += 1
        writer.skip("no picture", "p-99")
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs", {})


def content(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    readers = {split: FeatureShardReader(folder, split) for split in SIZES}
    rows = {split: dict(reader.gather(np.arange(len(reader)))) for split, reader in readers.items()}
    return {split: {"ids": np.array(readers[split].ids), **rows[split]} for split in SIZES}


def assert_equal_content(one: Path, other: Path) -> None:
    left, right = content(one), content(other)
    for split in SIZES:
        for name, array in left[split].items():
            np.testing.assert_array_equal(array, right[split][name], err_msg=f"{split} {name}")


def test_features_are_those_of_the_pairs(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "features"
    assert encode(pairs, folder) is None
    number = 0
    for split, size in SIZES.items():
        reader, source = FeatureShardReader(folder, split), PairShardReader(pairs, split)
        assert reader.ids == source.ids == [f"p-{number + i}" for i in range(size)]
        rows = reader.gather(np.arange(size))
        np.testing.assert_array_equal(rows["image"], [[number + i, 1] for i in range(size)])
        np.testing.assert_array_equal(rows["text"], [[10 + number + i] for i in range(size)])
        bits = [[(number + i) >> bit & 1 for bit in range(3)] for i in range(size)]
        np.testing.assert_array_equal(unpack_bits(rows["labels"], 3), bits)
        np.testing.assert_array_equal(rows["group"], [(number + i) // 2 for i in range(size)])
        assert reader.group_names == [f"P-{(number + i) // 2}" for i in range(size)]
        np.testing.assert_array_equal(rows["text_hash"], [text_hash(source[i].text) for i in range(size)])
        number += size


def test_items_of_one_modality_have_zeros_for_the_other(tmp_path: Path) -> None:
    """Batches have two items: one batch without any picture, one without any text, one of both kinds, one whole."""

    class Strict(Simple):
        def encode_image(self, image: Tensor) -> Tensor:
            assert len(image) > 0
            return super().encode_image(image)

        def encode_text(self, text: dict[str, Tensor]) -> Tensor:
            assert len(text["length"]) > 0
            return super().encode_text(text)

    lacks = {0: "image", 1: "image", 2: "text", 3: "text", 4: "text", 5: "image", 9: "image", 10: "text"}
    folder = tmp_path / "features"
    encode(write_pairs(tmp_path / "pairs", lacks), folder, Strict())
    number = 0
    for split, size in SIZES.items():
        reader, source = FeatureShardReader(folder, split), PairShardReader(tmp_path / "pairs", split)
        rows = reader.gather(np.arange(size))
        for row in range(size):
            has_image, has_text = lacks.get(number) != "image", lacks.get(number) != "text"
            assert rows["present"][row].tolist() == [has_image, has_text]
            assert rows["image"][row].tolist() == ([number, 1] if has_image else [0, 0])
            assert rows["text"][row].tolist() == ([10 + number] if has_text else [0])
            assert rows["text_hash"][row] == (text_hash(source[row].text or "") if has_text else 0)
            number += 1
        np.testing.assert_array_equal(reader.labels, source.labels)
        np.testing.assert_array_equal(reader.groups, source.groups)
    # Text 10, the only one of test, is not there to be cut.
    assert DatasetInfo.load(folder).settings["texts_truncated"] == {"train": 1, "val": 3, "test": 0}


def test_each_record_is_read_once(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Counter[tuple[tuple[str, ...], int]]()
    getitem = PairShardReader.__getitem__

    def spy(self: PairShardReader, position: int) -> Pair:
        read[self.splits, position] += 1
        return getitem(self, position)

    monkeypatch.setattr(PairShardReader, "__getitem__", spy)
    encode(pairs, tmp_path / "features")
    assert read == {((split,), position): 1 for split, size in SIZES.items() for position in range(size)}


def test_dataset_json_tells_where_the_features_come_from(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "features"
    encode(pairs, folder)
    info, source = DatasetInfo.load(folder), DatasetInfo.load(pairs)
    assert (info.format, info.encoder, info.image_dim, info.text_dim) == ("mcmfh-features", {"name": "simple"}, 2, 1)
    for name in ("name", "source", "licence", "label_vocabulary", "normal_label", "skipped", "skipped_examples"):
        assert getattr(info, name) == getattr(source, name)
    assert info.settings["pairs"] == {"seed": 3}
    # Of 10 + n letters, more than 15 are too many: n = 6 in train, 7 to 9 in val, 10 in test.
    assert info.settings["texts_truncated"] == {"train": 1, "val": 3, "test": 1}


def test_cut_texts_are_said(pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        encode(pairs, tmp_path / "features")
    assert "longer than the encoder's context were cut: 1 of train, 3 of val, 1 of test" in caplog.text
    assert "put that first in each text" in caplog.text


def test_the_folder_of_the_features_is_said(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encode(pairs, tmp_path / "out")
    assert f"features of train 7, val 3, test 1 items: {tmp_path / 'out'}\n" in capsys.readouterr().out


def test_predictions_are_not_kept(pairs: Path, tmp_path: Path) -> None:
    kept = encode(pairs, tmp_path / "features", return_predictions=True)
    assert [len(batches) for batches in kept] == [4, 2, 1]
    assert not any(batch for batches in kept for batch in batches)
    assert len(FeatureShardReader(tmp_path / "features", "train")) == 7


def test_two_processes_write_what_one_writes(pairs: Path, tmp_path: Path) -> None:
    encode(pairs, tmp_path / "one")
    encode(pairs, tmp_path / "two", strategy="ddp_fork", devices=2)
    assert_equal_content(tmp_path / "one", tmp_path / "two")
    one, two = DatasetInfo.load(tmp_path / "one"), DatasetInfo.load(tmp_path / "two")
    assert one.settings == two.settings
    # One pair in test is fewer than there are processes: rank 0 has none.
    assert [shard.name for shard in two.splits["train"].shards] == ["train-000-00000.tar", "train-001-00000.tar"]
    assert [shard.name for shard in two.splits["test"].shards] == ["test-001-00000.tar"]
    assert not list((tmp_path / "two").glob("part-*"))


def test_finished_features_are_left_alone(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "features"
    encode(pairs, folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataError, match="already holds the features of these pairs by this encoder: use it as it is"):
        encode(pairs, folder)
    other = Simple()
    other.identity = {"name": "another"}
    with pytest.raises(
        DataError, match=r"already holds another data set: choose another output_dir \(--model\.output-dir\)$"
    ):
        encode(pairs, folder, other)
    with pytest.raises(DataError, match="already holds another data set"):
        encode(pairs, pairs)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "val-000-00000.tar").unlink()
    with pytest.raises(DataError, match=r"features is not complete: 1 of 3 shards .*\(val-000-00000\.tar\); copy"):
        encode(pairs, folder)


def test_an_interrupted_encoding_is_refused_until_deleted(pairs: Path, tmp_path: Path) -> None:
    class Stops(Simple):
        def encode_text(self, text: dict[str, Tensor]) -> Tensor:
            if text["length"].max() > 19:
                raise KeyboardInterrupt
            return super().encode_text(text)

    folder = tmp_path / "features"
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        encode(pairs, folder, Stops())
    assert not (folder / "dataset.json").exists()
    assert (folder / "train-000-00000.tar").exists()
    with pytest.raises(DataError, match=r"left over from an encoding that did not finish.*delete .*features and run"):
        encode(pairs, folder)
    for path in folder.iterdir():
        path.unlink()
    encode(pairs, folder)
    encode(pairs, tmp_path / "whole")
    assert_equal_content(folder, tmp_path / "whole")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_a_value_that_cannot_be_stored_names_the_pair(pairs: Path, tmp_path: Path, value: float) -> None:
    class Broken(Simple):
        def encode_image(self, image: Tensor) -> Tensor:
            embedding = super().encode_image(image)
            embedding[embedding[:, 0] == 4] = value
            return embedding

    with pytest.raises(DataError, match=r"pair p-4: its image embedding is not finite or exceeds"):
        encode(pairs, tmp_path / "features", Broken())


def test_fast_dev_run_writes_nothing(pairs: Path, tmp_path: Path) -> None:
    encode(pairs, tmp_path / "features", fast_dev_run=True)
    assert not (tmp_path / "features").exists()


def test_what_cannot_end_in_a_whole_data_set_is_refused(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="limit_predict_batches would leave pairs without features"):
        encode(pairs, tmp_path / "features", limit_predict_batches=1)
    with pytest.raises(ValueError, match="set data to PairDataModule"):
        Trainer(accelerator="cpu", logger=False).predict(
            FeatureExtractor(Simple(), str(tmp_path / "features")), datamodule=BoringDataModule()
        )
    with pytest.raises(ValueError, match="set the precision of the encoder"):
        encode(pairs, tmp_path / "features", precision="bf16-mixed")
    assert not (tmp_path / "features").exists()

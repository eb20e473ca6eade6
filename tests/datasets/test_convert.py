import io
import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mcmfh_lightning.datasets import convert as module
from mcmfh_lightning.datasets.collection import Candidate, Collection, SplitRow, apply_rows
from mcmfh_lightning.datasets.convert import convert
from mcmfh_lightning.datasets.splits import SplitPlan
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import DatasetInfo, PairShardReader, PairShardWriter

PAIRS = 40


@pytest.fixture
def collection(tmp_path) -> Collection:
    """40 pairs of 20 studies; every pair has label a or b, some c, one a rare label."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    found = Collection(read={"reports read": 20})
    for number in range(PAIRS):
        path = folder / f"im{number}.png"
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
        labels = ("rare",) if number == 7 else ("a",) if number % 3 else ("b", "c")
        found.candidates.append(Candidate(path.stem, path, f"text {number}", labels, number // 2, "drawn", "CC0"))
    found.skip("missing image file", "gone")
    return found


def rows_of(collection: Collection, dates: bool = True) -> dict[str, SplitRow]:
    names = ("train",) * 8 + ("val", "test")
    return {
        c.id: SplitRow(names[c.group % 10], f"2012-01-{1 + c.group:02d}" if dates else None)
        for c in collection.candidates
    }


def run(
    collection: Collection, out: Path, *, rows: dict[str, SplitRow] | None = None, **changes: object
) -> DatasetInfo:
    """Convert with the splits and dates of ``rows``."""
    collection = apply_rows(collection, rows_of(collection) if rows is None else rows)
    arguments: dict[str, object] = {
        "name": "mini",
        "split": SplitPlan("given"),
        "min_label_count": 2,
        "seed": 0,
        "settings": {"converter": "test"},
        "console": Console(file=io.StringIO()),
    }
    return convert(collection, out, **(arguments | changes))


def read_all(out: Path) -> dict[str, dict]:
    readers = {split: PairShardReader(out, split) for split in ("train", "val", "test")}
    return {split: {reader[i].id: reader[i] for i in range(len(reader))} for split, reader in readers.items()}


def test_pairs_go_to_the_split_of_the_table_with_date_and_untouched_bytes(collection, tmp_path):
    info = run(collection, tmp_path / "out")
    stored = read_all(tmp_path / "out")
    rows = rows_of(collection)
    assert sum(map(len, stored.values())) == PAIRS
    for candidate in collection.candidates:
        pair = stored[rows[candidate.id].split][candidate.id]
        assert pair.image == candidate.image.read_bytes()
        assert (pair.text, pair.group, pair.date) == (candidate.text, candidate.group, rows[candidate.id].date)
        assert pair.labels == (() if "rare" in candidate.labels else candidate.labels)
    assert info.label_vocabulary == ("a", "b", "c")
    assert info.normal_label is None
    assert (info.source, info.licence) == ("drawn", "CC0")


def test_groups_keep_their_names(collection, tmp_path):
    named = collection.copy()
    named.candidates = [replace(c, group_name=f"study {c.group}") for c in collection.candidates]
    run(named, tmp_path / "out")
    stored = [pair for split in read_all(tmp_path / "out").values() for pair in split.values()]
    assert {pair.id: (pair.group_name, pair.group) for pair in stored} == {
        f"im{number}": (f"study {number // 2}", number // 2) for number in range(PAIRS)
    }
    cut = rows_of(named) | {"im0": SplitRow("test", None)}
    with pytest.raises(DataError, match=r"the first is group study 0: im0 in test, im1 in train"):
        run(named, tmp_path / "cut", rows=cut)


def test_a_folder_without_names_of_groups_is_one_that_the_same_options_finished(collection, tmp_path):
    """That of an earlier release: it is used as it is, not refused."""
    info = run(collection, tmp_path / "out")
    named = collection.copy()
    named.candidates = [replace(c, group_name=f"study {c.group}") for c in collection.candidates]
    assert run(named, tmp_path / "out") == info


def test_the_account_is_complete(collection, tmp_path):
    collection.candidates[3].image.write_bytes(b"\xff\xd8\xff broken")
    rows = rows_of(collection)
    del rows["im5"]
    info = run(collection, tmp_path / "out", rows=rows)
    assert info.skipped == {"missing image file": 1, "not in the splits CSV": 1, "undecodable image": 1}
    assert info.skipped_examples["undecodable image"] == ["im3"]
    assert sum(split.pairs for split in info.splits.values()) == PAIRS - 2
    assert info.settings["summary"]["kept"] == {"without a label: all dropped or below the minimum count": 1}
    kept = [c for c in collection.candidates if c.id not in ("im3", "im5")]
    foreign = [(x, y) for x, y in itertools.combinations(kept, 2) if x.group != y.group]
    sharing = sum(bool(set(x.labels) & set(y.labels)) for x, y in foreign) / len(foreign)
    assert info.settings["summary"]["share_probability"]["all"] == pytest.approx(sharing, abs=5e-5)
    assert info.settings["summary"]["label_pairs"]["b"] == sum("b" in c.labels for c in kept)


def test_a_file_is_named_by_its_true_format(collection, tmp_path):
    path = collection.candidates[0].image
    Image.new("L", (8, 8)).save(path, "JPEG")
    run(collection, tmp_path / "out")
    pairs = {key: pair for split in read_all(tmp_path / "out").values() for key, pair in split.items()}
    assert pairs["im0"].image_format == "jpg"
    assert pairs["im1"].image_format == "png"


def test_the_split_by_group_keeps_groups_together_and_ignores_the_table(collection, tmp_path):
    run(collection, tmp_path / "out", split=SplitPlan("group"), seed=3)
    groups = {split: {pair.group for pair in pairs.values()} for split, pairs in read_all(tmp_path / "out").items()}
    assert not groups["train"] & groups["val"]
    assert not (groups["train"] | groups["val"]) & groups["test"]
    assert groups["test"] != {g for g in range(20) if g % 10 == 9}


def test_the_split_by_date_leaves_the_latest_for_the_test(collection, tmp_path):
    rows = rows_of(collection) | {"im0": SplitRow(None, None), "im1": SplitRow(None, None), "im2": SplitRow(None, None)}
    info = run(collection, tmp_path / "out", split=SplitPlan("date"), rows=rows)
    groups = {split: {pair.group for pair in pairs.values()} for split, pairs in read_all(tmp_path / "out").items()}
    assert max(groups["train"]) < min(groups["val"])
    assert max(groups["val"]) < min(groups["test"])
    # group 0 has no date at all; group 1 has the date of its other image
    assert info.skipped["without a date"] == 2
    assert 1 in groups["train"]


def test_a_split_by_date_needs_dates(collection, tmp_path):
    with pytest.raises(DataError, match="no item of the collection has a date"):
        run(collection, tmp_path / "out", split=SplitPlan("date"), rows=rows_of(collection, dates=False))


def test_splits_that_cut_a_group_are_refused(collection, tmp_path):
    rows = rows_of(collection) | {"im0": SplitRow("test", None)}
    with pytest.raises(DataError, match=r"1 of 20 groups .* the first is group 0: im0 in test, im1 in train"):
        run(collection, tmp_path / "out", rows=rows)


def test_a_table_of_another_collection_is_refused(collection, tmp_path):
    with pytest.raises(DataError, match=r"not in the splits CSV: 40.*check the paths"):
        run(collection, tmp_path / "out", rows={"other": SplitRow("train", None)})


def test_an_item_without_a_split_is_skipped(collection, tmp_path):
    rows = rows_of(collection) | {"im4": SplitRow(None, None)}
    assert run(collection, tmp_path / "out", rows=rows).skipped["without a split"] == 1


def test_shares_are_an_argument(collection, tmp_path):
    info = run(collection, tmp_path / "out", split=SplitPlan("date", (50, 0, 50)))
    assert {split: entry.pairs for split, entry in info.splits.items()} == {"train": 20, "test": 20}
    assert info.settings["split_shares"] == [50, 0, 50]


def test_items_of_one_modality_are_kept_and_counted(collection, tmp_path):
    for number in (2, 3):
        collection.candidates[number] = replace(collection.candidates[number], image=None)
    collection.candidates[4] = replace(collection.candidates[4], text=None)
    info = run(collection, tmp_path / "out")
    pairs = {key: pair for split in read_all(tmp_path / "out").values() for key, pair in split.items()}
    assert len(pairs) == PAIRS
    assert (pairs["im2"].image, pairs["im2"].image_format, pairs["im2"].text) == (None, None, "text 2")
    assert pairs["im4"].text is None
    assert pairs["im4"].image == collection.candidates[4].image.read_bytes()
    assert info.settings["summary"]["kept"]["text without an image"] == 2
    assert info.settings["summary"]["kept"]["image without a text"] == 1


def test_a_text_that_no_shard_takes_is_skipped(collection, tmp_path):
    collection.candidates[3] = replace(collection.candidates[3], text="x" * 100_001)
    collection.candidates[4] = replace(collection.candidates[4], text="x" * 100_000)
    assert run(collection, tmp_path / "out").skipped["text over 100,000 characters"] == 1


def test_dropped_labels_are_in_no_vocabulary_and_counted(collection, tmp_path):
    info = run(collection, tmp_path / "out", drop_labels=("b", "absent"))
    assert info.label_vocabulary == ("a", "c")
    carriers = sum("b" in candidate.labels for candidate in collection.candidates)
    assert info.settings["summary"]["dropped_labels"] == {"b": carriers}
    with pytest.raises(DataError, match="drop_labels"):
        run(collection, tmp_path / "out")


def test_an_empty_vocabulary_is_refused(collection, tmp_path):
    with pytest.raises(DataError, match="--min-label-count"):
        run(collection, tmp_path / "out", min_label_count=1000)


def test_the_order_is_a_shuffle_of_the_seed(collection, tmp_path):
    orders = {}
    for out, seed in (("x", 0), ("y", 0), ("z", 1)):
        run(collection, tmp_path / out, seed=seed)
        orders[out] = list(PairShardReader(tmp_path / out, "train").ids)
    assert orders["x"] == orders["y"]
    assert orders["x"] != orders["z"]
    assert orders["x"] != sorted(orders["x"], key=lambda key: int(key[2:]))


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_interrupted_conversion_resumes_to_the_same_bytes(collection, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PairShardWriter", partial(PairShardWriter, pairs_per_shard=8))
    run(collection, tmp_path / "whole")
    written = 0
    write = PairShardWriter.write

    def failing(self, split, pair):
        nonlocal written
        if written == 20:
            raise KeyboardInterrupt
        written += 1
        write(self, split, pair)

    monkeypatch.setattr(PairShardWriter, "write", failing)
    with pytest.raises(KeyboardInterrupt):
        run(collection, tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("*.tar"))) == 2
    with pytest.raises(DataError, match="other settings"):
        run(collection, tmp_path / "parts", seed=1)
    written = -1000
    run(collection, tmp_path / "parts")
    assert written + 1000 == PAIRS - 16  # the two whole shards were not written again
    assert shard_bytes(tmp_path / "parts") == shard_bytes(tmp_path / "whole")


def test_a_finished_folder_is_left_alone(collection, tmp_path):
    out = tmp_path / "out"
    first = run(collection, out)
    before = shard_bytes(out)
    screen = io.StringIO()
    assert run(collection, out, console=Console(file=screen)) == first
    assert "already complete" in screen.getvalue()
    assert shard_bytes(out) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed = 0, not 1"),
        ({"min_label_count": 3}, "min_label_count = 2, not 3"),
        ({"name": "other"}, "name = 'mini', not 'other'"),
        ({"settings": {"converter": "new"}}, "converter = 'test', not 'new'"),
    ],
)
def test_a_finished_folder_of_other_settings_is_refused(collection, tmp_path, change, message):
    run(collection, tmp_path / "out")
    with pytest.raises(DataError, match=message):
        run(collection, tmp_path / "out", **change)


def test_a_finished_folder_of_other_images_is_refused(collection, tmp_path):
    run(collection, tmp_path / "out")
    Image.new("L", (99, 9)).save(collection.candidates[0].image)
    with pytest.raises(DataError, match="images_sha256"):
        run(collection, tmp_path / "out")


def test_a_finished_folder_of_other_texts_is_refused(collection, tmp_path):
    run(collection, tmp_path / "out")
    collection.candidates[0] = replace(collection.candidates[0], text="changed")
    with pytest.raises(DataError, match="items_sha256"):
        run(collection, tmp_path / "out")


def test_a_finished_folder_of_another_table_is_refused(collection, tmp_path):
    run(collection, tmp_path / "out")
    rows = rows_of(collection)
    rows["im0"] = rows["im1"] = SplitRow("test", None)
    with pytest.raises(DataError, match="splits_sha256"):
        run(collection, tmp_path / "out", rows=rows)

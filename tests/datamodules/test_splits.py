from collections import Counter
from pathlib import Path

import pytest

from mcmfh_lightning.datamodules.splits import (
    SplitRow,
    read_splits_csv,
    require_disjoint,
    split_by_date,
    split_by_study,
)
from mcmfh_lightning.errors import DataError


def csv_file(folder: Path, *lines: str) -> Path:
    path = folder / "splits.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_are_read_with_iso_dates(tmp_path):
    path = csv_file(
        tmp_path, "image_id,study_id,study_date,split", "a,CXR1,20111122,train", "b,CXR2,2012-03-04,test", "c,CXR3,,val"
    )
    assert read_splits_csv(path) == {
        "a": SplitRow("train", "2011-11-22"),
        "b": SplitRow("test", "2012-03-04"),
        "c": SplitRow("val", None),
    }


def test_a_table_of_dates_alone_is_enough(tmp_path):
    path = csv_file(tmp_path, "image_id,study_date", "a,20111122")
    assert read_splits_csv(path) == {"a": SplitRow(None, "2011-11-22")}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("image,split", "a,train"), "needs the columns image_id"),
        (("image_id,projection", "a,Frontal"), "needs the columns image_id and split"),
        (("image_id,split", "a,train", "a,train"), "line 3: image id 'a' is listed twice"),
        (("image_id,split", "a,validation"), "line 2: unknown split 'validation'; valid are train, val, test"),
        (("image_id,study_date", "a,20111322"), "line 2: '20111322' is not a date"),
    ],
)
def test_bad_tables_are_refused_with_their_line(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        read_splits_csv(csv_file(tmp_path, *lines))


def test_a_missing_table_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        read_splits_csv(tmp_path / "nowhere.csv")


def test_the_split_by_study_is_stable_when_the_collection_grows():
    small, large = split_by_study(range(500), seed=3), split_by_study(range(5000), seed=3)
    assert all(large[group] == split for group, split in small.items())


def test_the_split_by_study_has_the_documented_shares_and_follows_the_seed():
    drawn = split_by_study(range(20000), seed=0)
    counts = Counter(drawn.values())
    # five standard deviations of a binomial draw around 80 / 10 / 10 %
    assert counts["train"] == pytest.approx(16000, abs=5 * 57)
    assert counts["val"] == pytest.approx(2000, abs=5 * 43)
    assert counts["test"] == pytest.approx(2000, abs=5 * 43)
    assert drawn != split_by_study(range(20000), seed=1)


def test_the_split_by_date_cuts_between_days():
    dates = {group: f"2012-01-{1 + group // 7:02d}" for group in range(200)}
    split_of = split_by_date(dates, dict.fromkeys(dates, 2))
    days = {split: {dates[g] for g in dates if split_of[g] == split} for split in ("train", "val", "test")}
    assert max(days["train"]) < min(days["val"])
    assert max(days["val"]) < min(days["test"])
    counts = Counter(split_of.values())
    assert counts["train"] == pytest.approx(160, abs=7)
    assert counts["val"] == pytest.approx(20, abs=7)


def test_a_study_in_two_splits_is_refused_by_name():
    with pytest.raises(DataError, match="study 7 is in two splits: image a in train, image c in test"):
        require_disjoint({"a": "train", "b": "val", "c": "test"}, {"a": 7, "b": 8, "c": 7})
    require_disjoint({"a": "train", "b": "val", "c": "train"}, {"a": 7, "b": 8, "c": 7})

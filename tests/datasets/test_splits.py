from collections import Counter
from pathlib import Path

import pytest

from mcmfh_lightning.datasets.collection import SplitRow, read_splits_csv
from mcmfh_lightning.datasets.splits import SplitPlan, parse_shares, require_disjoint, split_by_date, split_by_group
from mcmfh_lightning.errors import DataError

SHARES = (80, 10, 10)


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


def test_the_split_by_group_is_stable_when_the_collection_grows():
    small, large = (split_by_group(range(n), 3, SHARES) for n in (500, 5000))
    assert all(large[group] == split for group, split in small.items())


def test_the_split_by_group_has_the_documented_shares_and_follows_the_seed():
    drawn = split_by_group(range(20000), 0, SHARES)
    counts = Counter(drawn.values())
    # five standard deviations of a binomial draw around 80 / 10 / 10 %
    assert counts["train"] == pytest.approx(16000, abs=5 * 57)
    assert counts["val"] == pytest.approx(2000, abs=5 * 43)
    assert counts["test"] == pytest.approx(2000, abs=5 * 43)
    assert drawn != split_by_group(range(20000), 1, SHARES)


def test_the_split_by_date_cuts_between_days():
    dates = {group: f"2012-01-{1 + group // 7:02d}" for group in range(200)}
    split_of = split_by_date(dates, dict.fromkeys(dates, 2), SHARES)
    days = {split: {dates[g] for g in dates if split_of[g] == split} for split in ("train", "val", "test")}
    assert max(days["train"]) < min(days["val"])
    assert max(days["val"]) < min(days["test"])
    counts = Counter(split_of.values())
    assert counts["train"] == pytest.approx(160, abs=7)
    assert counts["val"] == pytest.approx(20, abs=7)


def test_other_shares_are_kept_too():
    drawn = Counter(split_by_group(range(10000), 0, (50, 30, 20)).values())
    assert drawn["train"] == pytest.approx(5000, abs=5 * 50)
    assert drawn["test"] == pytest.approx(2000, abs=5 * 40)
    dates = {group: f"{group:03d}" for group in range(200)}
    assert Counter(split_by_date(dates, dict.fromkeys(dates, 1), (50, 30, 20)).values()) == {
        "train": 100,
        "val": 60,
        "test": 40,
    }


@pytest.mark.parametrize("text", ["80/10", "80/10/10/0", "80/10/5", "a/b/c", "", "110/-5/-5", "0/50/50", "80.5/10/9.5"])
def test_shares_are_three_percentages_with_something_to_train_on(text):
    with pytest.raises(DataError, match="such as 80/10/10"):
        parse_shares(text)


def test_a_plan_refuses_wrong_shares():
    with pytest.raises(ValueError, match="80/10/0"):
        SplitPlan("group", (80, 10, 0))


def test_a_group_in_two_splits_is_refused_by_name():
    splits, groups = {"a": "train", "b": "val", "c": "test", "d": "test"}, {"a": 7, "b": 8, "c": 7, "d": 8}
    with pytest.raises(DataError, match=r"2 of 2 groups .* group 7: a in train, c in test; put all items of a group"):
        require_disjoint(splits, groups)
    with pytest.raises(DataError, match=r"do this$"):
        require_disjoint(splits, groups, fix="do this")
    require_disjoint({"a": "train", "b": "val", "c": "train"}, {"a": 7, "b": 8, "c": 7})

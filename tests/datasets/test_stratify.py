"""Splits of groups in which each split has its share of each label."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.datasets.splits import SplitPlan, assign_splits
from mcmfh_lightning.shards import DatasetInfo, PairShardReader
from mcmfh_lightning.shards.info import SPLITS

from .manifests import make_images, run, write_csv

FREQUENCIES = np.array([0.5, 0.3, 0.1, 0.05, 0.03, 0.02])
SHARES = (80, 10, 10)


def items(groups: int, seed: int = 0) -> list[Candidate]:
    """Items of groups of one to six, whose labels mostly are those of their group."""
    rng = np.random.default_rng(seed)
    made = []
    for group in range(groups):
        common = rng.random(len(FREQUENCIES)) < FREQUENCIES
        for _ in range(1 + rng.poisson(0.7)):
            held = common ^ (rng.random(len(common)) < 0.02)
            names = tuple(f"l{i}" for i in np.flatnonzero(held))
            made.append(Candidate(f"i{len(made)}", None, "t", names, group, "s", "l"))
    return made


def drawn(candidates: Sequence[Candidate], seed: int, *, stratify: bool, shares=SHARES) -> list[Candidate]:
    return assign_splits(Collection(list(candidates)), SplitPlan("group", shares, stratify=stratify), seed)


def shares_of(assigned: Sequence[Candidate], split: str) -> list[float]:
    """The part of each label's items that is in a split, counted item by item."""
    total = Counter(label for item in assigned for label in item.labels)
    inside = Counter(label for item in assigned if item.split == split for label in item.labels)
    return [inside[label] / total[label] for label in sorted(total)]


def splits_of_groups(assigned: Sequence[Candidate]) -> Mapping[int, set[str]]:
    found = defaultdict(set)
    for item in assigned:
        found[item.group].add(item.split)
    return found


def test_shares_of_labels_vary_less_than_in_the_plain_draw_and_are_right_on_average():
    candidates = items(600)
    spread = {}
    for stratify in (False, True):
        runs = [drawn(candidates, seed, stratify=stratify) for seed in range(30)]
        for split, share in zip(("val", "test"), (0.1, 0.1), strict=True):
            found = np.array([shares_of(assigned, split) for assigned in runs])
            spread[stratify, split] = found.std(0)
            if stratify:
                np.testing.assert_allclose(found.mean(0), share, atol=0.025)
        sizes = [sum(item.split == "test" for item in assigned) / len(assigned) for assigned in runs]
        spread[stratify, "size"] = np.std(sizes)
    for split in ("val", "test"):
        assert (spread[True, split] < 0.5 * spread[False, split]).all()
    assert spread[True, "size"] < spread[False, "size"]


@pytest.mark.parametrize("seed", range(10))
def test_groups_are_never_cut_and_no_item_is_lost(seed):
    candidates = items(80, seed)
    assigned = drawn(candidates, seed, stratify=True)
    assert [item.id for item in assigned] == [item.id for item in candidates]
    assert all(len(held) == 1 for held in splits_of_groups(assigned).values())
    assert {item.split for item in assigned} == set(SPLITS)


def test_a_seed_gives_one_draw_whatever_the_order_of_the_rows():
    candidates = items(200)
    first = {item.id: item.split for item in drawn(candidates, 3, stratify=True)}
    assert {item.id: item.split for item in drawn(candidates[::-1], 3, stratify=True)} == first
    assert {item.id: item.split for item in drawn(candidates, 4, stratify=True)} != first


def test_a_rare_label_goes_to_each_split_by_chance():
    """The split of the largest share would get all of it, and the test would never ask about it."""
    candidates = [Candidate(f"i{i}", None, "t", ("often",), i, "s", "l") for i in range(60)]
    candidates[7] = Candidate("i7", None, "t", ("often", "rare"), 7, "s", "l")
    where = Counter(drawn(candidates, seed, stratify=True)[7].split for seed in range(200))
    assert where["train"] == pytest.approx(160, abs=5 * 5.7)  # five standard deviations of a binomial draw
    assert where["test"] > 0
    assert where["val"] > 0


def test_a_split_without_a_share_gets_nothing():
    assigned = drawn(items(100), 0, stratify=True, shares=(70, 0, 30))
    counts = Counter(item.split for item in assigned)
    assert counts["test"] / len(assigned) == pytest.approx(0.3, abs=0.02)
    assert counts["val"] == 0


def test_splits_that_are_not_drawn_cannot_be_stratified():
    with pytest.raises(ValueError, match="splits by date are not drawn"):
        SplitPlan("date", stratify=True)


ROWS = [
    {"id": f"i{i}", "text": "t", "labels": ["common", *(["rare"] if i in (3, 4) else [])], "group": f"g{i // 2}"}
    for i in range(60)
]


def test_the_command_stratifies_unless_asked_otherwise_and_says_how_it_split(tmp_path, capsys):
    make_images(tmp_path)
    path = write_csv(tmp_path / "m.csv", ROWS)
    assert run(tmp_path, path, "--resplit=50/20/30", "--seed=3") == 0
    lines = capsys.readouterr().out.splitlines()
    info = DatasetInfo.load(tmp_path / "out")
    assert info.settings["stratify"] is True
    start = lines.index("splits: groups drawn with seed 3, stratified by label")
    counts = {split: len(PairShardReader(tmp_path / "out", split)) for split in SPLITS}
    assert counts == {"train": 30, "val": 12, "test": 18}
    assert lines[start + 1 : start + 5] == [
        "    split   groups    items  reached  asked for",
        "    train       15       30    50.0%       50 %",
        "    val          6       12    20.0%       20 %",
        "    test         9       18    30.0%       30 %",
    ]
    rare = {split for split in SPLITS for i in range(counts[split]) if "rare" in labels_of(tmp_path / "out", split, i)}
    lacking = [line for line in lines[start + 5 :] if " lacks " in line]
    assert lacking == [f"    {split} lacks 1 label: 'rare'" for split in SPLITS if split not in rare]
    assert run(tmp_path, path, "--resplit=50/20/30", "--seed=3", "--no-stratify", out="plain") == 0
    assert "splits: groups drawn with seed 3\n" in capsys.readouterr().out


def labels_of(out, split: str, index: int) -> Sequence[str]:
    return PairShardReader(out, split)[index].labels


def test_a_plain_draw_is_stored_as_earlier_versions_stored_it(tmp_path, capsys):
    """A folder that one of them converted is complete, and one that was drawn otherwise is never changed."""
    make_images(tmp_path)
    path = write_csv(tmp_path / "m.csv", ROWS)
    assert run(tmp_path, path, "--no-stratify") == 0
    assert set(DatasetInfo.load(tmp_path / "out").settings) == {
        *("converter", "manifest_sha256", "columns", "label_columns", "encoding", "label_separator"),
        *("uncertain_is_present", "normal_labels", "date_formats", "split_names", "split_by", "split_shares"),
        *("min_label_count", "drop_labels", "seed", "images_sha256", "splits_sha256", "items_sha256", "summary"),
    }
    capsys.readouterr()
    assert run(tmp_path, path) == 2
    error = capsys.readouterr().err
    assert "holds a finished conversion with stratify = None, not True: choose another --out, or pass --no-str" in error
    assert run(tmp_path, path, "--no-stratify") == 0
    assert "already complete" in capsys.readouterr().err


def test_given_splits_and_dates_say_so(tmp_path, capsys):
    make_images(tmp_path)
    rows = [{**row, "split": "train" if i < 30 else "test", "date": "2011"} for i, row in enumerate(ROWS)]
    path = write_csv(tmp_path / "m.csv", rows)
    assert run(tmp_path, path) == 0
    out = capsys.readouterr().out
    assert "splits: as given; groups: train 15; val 0; test 15\n" in out
    assert "    test lacks 1 label: 'rare'\n" in out
    assert run(tmp_path, path, "--split-by=date", out="date") == 0
    assert "splits: cut by date, the latest for the test\n" in capsys.readouterr().out

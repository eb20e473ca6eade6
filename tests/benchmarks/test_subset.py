"""benchmarks/subset.py: fewer training pairs, whole groups, and nothing else changed."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mcmfh_lightning.shards import SPLITS, DatasetInfo, FeatureShardReader


@pytest.fixture(scope="module")
def subset(benchmark_file) -> ModuleType:
    return benchmark_file("subset")


def read(folder: Path, split: str) -> dict[str, dict[str, np.ndarray]]:
    """All columns of each pair, by id."""
    reader = FeatureShardReader(folder, split)
    columns = reader.gather(np.arange(len(reader)))
    del columns["index"]  # the position in the folder
    columns |= {name: getattr(reader, name) for name in ("labels", "groups", "text_hashes", "present")}
    columns["names"] = np.array(reader.group_names)
    return {one: {name: column[row] for name, column in columns.items()} for row, one in enumerate(reader.ids)}


def test_a_subset_has_some_training_pairs_and_all_others(subset: ModuleType, features: Path, tmp_path: Path) -> None:
    subset.main(["--features", str(features), "--pairs", "100", "--out", str(tmp_path / "small")])
    for split in SPLITS:
        whole, small = read(features, split), read(tmp_path / "small", split)
        assert len(small) == (100 if split == "train" else len(whole))
        for one, columns in small.items():
            for name, value in columns.items():
                assert np.array_equal(value, whole[one][name])
    names = [DatasetInfo.load(folder).name for folder in (features, tmp_path / "small")]
    assert names[1] == f"{names[0]}-100"  # another row of the tables


def test_groups_stay_whole_and_seeds_differ(subset: ModuleType) -> None:
    groups = np.repeat(np.arange(50), np.arange(50) % 4 + 1)
    rows = subset.draw(groups, 40, seed=0)
    assert len(set(rows.tolist())) == 40
    assert (np.diff(rows) > 0).all()
    cut = [one for one in np.unique(groups[rows]) if (groups[rows] == one).sum() < (groups == one).sum()]
    assert len(cut) <= 1
    assert not np.array_equal(rows, subset.draw(groups, 40, seed=1))


@pytest.mark.parametrize("pairs", [0, 513])
def test_more_pairs_than_there_are(subset: ModuleType, features: Path, tmp_path: Path, capsys, pairs: int) -> None:
    with pytest.raises(SystemExit) as stop:
        subset.main(["--features", str(features), "--pairs", str(pairs), "--out", str(tmp_path / "small")])
    assert stop.value.code == 2
    assert "has 512 training pairs" in capsys.readouterr().err
    assert not (tmp_path / "small").exists()

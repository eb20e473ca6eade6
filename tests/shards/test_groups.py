"""Names of groups next to their numbers; shards of version 2, which have numbers alone, are still read."""

import hashlib
import json

import numpy as np
import pytest
from rich.console import Console

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import FeatureShardReader, PairShardReader
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.packing import group_number
from mcmfh_lightning.shards.verify.run import verify

NAMES = ("P-1009", "P-1010", "7", "O'Hara, Zoë", "P-1013", "-3")


def hashed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("17", 17),
        ("-17", -17),
        ("0", 0),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        *((name, hashed(name)) for name in ("P-17", "017", "-0", "+17", "1_7", "17.0", "\u0661")),
        *((name, hashed(name)) for name in (str(2**63), "9" * 400)),
    ],
)
def test_integers_are_their_own_number_and_other_names_are_hashed(name, number):
    assert group_number(name) == number


@pytest.mark.parametrize("kind", ["pairs", "features"])
def test_shards_of_version_2(earlier_versions, kind):
    folder = earlier_versions / kind
    assert json.loads((folder / "dataset.json").read_text())["format_version"] == 2
    numbers = [hashed(name) for name in NAMES]
    numbers[2], numbers[5] = 7, -3
    seen = set()
    for split, size in (("train", 8), ("val", 2), ("test", 2)):
        reader = (PairShardReader if kind == "pairs" else FeatureShardReader)(folder, split)
        assert len(reader) == size
        assert reader.groups.tolist() == [numbers[int(name.removeprefix("film ")) // 2] for name in reader.ids]
        assert reader.group_names == [str(group) for group in reader.groups]
        seen.update(reader.ids)
        if kind == "pairs":
            assert [pair.group_name for pair in reader] == reader.group_names
            assert [pair.text for pair in reader] == [f"Finding {int(name[-2:])}." for name in reader.ids]
        else:
            assert np.isfinite(reader.gather(np.arange(size))["image"]).all()
    assert seen == {f"film {number:02d}" for number in range(12)}
    report = verify(ShardFolder(folder), Console(quiet=True))
    assert {check.name for check in report.rows if report.result(check) != "ok"} == set()


def test_features_of_version_2_are_trained_on(earlier_versions):
    data = FeatureDataModule(str(earlier_versions / "features"), global_batch_size=4)
    data.setup("fit")
    assert sum(len(batch["group"]) for batch in data.train_dataloader()) == 8


def test_a_conversion_that_an_earlier_release_began_is_refused(pair_writer, make_pair, tmp_path):
    writer = pair_writer(tmp_path)
    for number in range(5):
        writer.write("train", make_pair(number))
    progress = tmp_path / "progress.json"
    progress.write_text(progress.read_text().replace('"format_version": 3', '"format_version": 2'))
    with pytest.raises(DataError, match=r"of a conversion that another release began.*delete .* and convert again"):
        pair_writer(tmp_path)

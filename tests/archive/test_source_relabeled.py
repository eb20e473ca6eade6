"""Archives of relabeled features and pairs: of the same items or refused."""

import csv
from pathlib import Path

import pytest

from mcmfh_lightning.archive.build import build_archive
from mcmfh_lightning.archive.info import Location
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.encoders.spec import read_encoder_spec
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import read_json, write_json
from mcmfh_lightning.shards import SPLITS, DatasetInfo, PairShardReader
from mcmfh_lightning.shards.relabel import shards_sha256
from tests.archive.collection import write_checkpoint, write_features, write_pairs

NUMBERS = range(40)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """Pairs and their features as they were, and relabeled by two tables."""
    write_pairs(tmp_path / "pairs", NUMBERS)
    write_features(tmp_path / "features", NUMBERS)
    note = tmp_path / "features" / "dataset.json"
    content = read_json(note)
    content["settings"] = {"pairs": {}, "pairs_sha256": shards_sha256(DatasetInfo.load(tmp_path / "pairs"))}
    write_json(note, content)
    ids = PairShardReader(tmp_path / "pairs", SPLITS).ids
    for table, labels in (("new", ("odd", "even")), ("other", ("left", "right"))):
        with (tmp_path / f"{table}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([("id", "labels"), *((name, labels[int(name.split()[1]) % 2]) for name in ids)])
        for kind in ("pairs", "features"):
            out = str(tmp_path / f"{table} {kind}")
            command(["relabel", str(tmp_path / kind), "--out", out, "--labels", str(tmp_path / f"{table}.csv")])
    return {path.name: str(path) for path in tmp_path.iterdir() if path.is_dir()}


@pytest.mark.parametrize("pairs", ["pairs", "new pairs"])
def test_relabeled_features_with_their_pairs_have_the_new_labels(
    folders: dict[str, str], pairs: str, tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(tmp_path / "hasher.ckpt")
    source = Source(folders["new features"], folders[pairs])
    settings = {"store_content": False, "keep_relaxed": True, "device": "cpu"}
    build_archive(Location(tmp_path / "archive"), source, checkpoint, read_encoder_spec(None), **settings)
    archive = Archive.open(tmp_path / "archive")
    assert archive.facets().labels == {"odd": 20, "even": 20}
    item = archive.item("pair 007")
    assert item.labels == ("even",)
    assert item.licence == "CC0-1.0"  # of the pairs


@pytest.mark.parametrize(
    ("features", "pairs"), [("features", "new pairs"), ("other features", "new pairs"), ("new features", "other pairs")]
)
def test_labels_of_two_tables_are_refused(folders: dict[str, str], features: str, pairs: str) -> None:
    with pytest.raises(
        DataError, match=r"have different labels: relabel both by the same table \(mcmfh-data relabel\)"
    ):
        Source(folders[features], folders[pairs])


def test_relabeling_does_not_hide_features_of_other_pairs(folders: dict[str, str], tmp_path: Path) -> None:
    other = str(write_pairs(tmp_path / "else", range(1, 41)))
    for features in ("features", "new features"):
        with pytest.raises(DataError, match="was not made of"):
            Source(folders[features], other)
    relabeled = str(tmp_path / "else relabeled")
    table = ["--labels", str(tmp_path / "new.csv"), "--allow-missing", "--allow-unknown"]
    command(["relabel", other, "--out", relabeled, *table])
    with pytest.raises(DataError, match="was not made of"):
        Source(folders["new features"], relabeled)

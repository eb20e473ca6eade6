"""An archive of real films and reports is searched as the metric code ranks it."""

from pathlib import Path

import pytest

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.datasets.collection import read_splits_csv
from mcmfh_lightning.datasets.openi import read_openi
from mcmfh_lightning.shards import Pair, PairShardWriter

from .metric_rankings import compare_with_metric_code
from .phantom_archive import build_archive, untrained_checkpoint

pytestmark = pytest.mark.slow

COUNT = 240
LABELS = ("normal", "Cardiomegaly", "Pulmonary Atelectasis", "Opacity", "Lung")


@pytest.fixture(scope="module")
def real_pairs(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of all of Open-i, some without their film or report, in the splits that are given."""
    real, folder = shared_data / "openi", tmp_path_factory.mktemp("real") / "pairs"
    collection, _ = read_openi(real / "NLMCXR_reports.tgz", real / "images", "mesh_major")
    given = read_splits_csv(real / "splits.csv")
    writer = PairShardWriter(
        folder, name="openi", source="Open-i", licence="CC BY-NC-ND 4.0", settings={}, label_vocabulary=LABELS,
        normal_label="normal", pairs_per_shard=100,
    )  # fmt: skip
    candidates = sorted(
        collection.candidates[:: len(collection.candidates) // COUNT][:COUNT],
        key=lambda one: ("train", "val", "test").index(given[one.id].split),
    )
    for number, one in enumerate(candidates):
        has_image = number % 10 != 3
        writer.write(
            given[one.id].split,
            Pair(
                id=one.id,
                image=one.image.read_bytes() if has_image else None,
                image_format="jpg" if has_image else None,
                text=None if number % 10 == 7 else one.text,
                labels=tuple(label for label in one.labels if label in LABELS),
                group=one.group,
                date=given[one.id].date,
                source=one.source,
                licence=one.licence,
            ),
        )
    writer.close()
    return folder


@pytest.mark.parametrize("num_bits", [16, 64])
def test_searches_are_the_rankings_of_the_metric_code(real_pairs: Path, num_bits: int) -> None:
    """Ids, distances and ties by id, for films and reports against each side, with and without filters."""
    folder = real_pairs.parent
    checkpoint = untrained_checkpoint(folder / f"{num_bits}.ckpt", real_pairs, num_bits)
    archive = Archive.open(build_archive(folder / f"archive{num_bits}", real_pairs, checkpoint))
    assert len(archive) == COUNT
    assert compare_with_metric_code(archive, 20) >= 20 * 3 * 3
    found = archive.search(text="enlarged heart with pleural effusion", match="codes", rerank=0, k=COUNT)
    assert [(hit.distance, hit.item.id) for hit in found.hits] == sorted(
        (hit.distance, hit.item.id) for hit in found.hits
    )
    assert archive.picture(found.hits[0].item.id) is not None or not found.hits[0].item.has_image

"""The archive of `soak`: drawn films with reports, some that stay and some that a writer adds and deletes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from mcmfh_lightning.cli.archive import main as archive_command
from mcmfh_lightning.cli.data import main as data_command
from mcmfh_lightning.cli.train import main as lightning_command
from mcmfh_lightning.datasets.phantom.findings import draw_film
from mcmfh_lightning.datasets.phantom.studies import sample_studies, write_report
from mcmfh_lightning.hashers import TwoTower
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY
from mcmfh_lightning.shards import DatasetInfo

ITEMS = 90
NUM_BITS = 16
STAYING_SPLIT, DELETED_SPLIT = "train", "test"


class Collection(NamedTuple):
    """Items of the archive.

    Attributes:
        staying: Ids of those that stay.
        changing: Ids of those that are added and deleted.
        texts: Reports by id.
        films: PNG files by id.
    """

    staying: Sequence[str]
    changing: Sequence[str]
    texts: Mapping[str, str]
    films: Mapping[str, bytes]


def make_archive(folder: Path) -> Collection:
    """Draw a collection, encode it, and make an archive of the items that stay.

    Writes ``pairs``, ``features`` and ``archive`` into the folder. The hasher has drawn weights.
    """
    items = _draw(folder)
    pairs, features = folder / "pairs", folder / "features"
    data_command(
        ["manifest", "--manifest", str(folder / "items.jsonl"), "--images", str(folder / "films"), "--out", str(pairs)]
    )
    where = ["--data.root", str(pairs), "--model.output_dir", str(features), "--run_dir", str(folder / "encode")]
    lightning_command(["predict", "--config", "experiments/encode_offline.yaml", *where, "--data.num_workers", "0"])
    checkpoint = _checkpoint(folder / "hasher.ckpt", DatasetInfo.load(features))
    shards = ["--features", str(features), "--pairs", str(pairs), "--splits", STAYING_SPLIT]
    archive_command(["build", str(folder / "archive"), "--checkpoint", str(checkpoint), *shards, "--store-content"])
    return items


def _draw(folder: Path) -> Collection:
    """Write films and a table of studies, each with a film and a report and a group of its own."""
    (folder / "films").mkdir(parents=True)
    items = Collection([], [], {}, {})
    with (folder / "items.jsonl").open("w") as table:
        for study in sample_studies(ITEMS, 0):
            name, report = study.images[0], write_report(study)
            film = folder / "films" / f"{name}.png"
            draw_film(study, 0).save(film)
            split = DELETED_SPLIT if study.number % 3 == 0 else STAYING_SPLIT
            items.texts[name] = f"{report.findings} {report.impression}"
            items.films[name] = film.read_bytes()
            (items.changing if split == DELETED_SPLIT else items.staying).append(name)
            labels = sorted(finding.label for finding in study.findings) or ["normal"]
            row = {"id": name, "image": film.name, "text": items.texts[name], "labels": labels, "split": split}
            table.write(json.dumps({**row, "group": f"P-{study.number}"}) + "\n")
    return items


def _checkpoint(path: Path, features: DatasetInfo) -> Path:
    torch.manual_seed(0)
    hasher = TwoTower(NUM_BITS, features.image_dim, features.text_dim, d_model=32)
    stored: dict[str, object] = {"state_dict": hasher.state_dict()}
    hasher.on_save_checkpoint(stored)
    stored[CHECKPOINT_KEY] |= {"encoder": features.encoder, "label_vocabulary": list(features.label_vocabulary)}  # type: ignore[operator]  # a dict
    torch.save(stored, path)
    return path

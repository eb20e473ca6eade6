"""Small archives of drawn films and made-up reports, with an encoder that queries can use."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from mcmfh_lightning import encoders
from mcmfh_lightning.cli.archive import main as archive_command
from mcmfh_lightning.cli.data import main as data_command
from mcmfh_lightning.cli.train import main as lightning_command
from mcmfh_lightning.datamodules import PairDataModule
from mcmfh_lightning.datasets.phantom.findings import draw_film
from mcmfh_lightning.datasets.phantom.studies import sample_studies, write_report
from mcmfh_lightning.encoders.spec import read_encoder_spec
from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY
from mcmfh_lightning.shards import DatasetInfo

from .service import ODD_ID


def write_pairs(folder: Path, studies: int, seed: int = 0) -> Path:
    """Pair shards: some items lack their image, some their text, some their date; two licences."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for study in sample_studies(studies, seed):
        film, number = study.images[0], study.number
        name = ODD_ID if number == 3 else film
        report = write_report(study)
        has_image, has_text = number % 11 != 5, number % 11 != 8
        if has_image:
            draw_film(study, 0).save(folder / "images" / f"{film}.png")
        row = {
            "id": name,
            "image": f"{film}.png" if has_image else None,
            "text": f"{report.findings} {report.impression}" if has_text else None,
            "labels": sorted(finding.label for finding in study.findings) or ["normal"],
            "group": f"P-{number}",
            "date": None if number % 5 == 4 else study.day,
            "split": study.split,
            "licence": "CC0-1.0" if number % 3 else "CC-BY-4.0",
        }
        rows.append(json.dumps({key: value for key, value in row.items() if value is not None}))
    (folder / "phantom.jsonl").write_text("\n".join(rows) + "\n")
    paths = ["--manifest", str(folder / "phantom.jsonl"), "--images", str(folder / "images")]
    data_command(["manifest", *paths, "--out", str(folder / "pairs")])
    return folder / "pairs"


@cache
def towers() -> encoders.Encoder:
    """The package's towers; loading their weights takes half a second."""
    spec = read_encoder_spec(None)
    encoder: encoders.Encoder = getattr(encoders, spec["class_path"].rpartition(".")[2])(**spec["init_args"])
    return encoder


def encode_pairs(pairs: Path, folder: Path) -> Path:
    """Feature shards of the pairs by the package's towers, as `mcmfh predict` writes them."""
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    data = PairDataModule(str(pairs), num_workers=0)
    extractor = encoders.FeatureExtractor(towers(), str(folder))
    Trainer(accelerator="cpu", **quiet).predict(extractor, datamodule=data, return_predictions=False)
    return folder


def untrained_checkpoint(
    path: Path, pairs: Path, num_bits: int = 16, method: type[Hasher] = MCMFH, **more: Any
) -> Path:
    """A hasher with drawn weights, as if it had been fitted on the pairs' embeddings by the package's towers."""
    encoder = towers()
    torch.manual_seed(0)
    hasher = method(num_bits, encoder.image_dim, encoder.text_dim, d_model=32, **more)
    stored = {"state_dict": hasher.state_dict()}
    hasher.on_save_checkpoint(stored)
    identity = json.loads(json.dumps(encoder.identity))
    vocabulary = DatasetInfo.load(pairs).label_vocabulary
    stored[CHECKPOINT_KEY] |= {"encoder": identity, "label_vocabulary": list(vocabulary)}
    torch.save(stored, path)
    return path


def fitted_checkpoint(folder: Path, pairs: Path) -> Path:
    """A hasher that was fitted for a few epochs on the pairs' embeddings by the package's towers.

    Its queries have the codes of items: a film of the archive finds itself first.
    """
    features = encode_pairs(pairs, folder / "features")
    flags = ["--data.root", str(features), "--run_dir", str(folder / "run"), "--data.global_batch_size", "16"]
    flags += ["--trainer.max_epochs", "8", "--trainer.enable_progress_bar", "false", "--model.query_heads", "false"]
    lightning_command(["fit", "--config", "experiments/mcmfh.yaml", *flags])
    return folder / "run" / "fit" / "checkpoints" / "best.ckpt"


def build_archive(folder: Path, pairs: Path, checkpoint: Path, *options: str, features: Path | None = None) -> Path:
    """With ``--store-content`` unless ``options`` say otherwise; without features of the pairs they are encoded."""
    options = options or ("--store-content",)
    if features is not None:
        options += ("--features", str(features))
    archive_command(["build", str(folder), "--checkpoint", str(checkpoint), "--pairs", str(pairs), *options])
    return folder

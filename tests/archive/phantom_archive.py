"""Small archives of drawn films and made-up reports, with an encoder that queries can use."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import yaml

from mcmfh_lightning import encoders
from mcmfh_lightning.cli.archive import main as archive_command
from mcmfh_lightning.cli.data import main as data_command
from mcmfh_lightning.cli.train import main as lightning_command
from mcmfh_lightning.datasets.phantom.findings import draw_film
from mcmfh_lightning.datasets.phantom.studies import sample_studies, write_report
from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY
from mcmfh_lightning.shards import DatasetInfo

ODD_ID = "study 3/film ä.1?"
"""Of an item that has both; it needs quoting in a URL."""


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


def untrained_checkpoint(
    path: Path, pairs: Path, num_bits: int = 16, method: type[Hasher] = MCMFH, **more: Any
) -> Path:
    """A hasher with drawn weights, as if it had been fitted on the pairs' embeddings by the package's towers."""
    spec = yaml.safe_load((files("mcmfh_lightning.lightning_configs") / "model/encoder_offline.yaml").read_text())
    encoder = getattr(encoders, spec["class_path"].rpartition(".")[2])(**spec["init_args"])
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
    features = folder / "features"
    where = ["--data.root", str(pairs), "--model.output_dir", str(features), "--run_dir", str(folder / "encode")]
    lightning_command(["predict", "--config", "experiments/encode_offline.yaml", *where, "--data.num_workers", "0"])
    flags = ["--data.root", str(features), "--run_dir", str(folder / "run"), "--data.global_batch_size", "16"]
    flags += ["--trainer.max_epochs", "8", "--trainer.enable_progress_bar", "false", "--model.query_heads", "false"]
    lightning_command(["fit", "--config", "experiments/mcmfh.yaml", *flags])
    return folder / "run" / "fit" / "checkpoints" / "best.ckpt"


def build_archive(folder: Path, pairs: Path, checkpoint: Path, *options: str) -> Path:
    """With ``--store-content`` unless ``options`` say otherwise."""
    options = options or ("--store-content",)
    archive_command(["build", str(folder), "--checkpoint", str(checkpoint), "--pairs", str(pairs), *options])
    return folder

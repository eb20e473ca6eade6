"""Small pairs and a small tower with batch norms, for the tests of tuning."""

import io
from pathlib import Path

import numpy as np
import timm
import torch
from lightning.pytorch import Trainer, seed_everything
from PIL import Image
from safetensors.torch import save_file

from mcmfh_lightning.datamodules import PairDataModule
from mcmfh_lightning.encoders import ImageTowerTuning, TwoTowerEncoder
from mcmfh_lightning.shards import Pair, PairShardWriter

VOCABULARY = ("normal", "opacity", "nodule", "everywhere", "never")
TEXTS = ("heart size is normal", "left opacity", "lungs are clear", "right pleural effusion")
SIZES = {"train": 24, "val": 12, "test": 6}
TRAINABLE = ["image_tower.blocks.4", "image_tower.conv_head", "image_tower.bn2"]


def write_efficientnet(path: Path) -> Path:
    """Write weights of timm's ``test_efficientnet``, which has batch norms, with statistics of their own."""
    torch.manual_seed(1)
    model = timm.create_model("test_efficientnet")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    save_file(model.state_dict(), path)
    return path


def labels_of(number: int) -> tuple[str, ...]:
    return ("everywhere", *(["normal"] if number % 3 else ["opacity", "nodule"][: 1 + number % 2]))


def write_pairs(folder: Path, *, held_out: int = 0, name: str = "tiny", train: int = SIZES["train"]) -> Path:
    """Gray squares whose brightness decides their labels; ``held_out`` changes the validation and test pairs."""
    with PairShardWriter(
        folder,
        name=name,
        source="tests",
        licence="CC0-1.0",
        settings={},
        label_vocabulary=VOCABULARY,
        normal_label="normal",
        pairs_per_shard=50,
    ) as writer:
        for split, size in (SIZES | {"train": train}).items():
            rng = np.random.default_rng([len(split), 0 if split == "train" else held_out])
            for number in range(size):
                gray = rng.integers(0, 90, (20, 20), dtype=np.uint8) + np.uint8(number % 3 * 60)
                stream = io.BytesIO()
                Image.fromarray(gray).save(stream, format="PNG")
                lacks_text = split == "train" and number == 5
                writer.write(
                    split,
                    Pair(
                        id=f"{split}-{number}",
                        image=stream.getvalue(),
                        image_format="png",
                        text=None if lacks_text else TEXTS[(number + (split != "train") * held_out) % len(TEXTS)],
                        labels=labels_of(number),
                        group=1000 * len(split) + number,
                        date=None,
                        source="tests",
                        licence="CC0-1.0",
                    ),
                )
    return folder


def fit_tower(
    module: ImageTowerTuning, pairs: Path, folder: Path, resume: Path | None = None, **options: object
) -> ImageTowerTuning:
    """Tune a tower on a CPU; nothing is printed."""
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    data = PairDataModule(str(pairs), batch_size=5, num_workers=0, global_batch_size=6)
    trainer.fit(module, data, ckpt_path=resume, weights_only=None if resume is None else True)
    return module


def make_tuning(encoder: TwoTowerEncoder, **options: object) -> ImageTowerTuning:
    """Make the module that tunes the last stage, from the same heads every time."""
    seed_everything(0, verbose=False)
    options = {"optimizer": lambda parameters: torch.optim.Adam(parameters, 1e-2)} | options
    return ImageTowerTuning(encoder, len(VOCABULARY), TRAINABLE, **options)

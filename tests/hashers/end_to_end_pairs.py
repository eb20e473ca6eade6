"""Small pairs and a small encoder to train."""

import io
from functools import partial

import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from PIL import Image
from torch import nn
from torchvision.transforms.functional import pil_to_tensor

from mcmfh_lightning.callbacks import HammingRanking
from mcmfh_lightning.datamodules import PairDataModule
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.hashers import EndToEnd, TwoTower
from mcmfh_lightning.shards import Pair, PairShardWriter

VOCABULARY = ("normal", "opacity", "effusion")
SIZES = {"train": 36, "val": 12, "test": 15}
LACKS = {3: "image", 8: "text"}
"""Which items of the validation and test splits lack what."""
TRAINABLE = ["late.*", "text_late"]


def picture(label, rng):
    """A gray square that is brighter in the quarter of its label."""
    pixels = rng.integers(0, 60, (12, 12), dtype=np.uint8)
    pixels[6 * (label // 2) :, 6 * (label % 2) :][:6, :6] += 150
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def write_pairs(folder, lacks=LACKS):
    writer = PairShardWriter(
        folder,
        name="tiny",
        source="tests",
        licence="CC0-1.0",
        settings={},
        label_vocabulary=VOCABULARY,
        normal_label="normal",
        pairs_per_shard=50,
    )
    rng = np.random.default_rng(0)
    with writer:
        for split, size in SIZES.items():
            for number in range(size):
                label = int(rng.integers(len(VOCABULARY)))
                lacking = None if split == "train" else lacks.get(number)
                writer.write(
                    split,
                    Pair(
                        id=f"{split}-{number}",
                        image=None if lacking == "image" else picture(label, rng),
                        image_format=None if lacking == "image" else "png",
                        text=None if lacking == "text" else f"{VOCABULARY[label]} {'x' * int(rng.integers(1, 9))}",
                        labels=(VOCABULARY[label],),
                        group=1000 * len(split) + number // 2,
                        date=None,
                        source="tests",
                        licence="CC0-1.0",
                    ),
                )
    return folder


def tokenize(texts):
    length = max(map(len, texts))
    ids = torch.tensor([list(text.encode().ljust(length, b"\0")) for text in texts])
    return {"ids": ids, "truncated": torch.zeros(len(texts), dtype=torch.bool)}


def preprocess(image):
    return pil_to_tensor(image.convert("RGB")).float() / 255


class Tiny(Encoder):
    """Two convolutions with batch norms, and a bag of letters."""

    image_dim, text_dim = 6, 5
    preprocess = staticmethod(preprocess)
    tokenize = staticmethod(tokenize)

    def __init__(self, name="tiny"):
        super().__init__()
        self.identity = {"name": name}
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.early = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
            self.late1 = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5))
            self.letters = nn.Embedding(128, 8)
            self.text_late = nn.Linear(8, 5)
            for norm in (self.early[1], self.late1[1]):
                norm.running_mean.uniform_(-0.1, 0.1)
                norm.running_var.uniform_(0.5, 1.5)

    def encode_image(self, image):
        return self.late1(self.early(image)).mean(dim=(2, 3))

    def encode_text(self, text):
        mask = (text["ids"] > 0).float().unsqueeze(-1)
        return self.text_late((self.letters(text["ids"]) * mask).sum(1) / mask.sum(1))


def two_tower(**options):
    return partial(TwoTower, **{"num_bits": 8, "d_model": 16} | options)


def make_data(pairs, **options):
    return PairDataModule(str(pairs), **{"batch_size": 8, "num_workers": 0, "global_batch_size": 12} | options)


def make_trainer(folder, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    plain = {"accelerator": "cpu", "enable_checkpointing": False, "default_root_dir": folder, "max_epochs": 2}
    return Trainer(**quiet | plain | options)


def fit_and_test(pairs, folder, **options):
    """Leaves ranking.csv and weights.pt in the folder."""
    seed_everything(0, verbose=False)
    model = EndToEnd(two_tower(), Tiny(), TRAINABLE)
    # A share of a global batch each: without replaced samplers the loaders are as the datamodule made them.
    trainer = make_trainer(folder, callbacks=[HammingRanking()], limit_val_batches=0, **options)
    trainer.fit(model, make_data(pairs))
    torch.save(model.state_dict(), folder / "weights.pt")
    trainer.test(model, make_data(pairs), verbose=False)

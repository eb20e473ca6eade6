"""From a table and a folder of images to a search, in Python.

    python examples/search_your_own_images.py --table pairs.csv --images films --text "enlarged heart"

The table has the columns id, image, text, labels and group; docs/start/manifest.md lists more. Without ``--table`` and
``--images`` the example draws chest films. Needs the extras train, archive and offline.
"""

import argparse
from pathlib import Path

from lightning.pytorch import Trainer, seed_everything

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.callbacks import BestCheckpoint, HammingRanking
from mcmfh_lightning.cli.archive import main as mcmfh_archive
from mcmfh_lightning.cli.data import main as mcmfh_data
from mcmfh_lightning.datamodules import FeatureDataModule, PairDataModule
from mcmfh_lightning.encoders import PACKAGED_TOWERS, FeatureExtractor, TwoTowerEncoder
from mcmfh_lightning.hashers import TwoTower


def convert(table: Path | None, images: Path | None, out: Path) -> Path:
    """Convert a table and its images to pair shards; draw a collection if there is none."""
    pairs = out / "pairs"
    if table is not None and images is not None:
        mcmfh_data(["manifest", "--manifest", str(table), "--images", str(images), "--out", str(pairs)])
    else:
        drawn = out / "phantom"
        mcmfh_data(["phantom", "--studies", "200", "--out", str(drawn)])
        files = ["--reports", str(drawn / "reports.tgz"), "--images", str(drawn / "images")]
        mcmfh_data(["openi", *files, "--splits", str(drawn / "splits.csv"), "--out", str(pairs)])
    return pairs


def encode(pairs: Path, out: Path) -> Path:
    """Write the embeddings of two frozen, pretrained towers."""
    features = out / "features"
    extractor = FeatureExtractor(TwoTowerEncoder(**PACKAGED_TOWERS), output_dir=str(features))
    Trainer(logger=False).predict(extractor, PairDataModule(str(pairs)), return_predictions=False)
    return features


def train(features: Path, out: Path, epochs: int) -> Path:
    """Train a hasher of 16 bits and test it; returns the checkpoint of the best epoch on the validation split."""
    seed_everything(0)
    data = FeatureDataModule(str(features), global_batch_size=128)  # a small collection: 256 is the default
    model = TwoTower(num_bits=16, image_dim=data.image_dim, text_dim=data.text_dim)
    best = BestCheckpoint(dirpath=out, monitor="val/mAP", mode="max", filename="best")
    trainer = Trainer(max_epochs=epochs, callbacks=[HammingRanking(), best], default_root_dir=out, log_every_n_steps=1)
    trainer.fit(model, data)
    trainer.test(model, data, ckpt_path="best", weights_only=True)  # prints mAP next to chance and nulls
    return Path(best.best_model_path)


def main() -> None:
    """Convert, encode, train, build an archive and search it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--text", default="enlarged heart with pleural effusion")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("runs/search_your_own_images"))
    options = parser.parse_args()

    pairs = convert(options.table, options.images, options.out)
    features = encode(pairs, options.out)
    checkpoint = train(features, options.out, options.epochs)
    folder = str(options.out / "archive")
    sources = ["--features", str(features), "--pairs", str(pairs)]
    mcmfh_archive(["build", folder, "--checkpoint", str(checkpoint), *sources, "--store-content"])

    archive = Archive.open(folder)
    for hit in archive.search(text=options.text, k=5).hits:
        print(f"{hit.rank}. {hit.item.id}, {hit.distance} bits away: {', '.join(hit.item.labels)}")
    first = archive.search(text=options.text, k=1).hits[0].item.id
    similar = archive.search(id=first, k=3)  # cases like the first one, from other groups
    print(f"like {first}: {', '.join(hit.item.id for hit in similar.hits)}")


if __name__ == "__main__":
    main()

"""Fine-tuning of an image tower, from pairs to an encoder that loads the result."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from safetensors.torch import load_file, save_file

from mcmfh_lightning.datamodules import PairDataModule
from mcmfh_lightning.encoders import FeatureExtractor, ImageTowerTuning, TwoTowerEncoder
from mcmfh_lightning.encoders.weights import TunedOn, read_tuned_on, save_tuned
from mcmfh_lightning.errors import DataError

from .tuning_pairs import (
    SIZES,
    TRAINABLE,
    VOCABULARY,
    fit_tower,
    labels_of,
    make_tuning,
    write_efficientnet,
    write_pairs,
)

Tune = Callable[..., ImageTowerTuning]


@pytest.fixture(scope="module")
def efficientnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_efficientnet(tmp_path_factory.mktemp("image") / "weights.safetensors")


@pytest.fixture(scope="module")
def make(efficientnet: Path, text_tower: Path) -> Callable[..., TwoTowerEncoder]:
    def make(image_weights: Path = efficientnet) -> TwoTowerEncoder:
        return TwoTowerEncoder(str(image_weights), str(text_tower), "test_efficientnet", text_pooling="mean")

    return make


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def tune(make: Callable[..., TwoTowerEncoder]) -> Tune:
    def tune(pairs: Path, folder: Path, *, best: bool = True, **options: object) -> ImageTowerTuning:
        module = make_tuning(make())
        keeper = ModelCheckpoint(folder, monitor="val/auc", mode="max", filename="best", save_weights_only=True)
        arguments = {"max_epochs": 2, "enable_checkpointing": best, "callbacks": [keeper] if best else None} | options
        return fit_tower(module, pairs, folder, **arguments)

    return tune


@pytest.fixture(scope="module")
def tuned(tune: Tune, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageTowerTuning, Path]:
    """A module after two epochs, and the file of its best tower."""
    folder = tmp_path_factory.mktemp("tuned")
    return tune(pairs, folder), folder / "image_tower.safetensors"


def test_the_result_is_an_encoder_that_says_so(
    tuned: tuple[ImageTowerTuning, Path],
    make: Callable[..., TwoTowerEncoder],
    pairs: Path,
    picture: Image.Image,
) -> None:
    module, path = tuned
    encoder, plain = make(path), make()
    assert encoder.identity["name"] == "test_efficientnet (tuned on tiny) + bert"
    image = encoder.identity["image"]
    assert image["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert image.pop("tuned_on") == {
        "data": "tiny",
        "shards": PairDataModule(str(pairs)).state_dict()["data"],
    }
    assert plain.identity["name"] == "test_efficientnet + bert"
    assert image | {"weights_sha256": plain.identity["image"]["weights_sha256"]} == plain.identity["image"]
    assert encoder.identity["text"] == plain.identity["text"]
    best = torch.load(module.trainer.checkpoint_callback.best_model_path, weights_only=True)["state_dict"]
    for name, value in encoder.image_tower.state_dict().items():
        assert torch.equal(value, best[f"encoder.image_tower.{name}"]), name
    images = encoder.preprocess(picture)[None]
    assert not torch.equal(encoder.encode_image(images), plain.encode_image(images))
    # What timm itself makes of the file.
    model = timm.create_model("test_efficientnet", num_classes=0).eval()
    model.load_state_dict(load_file(path))
    torch.testing.assert_close(encoder.encode_image(images), model(images))


def test_what_is_not_named_is_as_it_was(
    tune: Tune, make: Callable[..., TwoTowerEncoder], pairs: Path, tmp_path: Path
) -> None:
    module = tune(pairs, tmp_path, best=False, max_epochs=1, limit_val_batches=0)
    before, after = make().state_dict(), module.encoder.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    named = {name for name, _ in make().named_parameters() if name.startswith(tuple(TRAINABLE))}
    assert changed == named
    assert any("bn2.weight" in name for name in changed)
    saved = load_file(tmp_path / "image_tower.safetensors")
    assert all(torch.equal(value, after[f"image_tower.{name}"]) for name, value in saved.items())


def test_nothing_is_learnt_from_films_and_reports_of_other_splits(
    tuned: tuple[ImageTowerTuning, Path], tune: Tune, tmp_path: Path
) -> None:
    module = tune(write_pairs(tmp_path / "pairs", held_out=1), tmp_path, best=False)
    learned = tuned[0].state_dict()
    assert all(torch.equal(value, learned[name]) for name, value in module.state_dict().items())


def test_equal_runs_make_equal_files(
    tuned: tuple[ImageTowerTuning, Path], tune: Tune, pairs: Path, tmp_path: Path
) -> None:
    tune(pairs, tmp_path)
    assert (tmp_path / "image_tower.safetensors").read_bytes() == tuned[1].read_bytes()


def test_carriers_of_a_label_weigh_as_told(tune: Tune, pairs: Path, tmp_path: Path) -> None:
    module = tune(pairs, tmp_path, fast_dev_run=True)
    assert not (tmp_path / "image_tower.safetensors").exists()
    numbers = [number for number in range(SIZES["train"]) if number != 5]  # without a text: not trained on
    carriers = np.array([sum(label in labels_of(number) for number in numbers) for label in VOCABULARY])
    expected = np.sqrt(np.maximum(len(numbers) - carriers, 1) / np.maximum(carriers, 1))
    np.testing.assert_allclose(module.positive_weight, expected, rtol=1e-6)


def test_validation_is_the_mean_area_of_labels_that_can_be_told_apart(
    tuned: tuple[ImageTowerTuning, Path], pairs: Path
) -> None:
    module, _ = tuned
    data = PairDataModule(str(pairs))
    reader = data.reader("val")
    images = [Image.open(io.BytesIO(reader[row].image or b"")) for row in range(len(reader))]
    with torch.no_grad():
        embeddings = module.encoder.encode_image(torch.stack([module.encoder.preprocess(image) for image in images]))
        scores = module.head(embeddings).numpy()
    areas = []
    for label in ("normal", "opacity", "nodule"):  # all have "everywhere", none "never"
        carries = np.array([label in reader[row].labels for row in range(len(reader))])
        column = scores[:, VOCABULARY.index(label)]
        above = column[carries][:, None] - column[~carries]
        areas.append((above > 0).mean() + (above == 0).mean() / 2)
    assert float(module.trainer.callback_metrics["val/auc"]) == pytest.approx(np.mean(areas), abs=1e-6)
    labels = torch.tensor([[float(name in reader[row].labels) for name in VOCABULARY] for row in range(len(reader))])
    probability = torch.from_numpy(scores).sigmoid()
    losses = -(module.positive_weight * labels * probability.log() + (1 - labels) * (1 - probability).log())
    assert float(module.trainer.callback_metrics["val/loss"]) == pytest.approx(float(losses.mean()), rel=1e-5)


def test_a_tower_tuned_on_another_split_is_refused(
    tuned: tuple[ImageTowerTuning, Path], make: Callable[..., TwoTowerEncoder], pairs: Path, tmp_path: Path
) -> None:
    def encode(pairs: Path) -> None:
        trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, fast_dev_run=True)
        extractor = FeatureExtractor(make(tuned[1]), str(tmp_path / "features"))
        trainer.predict(extractor, PairDataModule(str(pairs), num_workers=0))

    encode(pairs)
    encode(write_pairs(tmp_path / "foreign", held_out=1, name="another collection"))
    with pytest.raises(DataError, match=r"tuned on 'tiny' with other pairs or splits .* tune it on these pairs"):
        encode(write_pairs(tmp_path / "split", train=SIZES["train"] - 1))


def test_what_a_file_says(tmp_path: Path, efficientnet: Path) -> None:
    path = tmp_path / "tower.safetensors"
    save_tuned(path, {"a": torch.arange(6.0).reshape(2, 3).T}, TunedOn("Ä", "0f"))
    assert read_tuned_on(path) == TunedOn("Ä", "0f")
    assert torch.equal(load_file(path)["a"], torch.arange(6.0).reshape(2, 3).T)
    assert read_tuned_on(efficientnet) is None
    assert read_tuned_on(tmp_path / "weights.pth") is None
    save_file({"a": torch.ones(1)}, path, {"format": "pt"})
    assert read_tuned_on(path) is None
    assert json.dumps(TunedOn("a", "b").to_json()) == '{"data": "a", "shards": "b"}'


def test_bad_arguments(make: Callable[..., TwoTowerEncoder]) -> None:
    encoder = make()
    with pytest.raises(ValueError, match=r"balance=1\.5 is outside \[0, 1\]"):
        ImageTowerTuning(encoder, 3, TRAINABLE, balance=1.5)
    with pytest.raises(ValueError, match=r"report_weight=-0\.1 is negative"):
        ImageTowerTuning(encoder, 3, TRAINABLE, report_weight=-0.1)
    with pytest.raises(ValueError, match=r"augmentation=-1\.0 is negative"):
        ImageTowerTuning(encoder, 3, TRAINABLE, augmentation=-1.0)
    with pytest.raises(ValueError, match="names parts of the text tower, which stays frozen here"):
        ImageTowerTuning(encoder, 3, ["text_tower.model.encoder.layer.1"])
    with pytest.raises(
        ValueError, match=r"'image_tower\.blocks\.9' matches nothing; there are .*image_tower\.blocks\.4"
    ):
        ImageTowerTuning(encoder, 3, ["image_tower.blocks.9"])

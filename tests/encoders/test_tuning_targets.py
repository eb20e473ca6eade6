"""What a tower is tuned on: changed films of training, reports, one collection after another."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import load_file
from torch.multiprocessing import start_processes

from mcmfh_lightning.datamodules import PairDataModule
from mcmfh_lightning.encoders import FeatureExtractor, ImageTowerTuning, TwoTowerEncoder
from mcmfh_lightning.encoders.tuning import TUNED_TOWER
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import decode_image

from .tuning_pairs import SIZES, TEXTS, fit_tower, make_tuning, write_efficientnet, write_pairs

MakeEncoder = Callable[..., TwoTowerEncoder]


@pytest.fixture(scope="module")
def make(text_tower: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeEncoder:
    weights = write_efficientnet(tmp_path_factory.mktemp("image") / "weights.safetensors")

    def make(image_weights: Path = weights, **options: object) -> TwoTowerEncoder:
        return TwoTowerEncoder(str(image_weights), str(text_tower), "test_efficientnet", text_pooling="mean", **options)

    return make


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


class Batches(Callback):
    """A record of the training batches."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: ImageTowerTuning, batch: object, *_: object) -> None:
        self.seen.append(batch)


def test_reports_are_found_among_those_of_the_batch(make: MakeEncoder, pairs: Path, tmp_path: Path) -> None:
    """The loss of the first step, written out; equal texts are positives of each other."""
    module, batches = make_tuning(make(), augmentation=0.0, report_weight=0.7), Batches()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    fit_tower(
        module, pairs, tmp_path, max_steps=1, limit_val_batches=0, enable_checkpointing=False, callbacks=[batches]
    )
    batch, before = batches.seen[0], make_tuning(make())
    before.load_state_dict(state)
    before.positive_weight = module.positive_weight
    with torch.no_grad():
        embedding = before.encoder.encode_image(batch["image"])
        images = before.report_head(embedding)
        reports = before.encoder.encode_text(batch["text"])
        labels = before._loss(before.head(embedding), before._targets(batch))
    assert len(set(batch["text_hash"].tolist())) < len(images) == 6
    cosine = torch.nn.functional.cosine_similarity(images[:, None], reports, dim=-1).double()
    same = batch["text_hash"][:, None] == batch["text_hash"]
    total = 0.0
    for similarity, positive in ((cosine, same), (cosine.T, same.T)):
        for row in range(6):
            logs = [similarity[row, k] / 0.1 - torch.logsumexp(similarity[row] / 0.1, 0) for k in range(6)]
            total -= sum(float(logs[k]) for k in range(6) if positive[row, k]) / int(positive[row].sum()) / 12
    logged = module.trainer.callback_metrics
    assert float(logged["train/reports"]) == pytest.approx(total, rel=1e-4)
    assert float(logged["train/loss"]) == pytest.approx(float(labels) + 0.7 * total, rel=1e-4)


def test_films_of_one_group_are_positives_of_each_other(make: MakeEncoder, pairs: Path, tmp_path: Path) -> None:
    module, batches = make_tuning(make()), Batches()
    fit_tower(
        module, pairs, tmp_path, max_steps=1, limit_val_batches=0, enable_checkpointing=False, callbacks=[batches]
    )
    batch, images = batches.seen[0], torch.randn(6, module.encoder.text_dim)
    losses = [module._match_reports(images, batch | {"group": group}) for group in (torch.arange(6), torch.zeros(6))]
    similarity = torch.nn.functional.cosine_similarity(images[:, None], module._embed_reports(batch), dim=-1) / 0.1
    # All are positives of each other.
    expected = sum((similarity.logsumexp(dim) - similarity.mean(dim)).mean() for dim in (0, 1)) / 2
    assert float(losses[1]) == pytest.approx(float(expected), rel=1e-5)
    assert float(losses[0]) != pytest.approx(float(losses[1]), rel=1e-3)


@pytest.mark.parametrize(("weight", "calls"), [(0.2, len(TEXTS)), (0.0, 0)])
def test_a_report_is_embedded_once_in_a_run_and_never_without_its_loss(
    make: MakeEncoder, pairs: Path, tmp_path: Path, weight: float, calls: int
) -> None:
    module, seen = make_tuning(make(), report_weight=weight), []
    module.encoder.text_tower.register_forward_hook(lambda *_: seen.append(1))
    fit_tower(module, pairs, tmp_path, max_epochs=2, enable_checkpointing=False)
    assert len(seen) == calls


def test_reports_shape_the_tower(make: MakeEncoder, pairs: Path, tmp_path: Path) -> None:
    towers = []
    for weight in (0.0, 0.2):
        module = make_tuning(make(), report_weight=weight)
        fit_tower(module, pairs, tmp_path, max_steps=2, limit_val_batches=0, enable_checkpointing=False)
        towers.append(load_file(tmp_path / TUNED_TOWER))
    assert not torch.equal(towers[0]["conv_head.weight"], towers[1]["conv_head.weight"])


def test_only_films_of_training_are_changed(make: MakeEncoder, pairs: Path, tmp_path: Path) -> None:
    module, seen = make_tuning(make()), {True: [], False: []}
    module.encoder.image_tower.register_forward_pre_hook(
        lambda _, inputs: seen[module.trainer.training].extend(inputs[0].clone().unbind())
    )
    preprocess = module.encoder.preprocess
    fit_tower(module, pairs, tmp_path, max_epochs=2, num_sanity_val_steps=0, enable_checkpointing=False)
    plain = {}
    for split in ("train", "val"):
        reader = PairDataModule(str(pairs)).reader(split)
        plain[split] = [preprocess(decode_image(reader[row].image)) for row in range(len(reader))]
    assert all(torch.equal(found, expected) for found, expected in zip(seen[False], 2 * plain["val"], strict=True))
    assert len(seen[True]) == 2 * 18  # whole batches of 6 of the 23 pairs
    assert len(torch.stack(seen[True]).unique(dim=0)) == 2 * 18  # other changes in each epoch
    assert not any(torch.equal(found, one) for found in seen[True] for one in plain["train"])
    assert module.encoder.preprocess is preprocess  # what predict prepares with


def test_a_resumed_run_ends_in_the_same_weights(make: MakeEncoder, pairs: Path, tmp_path: Path) -> None:
    def fit(folder: Path, resume: Path | None = None) -> dict[str, torch.Tensor]:
        module = make_tuning(make())
        if resume is not None:
            torch.randn(99)  # a free-running generator would be elsewhere by now
        keeper = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=2, save_top_k=-1)
        fit_tower(module, pairs, folder, resume, max_steps=7, limit_val_batches=0, callbacks=[keeper])
        assert module.trainer.global_step == 7
        return module.state_dict()

    whole = fit(tmp_path / "whole")
    resumed = fit(tmp_path / "resumed", tmp_path / "whole" / "step=4.ckpt")  # 3 steps an epoch
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_tuned_tower_knows_how_its_pictures_were_prepared(make: MakeEncoder, pairs: Path, tmp_path: Path) -> None:
    tuned = make_tuning(make(image_size=96, whole_image=True))
    fit_tower(tuned, pairs, tmp_path, max_steps=1, limit_val_batches=0, enable_checkpointing=False)
    image = make(tmp_path / TUNED_TOWER).identity["image"]
    assert (image["input_size"], image["crop_mode"], image["crop_pct"]) == ([3, 96, 96], "border", 1.0)
    assert image["tuned_on"] == {
        "data": "tiny",
        "shards": PairDataModule(str(pairs)).state_dict()["data"],
        "image_size": 96,
        "whole_image": True,
    }
    other = make(tmp_path / TUNED_TOWER, image_size=64, whole_image=False).identity["image"]
    assert (other["input_size"], other["crop_mode"]) == ([3, 64, 64], "center")
    assert other["tuned_on"] == image["tuned_on"]


def test_a_tower_is_tuned_on_one_collection_after_another(make: MakeEncoder, pairs: Path, tmp_path: Path) -> None:
    second = write_pairs(tmp_path / "second", held_out=1, name="another")
    for folder, data, encoder in (
        (tmp_path / "a", pairs, make(image_size=96)),
        (tmp_path / "b", second, None),
    ):
        module = make_tuning(encoder or make(tmp_path / "a" / TUNED_TOWER))
        fit_tower(module, data, folder, max_steps=1, limit_val_batches=0, enable_checkpointing=False)
    path = tmp_path / "b" / TUNED_TOWER
    identity = make(path).identity
    shards = [PairDataModule(str(folder)).state_dict()["data"] for folder in (pairs, second)]
    assert identity["name"] == "test_efficientnet (tuned on tiny, another) + bert"
    assert identity["image"]["input_size"] == [3, 96, 96]
    assert identity["image"]["tuned_on"] == {
        "data": "another",
        "shards": shards[1],
        "image_size": 96,
        "before": {"data": "tiny", "shards": shards[0], "image_size": 96},
    }
    towers = [load_file(folder / TUNED_TOWER)["conv_head.weight"] for folder in (tmp_path / "a", tmp_path / "b")]
    assert not torch.equal(*towers)

    def encode(folder: Path) -> None:
        trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, fast_dev_run=True)
        trainer.predict(
            FeatureExtractor(make(path), str(tmp_path / "features")), PairDataModule(str(folder), num_workers=0)
        )

    encode(pairs)
    encode(second)
    for name in ("tiny", "another"):  # other splits of either may have trained films in their test split
        split = write_pairs(tmp_path / f"other {name}", name=name, train=SIZES["train"] - 1)
        with pytest.raises(DataError, match=rf"tuned on '{name}' with other pairs or splits"):
            encode(split)


def test_two_processes_have_the_gradient_of_one(make: MakeEncoder, tmp_path: Path) -> None:
    """The negatives of a report are in the batch of all ranks."""
    module = make_tuning(make())
    images, texts = torch.randn(8, module.encoder.image_dim), [TEXTS[number % 3] for number in range(8)]

    def gradient(rows: slice) -> torch.Tensor:
        batch = {
            "labels": torch.zeros(8, 1, dtype=torch.uint8)[rows],
            "group": torch.tensor([1, 2, 3, 4, 5, 6, 1, 7])[rows],
            "text_hash": torch.tensor([number % 3 + 1 for number in range(8)])[rows],
            "text": module.encoder.tokenize(texts[rows]),
        }
        module.zero_grad()
        module._match_reports(module.report_head(images[rows]), batch).backward()
        return module.report_head.weight.grad

    def half(rank: int, expected: torch.Tensor) -> None:
        dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=rank, world_size=2)
        found = gradient(slice(4 * rank, 4 * rank + 4))
        dist.all_reduce(found)  # what DistributedDataParallel does
        torch.testing.assert_close(found / 2, expected)
        dist.destroy_process_group()

    start_processes(half, args=(gradient(slice(0, 8)).clone(),), nprocs=2, start_method="fork")

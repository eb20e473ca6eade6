import csv

import lightning.pytorch as pl
import pytest
import torch
from matplotlib.image import imread
from torch.utils.data import DataLoader

from mcmfh_lightning.callbacks.expert_utilisation import ExpertUtilisation, RoutingCounts, write_utilisation

QUERY, FIRST, SECOND = (
    torch.tensor([[[9, 9, 9], [9, 9, 9]]]),
    torch.tensor([[[2, 0, 0], [1, 1, 0]]]),
    torch.tensor([[[1, 1, 0], [0, 1, 1]]]),
)


class Scripted(pl.LightningModule):
    """Gives the routing that its batches say."""

    routing_shape = (1, 2, 3)

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        return {"routing": batch}


class WithoutExperts(Scripted):
    routing_shape = None

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        return {}


class Data(pl.LightningDataModule):
    def evaluation_loaders(self, stage):
        return ["query", "unseen", "train+val"]

    def test_dataloader(self):
        return [DataLoader(batches, batch_size=None) for batches in ([QUERY], [FIRST, SECOND], [SECOND])]


def run(model, folder, **options):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        default_root_dir=folder,
        callbacks=[ExpertUtilisation()],
        **options,
    )
    trainer.test(model, Data(), verbose=False)
    return trainer.callback_metrics


def rows(folder):
    with (folder / "expert_utilisation.csv").open() as file:
        return list(csv.DictReader(file))


def test_tokens_of_the_databases_are_counted_and_queries_are_not(tmp_path):
    run(Scripted(), tmp_path)
    tokens = {(row["modality"], int(row["expert"])): int(row["tokens"]) for row in rows(tmp_path)}
    assert tokens == {
        ("image", 0): 4,
        ("image", 1): 2,
        ("image", 2): 0,
        ("text", 0): 1,
        ("text", 1): 3,
        ("text", 2): 2,
    }
    assert [float(row["share"]) for row in rows(tmp_path)][:3] == pytest.approx([4 / 6, 2 / 6, 0.0], abs=1e-6)
    assert {row["layer"] for row in rows(tmp_path)} == {"0"}


def test_utilisation_is_logged(tmp_path):
    metrics = run(Scripted(), tmp_path)
    shares = torch.tensor([4 / 6, 2 / 6])
    expected = torch.exp(-(shares * shares.log()).sum()) / 3
    assert metrics["test/utilisation/layer0/image"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert "test/utilisation/layer0/text" in metrics


def test_a_second_test_starts_from_zero(tmp_path):
    run(Scripted(), tmp_path)
    before = rows(tmp_path)
    run(Scripted(), tmp_path)
    assert rows(tmp_path) == before


def test_the_heat_map_shows_the_share_of_each_expert(tmp_path):
    extreme = torch.tensor([[[7, 0], [0, 7]]])
    _, plot = write_utilisation(tmp_path, extreme)
    picture = imread(plot)[..., :3]
    # Both ends of the colour scale are there in large areas: the yellow of 100 %, the purple of 0 %.
    for colour in ((0.993, 0.906, 0.144), (0.267, 0.005, 0.329)):
        assert (abs(picture - colour).max(axis=-1) < 0.02).mean() > 0.05


def test_a_hasher_without_experts_leaves_no_files(tmp_path):
    run(WithoutExperts(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_fast_dev_run_leaves_no_files(tmp_path):
    run(Scripted(), tmp_path, fast_dev_run=True)
    assert list(tmp_path.iterdir()) == []


def test_counts_are_integers_that_ranks_sum():
    counts = RoutingCounts((1, 2, 3))
    counts.update(FIRST)
    assert counts.compute().dtype == torch.int64
    assert counts._reductions["counts"] is not None
    total = counts._reductions["counts"](torch.stack([counts.compute(), SECOND]))
    assert torch.equal(total, FIRST + SECOND)

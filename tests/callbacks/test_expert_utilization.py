import csv

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from matplotlib.image import imread
from torch.utils.data import DataLoader

from mcmfh_lightning import callbacks
from mcmfh_lightning.callbacks.expert_utilization import ExpertUtilization, heat_map, history_map

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
        callbacks=[ExpertUtilization()],
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


def test_the_history_has_a_panel_a_layer_and_modality_with_experts_down_and_epochs_across():
    figure = history_map([torch.tensor([FIRST[0].tolist()] * 2), torch.tensor([SECOND[0].tolist()] * 2)], [3, 5])
    *panels, _ = figure.axes
    assert [panel.get_title() for panel in panels] == [
        f"layer {layer}, {modality} tokens" for layer in range(2) for modality in ("image", "text")
    ]
    shown = panels[0].images[0].get_array()
    assert shown.tolist() == [[1.0, 0.5], [0.0, 0.5], [0.0, 0.0]]
    assert [label.get_text() for label in panels[-1].get_xticklabels()] == ["3", "5"]


class Fitted(Scripted):
    """Validates what its batches say."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        return self.weight.square().sum()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        return {"routing": batch * (self.current_epoch + 1)}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class FitData(Data):
    def train_dataloader(self):
        return DataLoader([torch.zeros(1)], batch_size=None)

    def val_dataloader(self):
        return [DataLoader(batches, batch_size=None) for batches in ([QUERY], [FIRST, SECOND])]


def fit(folder, epochs, ckpt_path=None):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        max_epochs=epochs,
        callbacks=[ExpertUtilization()],
    )
    trainer.fit(Fitted(), FitData(), ckpt_path=ckpt_path, weights_only=True)
    trainer.save_checkpoint(folder / "end.ckpt")
    return trainer.callback_metrics


def test_a_fit_ends_with_the_shares_of_every_validation_and_a_resumed_one_keeps_them(tmp_path):
    metrics = fit(tmp_path, 2)
    assert "val/utilisation/layer0/image" in metrics
    tokens = {(row["epoch"], row["modality"], row["expert"]): int(row["tokens"]) for row in rows(tmp_path)}
    assert len(tokens) == 2 * 2 * 3
    assert [tokens[epoch, "image", expert] for epoch in "01" for expert in "012"] == [3, 1, 0, 6, 2, 0]
    fit(tmp_path, 3, tmp_path / "end.ckpt")
    assert [(row["epoch"], row["tokens"]) for row in rows(tmp_path)][::6] == [("0", "3"), ("1", "6"), ("2", "9")]
    assert imread(tmp_path / "expert_utilisation.png").shape == (375, 1500, 4)
    # Under the name that earlier releases wrote, so that their checkpoints resume as well.
    assert "ExpertUtilisation" in torch.load(tmp_path / "end.ckpt", weights_only=True)["callbacks"]


def test_the_name_of_earlier_releases_still_works():
    with pytest.warns(DeprecationWarning, match="is now ExpertUtilization"):
        assert callbacks.ExpertUtilisation is ExpertUtilization


def test_a_hasher_without_experts_leaves_no_files(tmp_path):
    run(WithoutExperts(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_fast_dev_run_leaves_no_files(tmp_path):
    run(Scripted(), tmp_path, fast_dev_run=True)
    assert list(tmp_path.iterdir()) == []


def test_counts_are_integers_that_ranks_sum(tmp_path, monkeypatch):
    run(Scripted(), tmp_path / "one")
    reduced = []

    def reduce(self, tensor: torch.Tensor, *args: object, reduce_op: str = "mean", **kwargs: object) -> torch.Tensor:
        """Act as two ranks that counted the same."""
        if tensor.shape != FIRST.shape:  # decisions of the trainer and logged numbers
            return tensor
        reduced.append(reduce_op)
        return 2 * tensor

    monkeypatch.setattr(SingleDeviceStrategy, "reduce", reduce)
    run(Scripted(), tmp_path / "two")
    assert reduced == ["sum"]
    one, two = ([int(row["tokens"]) for row in rows(tmp_path / name)] for name in ("one", "two"))
    assert two == [2 * tokens for tokens in one]


@pytest.mark.usefixtures("drawn_figures")
def test_the_heat_map_shows_the_share_of_each_expert(tmp_path):
    heat_map(torch.tensor([[[7, 0], [0, 7]]])).savefig(tmp_path / "plot.png")
    picture = imread(tmp_path / "plot.png")[..., :3]
    # Both ends of the color scale are there in large areas: the yellow of 100 %, the purple of 0 %.
    for color in ((0.993, 0.906, 0.144), (0.267, 0.005, 0.329)):
        assert (abs(picture - color).max(axis=-1) < 0.02).mean() > 0.05

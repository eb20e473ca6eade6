"""Balance, correlation and the alarm, through the trainer."""

import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from matplotlib.image import imread

from mcmfh_lightning.callbacks import BestCheckpoint
from mcmfh_lightning.callbacks.code_monitor import CodeMonitor


class Collapsing:
    """Turns the codes of a module of the world into ones that have collapsed in some way."""

    def __init__(self, world, name):
        self.module = world.Module()
        plain = self.module.codes

        def codes(batch):
            outputs = plain(batch)
            if name == "bit":
                outputs["text"][:, 4] = 1.0
            elif name == "largest":
                alike = batch["index"] % 3 > 0
                outputs["image"][alike] = torch.where(torch.arange(world.bits) < 3, 1.0, -1.0)
            return outputs

        self.module.codes = codes


def validate(world, module, **settings):
    trainer = world.trainer(CodeMonitor(), **settings)
    trainer.validate(module, world.Data(world.splits), verbose=False)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


def test_numbers_are_those_of_the_queries(world):
    logged = validate(world, world.Module())
    assert len(logged) == 12
    for modality in ("image", "text"):
        codes = world.codes(world.Module(), world.splits["val"])[modality]
        signs = np.where(codes >= 0, 1.0, -1.0)
        assert logged[f"val/bits/{modality}/balance"] == pytest.approx(np.abs(signs.mean(0)).mean(), rel=1e-6)
        pairs = np.corrcoef(signs.T)[np.triu_indices(world.bits, 1)]
        assert logged[f"val/bits/{modality}/correlation"] == pytest.approx(np.abs(pairs).mean(), rel=1e-6)
        distinct = len(np.unique(signs, axis=0)) / len(signs)
        assert logged[f"val/bits/{modality}/distinct"] == pytest.approx(distinct, rel=1e-6)


def test_two_processes_log_what_one_does(world):
    assert validate(world, world.Module(), strategy="ddp_fork", devices=2) == validate(world, world.Module())


class Searching:
    """Gives the queries of two searches codes of their own: one has a dead bit, and the other may have one code."""

    def __init__(self, world, *, same=False):
        self.module = world.Module()
        plain = self.module.codes

        def codes(batch):
            outputs = plain(batch)
            dead = outputs["text"].clone()
            dead[:, 4] = 1.0
            image = torch.ones_like(outputs["image"]) if same else -outputs["image"].flip(1)
            return outputs | {"queries": {"i2case": image, "t2case": dead}}

        self.module.codes = codes


def test_codes_of_the_queries_of_a_search_are_watched_too(world):
    """A dead bit is a number, and raises no alarm: the queries of other searches may use the bit."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*collapsed")
        logged = validate(world, Searching(world).module)
    codes = world.codes(world.Module(), world.splits["val"])
    signs = np.where(codes["image"] >= 0, -1.0, 1.0)  # negated; the order of bits has no part in their mean
    assert logged["val/bits/i2case/balance"] == pytest.approx(np.abs(signs.mean(0)).mean(), rel=1e-6)
    constants = {name: logged[f"val/bits/{name}/constant"] for name in ("image", "text", "i2case", "t2case")}
    assert constants == {"image": 0.0, "text": 0.0, "i2case": 0.0, "t2case": 1.0}
    assert not any("/t2i/" in name for name in logged)
    two = validate(world, Searching(world).module, strategy="ddp_fork", devices=2)
    assert two == logged


@pytest.mark.parametrize("embedding", [False, True])
def test_queries_of_a_search_with_one_code_raise_the_alarm(world, embedding):
    what = "20 of 20 queries have one and the same code"
    if embedding:
        alike = np.ones_like(world.splits["val"]["image"])
        world.splits = world.splits | {"val": world.splits["val"] | {"image": alike}}
        what = "all 20 queries have one and the same image embedding"
    with pytest.warns(UserWarning, match=f"the i2case codes have collapsed: {what}"):
        logged = validate(world, Searching(world, same=True).module)
    assert logged["val/bits/i2case/collapsed"] == 1.0


def test_codes_that_differ_raise_no_alarm(world):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*collapsed")
        logged = validate(world, world.Module())
    assert logged["val/bits/image/collapsed"] == logged["val/bits/text/collapsed"] == 0.0


@pytest.mark.parametrize(
    ("name", "modality", "message"),
    [
        (
            "bit",
            "text",
            r"the text codes have collapsed: 1 of 10 bits are the same for all 20 queries \(4\)\. Lower the",
        ),
        ("largest", "image", "the image codes have collapsed: 1[3-9] of 20 queries have one and the same code"),
    ],
)
def test_the_alarm_names_what_has_collapsed(world, name, modality, message):
    with pytest.warns(UserWarning, match=message):
        logged = validate(world, Collapsing(world, name).module)
    other = {"image": "text", "text": "image"}[modality]
    assert logged[f"val/bits/{modality}/collapsed"] == 1.0
    assert logged[f"val/bits/{other}/collapsed"] == 0.0


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_embeddings_that_are_all_the_same_are_named_and_not_the_learning_rate(world, value):
    """In a fit after its first validation, and at its end."""
    rounded = value * (1.0 + 2.0**-11 * (np.arange(20) % 2))[:, None]
    world.splits = world.splits | {"val": world.splits["val"] | {"text": np.tile(rounded, 5).astype("float32")}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = world.trainer(CodeMonitor(), max_epochs=1, num_sanity_val_steps=0)
        trainer.fit(world.Module(), world.Data(world.splits))
    said = [str(warning.message) for warning in caught if "have collapsed" in str(warning.message)]
    line = "the text codes have collapsed: all 20 queries have one and the same text embedding. Check the collection"
    assert len(said) == 2  # the other at the end; shown once where warnings are not repeated
    assert all(one.startswith(line) for one in said)


@pytest.mark.parametrize(
    ("collapsed", "scores", "alarmed"),
    [
        ([0], [0.1, 0.5, 0.2], False),  # not after an epoch that a later one replaces
        ([1], [0.1, 0.5, 0.2], True),  # of the chosen epoch, although the last one is fine
        ([2], [0.1, 0.5, 0.2], False),  # the last one is not what is kept
        ([2], None, True),  # it is where nothing is chosen
    ],
)
def test_a_fit_ends_with_the_alarm_of_the_chosen_weights(world, collapsed, scores, alarmed):
    module, bad, keepers = world.Module(), Collapsing(world, "bit").module, []

    class Epochs(Callback):
        """Scores the epochs as its arguments say, some of them with collapsed codes."""

        def on_validation_epoch_start(self, trainer, pl_module):
            pl_module.codes = (bad if trainer.current_epoch in collapsed else world.Module()).codes

        def on_validation_epoch_end(self, trainer, pl_module):
            if scores:
                pl_module.log("score", scores[trainer.current_epoch])

    if scores:
        keepers = [BestCheckpoint(dirpath=world.folder, monitor="score", mode="max", filename="best")]
    settings = {"max_epochs": 3, "num_sanity_val_steps": 0, "enable_checkpointing": bool(scores)}
    trainer = world.trainer(Epochs(), CodeMonitor(), *keepers, **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(module, world.Data(world.splits))
    said = [str(warning.message) for warning in caught if "have collapsed" in str(warning.message)]
    assert len(said) == alarmed
    assert all("the text codes have collapsed: 1 of 10 bits" in line for line in said)
    assert imread(world.folder / "code_statistics.png").shape == (840, 1200, 4)


def test_a_method_without_codes_is_left_alone(world):
    module = world.Module()
    module.distance = "cosine"
    assert validate(world, module) == {}

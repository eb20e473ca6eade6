import re
from functools import partial

import pytest
import torch

from mcmfh_lightning.errors import CheckpointError, DataError
from mcmfh_lightning.hashers import MCMFH, TwoTower
from tests.hashers.conftest import flat, quiet_trainer


@pytest.fixture(scope="module")
def checkpoint(make_hasher, make_data, tmp_path_factory):
    """A trained model and the path of its checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    model, trainer = make_hasher(), quiet_trainer(folder, max_epochs=1)
    trainer.fit(model, datamodule=make_data())
    trainer.save_checkpoint(folder / "model.ckpt")
    return model, folder / "model.ckpt"


def test_a_checkpoint_restores_the_codes_without_unpickling(checkpoint, make_batch):
    model, path = checkpoint
    torch.load(path, weights_only=True)
    restored = type(model).load_from_checkpoint(path, weights_only=True)
    batch = make_batch()
    before, after = flat(model.eval().evaluate(batch)), flat(restored.eval().evaluate(batch))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_names_its_content(checkpoint):
    model, path = checkpoint
    stored = torch.load(path, weights_only=True)["mcmfh"]
    assert stored["format_version"] == 1
    assert stored["num_bits"] == 8
    assert stored["encoder"] == {"name": "tower A"}
    assert stored["label_vocabulary"] == ["normal", "effusion"]
    assert stored["architecture"]["hasher"] == type(model).__name__
    assert re.fullmatch(r"\d+\.\d+.*", stored["package_version"])


def test_other_bits_are_refused_naming_both(checkpoint):
    model, path = checkpoint
    with pytest.raises(CheckpointError, match=r"num_bits=8.*num_bits=32"):
        type(model).load_from_checkpoint(path, weights_only=True, num_bits=32)


def test_another_dropout_rate_is_refused_although_the_weights_would_fit(make_mcmfh, make_trainer, tmp_path, make_data):
    trainer = make_trainer(max_epochs=1)
    trainer.fit(make_mcmfh(), datamodule=make_data())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match=r"dropout_rate=0\.2.*dropout_rate=0\.5"):
        MCMFH.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True, dropout_rate=0.5)


def test_another_method_is_refused(checkpoint):
    model, path = checkpoint
    other = TwoTower if type(model) is MCMFH else MCMFH
    with pytest.raises(CheckpointError, match=f"hasher='{type(model).__name__}'.*hasher='{other.__name__}'"):
        other.load_from_checkpoint(path, weights_only=True)


def test_features_of_another_encoder_are_refused_naming_both(checkpoint, make_hasher, make_data, make_trainer):
    _, path = checkpoint
    with pytest.raises(CheckpointError, match=r"tower A.*tower B.*mcmfh predict"):
        make_trainer().test(make_hasher(), make_data(encoder="tower B"), ckpt_path=path, weights_only=True)
    make_trainer().test(make_hasher(), make_data(), ckpt_path=path, weights_only=True)


def test_other_labels_bind_only_when_training_resumes(checkpoint, make_hasher, make_data, make_trainer):
    _, path = checkpoint
    data = make_data(label_vocabulary=["normal", "nodule"])
    make_trainer().test(make_hasher(), data, ckpt_path=path, weights_only=True)
    with pytest.raises(CheckpointError, match=r"effusion.*nodule"):
        make_trainer(max_epochs=2).fit(make_hasher(), datamodule=data, ckpt_path=path, weights_only=True)


def test_foreign_and_future_checkpoints_are_refused(checkpoint, tmp_path):
    model, written = checkpoint
    content, path = torch.load(written, weights_only=True), tmp_path / "model.ckpt"
    content["mcmfh"]["format_version"] = 2
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="format version 2"):
        type(model).load_from_checkpoint(path, weights_only=True)
    del content["mcmfh"]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="not written by a hasher"):
        type(model).load_from_checkpoint(path, weights_only=True)


def test_a_resumed_run_repeats_the_uninterrupted_one(checkpoint, make_hasher, make_data, make_trainer):
    def fit(ckpt_path=None, init_seed=0):
        trainer, model = make_trainer(max_epochs=2), make_hasher(init_seed=init_seed)
        torch.manual_seed(torch.seed())
        trainer.fit(model, datamodule=make_data(), ckpt_path=ckpt_path, weights_only=True)
        return model

    resumed, whole = fit(ckpt_path=checkpoint[1], init_seed=5), fit()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_every_term_is_logged(make_hasher, make_data, make_trainer):
    trainer, model = make_trainer(max_epochs=1), make_hasher()
    trainer.fit(model, datamodule=make_data())
    logged = {name.removeprefix("train/") for name in trainer.callback_metrics}
    terms, statistics = model.objective(make_data().batches[0])
    assert logged == {"loss", *terms, *statistics}
    if isinstance(model, MCMFH):
        even = {name: value for name, value in statistics.items() if name.startswith("utilisation/")}
        assert "utilisation/layer0/text" in even
        assert all(0.25 <= value <= 1.0 for value in even.values())


def test_the_learning_rate_schedule_steps_once_an_epoch(make_hasher, make_data, make_trainer):
    # Unlike functions of this test they can be pickled, as hyper-parameters must be.
    optimizer = partial(torch.optim.SGD, lr=1e-4)
    schedule = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.1)
    trainer = make_trainer(max_epochs=2)
    trainer.fit(make_hasher(optimizer=optimizer, lr_scheduler=schedule), datamodule=make_data(num_batches=3))
    (used,) = trainer.optimizers
    assert isinstance(used, torch.optim.SGD)
    assert used.param_groups[0]["lr"] == pytest.approx(1e-4 * 0.1**2)


def test_a_broken_embedding_is_named_when_the_loss_is_not_finite(make_hasher, make_batch):
    batch = make_batch()
    batch["text"][7, 2] = torch.nan
    with pytest.raises(DataError, match=r"with index 107 hold NaN .* encode the data again"):
        make_hasher().training_step(batch, 0)


def test_diverged_weights_are_reported_with_the_batch_and_the_fix(make_hasher, make_batch):
    model = make_hasher()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.inf)
    with pytest.raises(
        DataError, match=r"not finite \(\w.*\).*with index 100, 101, .*119 and 5 more.*lower the learning rate"
    ):
        model.training_step(make_batch(rows=25), 0)


def test_accumulated_gradients_are_said_to_cut_up_the_negatives(make_two_tower, make_data, make_trainer):
    with pytest.warns(UserWarning, match="accumulate_grad_batches=2: the loss of each batch sees its own negatives"):
        make_trainer(max_epochs=1, accumulate_grad_batches=2).fit(make_two_tower(), make_data())

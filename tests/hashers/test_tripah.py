import warnings

import pytest
import torch

from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.hashers.code_bank import BankRows, CodeBank
from mcmfh_lightning.hashers.stored import slim_checkpoint
from mcmfh_lightning.hashers.tripah import image_weight
from tests.hashers.conftest import small
from tests.hashers.planted import found_after_training


def annealed(progress):
    """As the authors' code has it."""
    if progress <= 1 / 3:
        return 1 + progress / (1 / 3)
    return 1 + max(0.0, 1 - (progress - 1 / 3) / (1 - 1 / 3))


@pytest.mark.parametrize("progress", [0, 0.1, 1 / 3, 0.34, 0.5, 0.9, 1, 1.5])
def test_the_weight_of_images_rises_and_falls(progress):
    assert image_weight(progress) == pytest.approx(annealed(progress), abs=1e-12)


def test_the_weight_follows_the_batches_of_a_training(make_tripah, make_data, make_trainer, monkeypatch):
    model, seen = make_tripah(annealing_epochs=2), []
    objective = model.objective
    monkeypatch.setattr(model, "objective", lambda batch: seen.append(model._progress()) or objective(batch))
    make_trainer(max_epochs=2).fit(model, make_data(num_batches=3))
    assert seen == [pytest.approx((batch + 1) / 6) for batch in range(6)]


def test_every_parameter_gets_a_gradient(make_tripah, make_batch):
    model = make_tripah()
    sum(model.objective(make_batch()).terms.values()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_similar_items_are_found_after_training(make_tripah, make_batch):
    found = found_after_training(make_tripah(d_model=32, num_bits=16), make_batch)
    assert all(after > 0.7 for _, after in found.values()), found
    assert all(found[search][0] < 0.4 for search in ("i2t", "t2i")), found


def test_a_model_is_tested_on_data_of_other_labels(make_tripah, make_data, make_trainer, tmp_path):
    trainer = make_trainer(max_epochs=1)
    trainer.fit(make_tripah(), datamodule=make_data())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    make_trainer().test(make_tripah(num_labels=7), make_data(), ckpt_path=tmp_path / "model.ckpt", weights_only=True)


def test_codes_of_training_items_are_resumed_with_and_never_shared(make_tripah, make_data, make_trainer, tmp_path):
    trainer = make_trainer(max_epochs=1)
    trainer.fit(make_tripah(), datamodule=make_data())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    stored = torch.load(tmp_path / "model.ckpt", weights_only=True)
    codes, _, groups, seen = stored["code_bank"]["rows"]
    assert seen.sum() == 12
    assert codes[seen].any()
    assert codes.shape == (112, 2, 8 + 256)
    assert len(groups[seen].unique()) == 12
    assert not torch.isin(groups, 500 + torch.arange(12)).any()  # numbers of groups may be those of patients
    shared = slim_checkpoint(tmp_path / "model.ckpt")
    assert not shared.keys() & {"code_bank"}
    assert not [name for name, value in shared["state_dict"].items() if len(value.shape) and len(value) == len(seen)]


def test_a_second_training_knows_nothing_of_the_first(make_tripah, make_data, make_trainer):
    model, other = make_tripah(), make_tripah()
    make_trainer(max_epochs=1).fit(model, make_data(num_batches=3))
    other.load_state_dict(model.state_dict())
    for one in (model, other):
        make_trainer(max_epochs=1).fit(one, make_data(num_batches=2))
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_resumed_run_keeps_its_number_of_epochs(make_tripah, make_data, make_trainer, tmp_path):
    trainer = make_trainer(max_epochs=1)
    trainer.fit(make_tripah(annealing_epochs=2), make_data())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match=r"annealing_epochs \(which is trainer\.max_epochs\) 2, this one 3"):
        make_trainer(max_epochs=3).fit(
            make_tripah(annealing_epochs=3), make_data(), ckpt_path=tmp_path / "model.ckpt", weights_only=True
        )


@pytest.mark.parametrize("name", ["tripah", "label_classifier"])
def test_a_model_is_made_quietly_for_data_without_labels(name):
    """It may be tested on them. What the commands hide is hidden here as well."""
    with warnings.catch_warnings(record=True) as shown:
        small(name, num_labels=0)
    assert [str(one.message) for one in shown] == []


def rows_of(values, dtype=torch.float32):
    codes = torch.tensor(values, dtype=dtype)[:, None, None].expand(-1, 2, 3)
    labels = torch.zeros(len(values), 1, dtype=torch.uint8)
    return BankRows(codes, labels, torch.arange(len(values)), torch.ones(len(values), dtype=torch.bool))


def test_a_bank_holds_the_latest_codes_of_what_it_has_seen():
    bank = CodeBank()
    before, whole = bank.exchange(0, torch.tensor([4, 1]), rows_of([0.5, 0.25]))
    assert before.seen.tolist() == [False, False]
    assert whole.codes[:, 0, 0].tolist() == [0.25, 0.5]  # by position
    before, whole = bank.exchange(1, torch.tensor([1, 6]), rows_of([-1.0, -0.5]))
    assert before.seen.tolist() == [True, False]
    assert before.codes[0, 0, 0] == 0.25
    assert whole.codes[:, 0, 0].tolist() == [-1.0, 0.5, -0.5]


def test_the_same_batch_again_changes_nothing():
    bank = CodeBank()
    bank.exchange(0, torch.tensor([4, 1]), rows_of([0.5, 0.25]))
    for _ in range(2):
        before, whole = bank.exchange(1, torch.tensor([1, 6]), rows_of([-1.0, -0.5]))
        assert before.codes[:, 0, 0].tolist() == [0.25, 0.0]
        assert whole.codes[:, 0, 0].tolist() == [-1.0, 0.5, -0.5]


def test_an_item_that_occurs_twice_is_held_once():
    bank = CodeBank()
    bank.exchange(0, torch.tensor([1, 0]), rows_of([0.5, 0.25]))
    for _ in range(2):
        before, whole = bank.exchange(1, torch.tensor([1, 3, 1]), rows_of([-1.0, -0.5, -1.0]))
        assert before.codes[:, 0, 0].tolist() == [0.5, 0.0, 0.5]
        assert whole.codes[:, 0, 0].tolist() == [0.25, -1.0, -0.5]


def test_a_bank_keeps_mixed_precision_in_full_and_continues_from_its_state():
    bank, other = CodeBank(), CodeBank()
    assert bank.state() is None
    bank.exchange(0, torch.tensor([2]), rows_of([0.5], torch.bfloat16))
    other.load(bank.state())
    before, whole = other.exchange(1, torch.tensor([2]), rows_of([1.0], torch.bfloat16))
    assert before.codes[0, 0, 0] == 0.5
    assert whole.codes.dtype == torch.float32
    other.load(None)
    assert other.state() is None


def test_a_training_without_epochs_is_refused(make_tripah):
    with pytest.raises(ValueError, match="annealing_epochs=0 is less than 1"):
        make_tripah(annealing_epochs=0)

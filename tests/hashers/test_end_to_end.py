"""Any hasher with an encoder that learns, on raw pairs."""

import csv
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback

from mcmfh_lightning.callbacks import HammingRanking
from mcmfh_lightning.datamodules import PairDataModule
from mcmfh_lightning.datamodules.tables import PairTable
from mcmfh_lightning.encoders.base import embed_pairs
from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.hashers import (
    CCAITQ,
    DCHMT,
    DDBH,
    MCMFH,
    UCMFH,
    DScPH,
    EndToEnd,
    LabelClassifier,
    RealValued,
    TriPAH,
    TwoTower,
)
from tests.hashers import end_to_end_pairs as tiny
from tests.hashers.conftest import flat

SMALL = {"num_bits": 8, "d_model": 16}
HASHERS = {
    "mcmfh": partial(MCMFH, **SMALL, num_heads=2),
    "two_tower": partial(TwoTower, **SMALL),
    "ucmfh": partial(UCMFH, **SMALL),
    "dscph": partial(DScPH, **SMALL),
    "ddbh": partial(DDBH, **SMALL),
    "dchmt": partial(DCHMT, **SMALL),
    "tripah": partial(TriPAH, **SMALL),
    "real_valued": partial(RealValued, d_model=16),
    "label_classifier": LabelClassifier,
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return tiny.write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def make():
    def make(hasher="two_tower", trainable=None, encoder=None, **options):
        torch.manual_seed(0)
        trainable = tiny.TRAINABLE if trainable is None else trainable
        return EndToEnd(HASHERS[hasher], encoder or tiny.Tiny(), trainable, num_labels=3, **options)

    return make


@pytest.fixture
def fit(pairs, tmp_path):
    def fit(model, data=None, **options):
        trainer = tiny.make_trainer(tmp_path, **{"limit_val_batches": 0} | options)
        trainer.fit(model, data or tiny.make_data(pairs))
        return trainer

    return fit


@pytest.fixture
def pair_batch(pairs):
    """A batch of the test split, in which one item has no image and one no text."""
    table = PairTable(tiny.make_data(pairs).reader("test"), tiny.preprocess, tiny.tokenize)
    return lambda rows: table.batch(torch.tensor(rows).numpy())


class Embedded(PairDataModule):
    """Features of the pairs, embedded by another encoder than the module's, which has none."""

    embedder = None

    def table(self, reader):
        return EmbeddedTable(reader, self.embedder)

    @property
    def encoder(self):
        return self.embedder.identity


class EmbeddedTable(PairTable):
    def __init__(self, reader, encoder):
        super().__init__(reader, encoder.preprocess, encoder.tokenize)
        self.encoder = encoder.eval()

    @torch.no_grad()
    def batch(self, rows):
        return embed_pairs(self.encoder, super().batch(rows))


@pytest.fixture
def embedded(pairs):
    data = Embedded(str(pairs), batch_size=8, num_workers=0, global_batch_size=12)
    data.embedder = tiny.Tiny()
    return data


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("hasher", HASHERS)
def test_gradients_reach_what_is_trained_and_nothing_else(make, pair_batch, hasher):
    model = make(hasher)
    sum(model.objective(embed_pairs(model.encoder, pair_batch([0, 1, 2, 4, 5, 6, 7]))).terms.values()).backward()
    reached = {name for name, parameter in model.encoder.named_parameters() if parameter.grad is not None}
    assert reached == {
        *(f"late1.{name}" for name in ("0.weight", "0.bias", "1.weight", "1.bias")),
        *(f"text_late.{name}" for name in ("weight", "bias")),
    }
    assert all(model.encoder.get_parameter(name).grad.abs().sum() > 0 for name in reached)


def test_nothing_is_kept_for_gradients_of_frozen_parts(make, pair_batch):
    model, seen = make(), {}
    for name in ("early", "late1", "letters"):
        part = model.encoder.get_submodule(name)
        part.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output.requires_grad}))
    embed_pairs(model.encoder, pair_batch([0, 1, 2]))
    assert seen == {"early": False, "late1": True, "letters": False}


def test_the_gradient_is_that_of_the_hasher_carried_on(make, pair_batch):
    model, batch = make("ddbh"), pair_batch([0, 1, 2, 4, 5, 6, 7])
    sum(model.objective(embed_pairs(model.encoder, batch)).terms.values()).backward()
    found = {name: parameter.grad for name, parameter in model.encoder.named_parameters() if parameter.grad is not None}

    alone = make("ddbh")
    image, text = alone.encoder.encode_image(batch["image"]), alone.encoder.encode_text(batch["text"])
    leaves = {"image": image.detach().requires_grad_(), "text": text.detach().requires_grad_()}
    sum(alone.hasher.objective(batch | leaves).terms.values()).backward()
    torch.autograd.backward([image, text], [leaves["image"].grad, leaves["text"].grad])
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, alone.encoder.get_parameter(name).grad)


@pytest.mark.parametrize("hasher", ["two_tower", "ddbh"])
def test_embedding_in_parts_keeps_negatives_and_gradients_but_not_activations(make, pair_batch, hasher):
    batch, found = pair_batch([0, 1, 2, 4, 5, 6, 7]), []
    for size in (None, 2):
        model, kept = make(hasher).double(), []
        whole = batch | {"image": batch["image"].double()}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda value, kept=kept: kept.append(value) or value, lambda value: value
        ):
            features = embed_pairs(model.encoder, whole, size)
        # Of the encoder's layers nothing is kept: activations have channels, rows and columns.
        assert any(value.dim() == 4 and value.requires_grad for value in kept) is (size is None)
        terms = model.objective(
            {name: value.double() if value.is_floating_point() else value for name, value in features.items()}
        ).terms
        sum(terms.values()).backward()
        gradients = [value.grad for value in model.parameters() if value.grad is not None]
        found.append([torch.stack([*terms.values()]), *gradients])
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole)


@pytest.mark.parametrize("hasher", ["mcmfh", "ucmfh"])
def test_with_a_frozen_encoder_it_is_the_hasher_on_features(make, fit, embedded, hasher):
    """Bit for bit, the randomness of dropout and its place in the run included."""
    model = make(hasher, trainable=[])
    plain = make(hasher).hasher
    fit(plain, embedded)
    fit(model)
    assert len(model.make_optimizer().param_groups) == len(plain.make_optimizer().param_groups)
    trained = state(model.hasher)
    assert any(not torch.equal(value, trained[name]) for name, value in state(make(hasher).hasher).items())
    for name, value in state(plain).items():
        assert torch.equal(value, trained[name]), name


@pytest.mark.parametrize("hasher", HASHERS)
def test_training_changes_what_is_named_and_no_statistics(make, fit, hasher):
    model = make(hasher)
    before = state(model.encoder)
    fit(model, max_epochs=1)
    after = state(model.encoder)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        *(f"late1.{name}" for name in ("0.weight", "0.bias", "1.weight", "1.bias")),
        *(f"text_late.{name}" for name in ("weight", "bias")),
    }


def test_the_encoder_stays_in_evaluation_mode(make):
    model = make()
    for mode in (True, False, True):
        model.train(mode)
        assert model.hasher.training is mode
        assert not any(module.training for module in model.encoder.modules())


def test_the_encoder_learns_at_its_own_rate(make):
    model = make(encoder_lr_scale=0.25)
    model._make_optimizer = model.hasher._make_optimizer = partial(torch.optim.SGD, lr=0.4, momentum=0.9)
    of_hasher, of_encoder = model.make_optimizer().param_groups
    assert of_hasher["lr"] == 0.4
    assert of_encoder["lr"] == pytest.approx(0.1)
    assert of_encoder["momentum"] == 0.9
    assert {id(one) for one in of_encoder["params"]} == {
        id(one) for one in model.encoder.parameters() if one.requires_grad
    }
    assert {id(one) for one in of_hasher["params"]} == {id(one) for one in model.hasher.parameters()}


def test_rates_of_a_hasher_with_several_are_kept(make):
    rates = [group["lr"] for group in make("ucmfh").make_optimizer().param_groups]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-4])


def test_the_schedule_is_the_hashers_and_moves_both_rates(fit):
    hasher = tiny.two_tower(
        optimizer=partial(torch.optim.SGD, lr=0.5),
        lr_scheduler=partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.1),
    )
    trainer = fit(EndToEnd(hasher, tiny.Tiny(), tiny.TRAINABLE, encoder_lr_scale=0.5))
    (used,) = trainer.optimizers
    assert [group["lr"] for group in used.param_groups] == pytest.approx([0.5e-2, 0.25e-2])


@pytest.mark.parametrize("hasher", ["mcmfh", "two_tower"])
def test_codes_depend_on_neither_batch_nor_partner(make, pair_batch, fit, hasher):
    model = make(hasher)
    fit(model, max_epochs=1)
    model.eval()

    @torch.no_grad()
    def codes(batch):
        return flat(model.evaluate(embed_pairs(model.encoder, batch)))

    together = codes(pair_batch([0, 1, 2, 4, 5, 6]))
    for place, row in enumerate([0, 1, 2, 4, 5, 6]):
        for name, code in codes(pair_batch([row])).items():
            if name != "routing":
                torch.testing.assert_close(code[0], together[name][place], msg=name)
    others = pair_batch([0, 1, 2, 4, 5, 6]) | {"text": pair_batch([6, 5, 4, 2, 1, 0])["text"]}
    for name in ("image", *(f"query/{search}" for search in ("i2t", "i2i", "i2case") if hasher == "mcmfh")):
        assert torch.equal(codes(others)[name], together[name])
    others = pair_batch([0, 1, 2, 4, 5, 6]) | {"image": pair_batch([6, 5, 4, 2, 1, 0])["image"]}
    for name in ("text", *(f"query/{search}" for search in ("t2i", "t2t", "t2case") if hasher == "mcmfh")):
        assert torch.equal(codes(others)[name], together[name])


def test_missing_modalities_are_zeros_and_shift_nothing(make, pair_batch):
    """Item 3 has no image, item 8 no text."""
    model = make()
    mixed, whole = (embed_pairs(model.encoder, pair_batch(rows)) for rows in ([2, 3, 8, 9], [2, 9]))
    assert mixed["present"].tolist() == [[True, True], [False, True], [True, False], [True, True]]
    assert (mixed["image"][1] == 0).all()
    assert (mixed["text"][2] == 0).all()
    assert mixed["text"][1].abs().sum() > 0
    for name in ("image", "text"):
        torch.testing.assert_close(mixed[name][[0, 3]], whole[name])
    assert embed_pairs(model.encoder, pair_batch([3]))["image"].tolist() == [[0.0] * 6]


def table(folder):
    with (folder / "ranking.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("hasher", "protocols"), [("mcmfh", ("unimodal", "asymmetric")), ("real_valued", ("unimodal",))]
)
def test_ranking_equals_that_of_the_hasher_on_features(make, fit, pairs, tmp_path, embedded, hasher, protocols):
    """All systems, random hyperplanes among them, and items without an image or a text."""
    model = make(hasher)
    fit(model)
    for name, tested, data in (
        ("pairs", model, tiny.make_data(pairs)),
        ("features", model.hasher, embedded),
    ):
        embedded.embedder = model.encoder
        ranking = HammingRanking(protocols=protocols)
        tiny.make_trainer(tmp_path / name, callbacks=[ranking]).test(tested, data, verbose=False)
    ours, theirs = table(tmp_path / "pairs"), table(tmp_path / "features")
    assert {row["system"] for row in ours} >= {"model", "hyperplanes", "constant", "chance", "shuffled queries"}
    assert {row["database"] for row in ours} == {"unseen", "train+val"}
    assert ours == theirs


def test_validation_selects_as_for_features(make, fit, pairs, tmp_path):
    class Seen(Callback):
        def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
            assert batch["image"].shape[1:] == (6,)
            assert not batch["image"].requires_grad

    trainer = fit(make(), limit_val_batches=1.0, callbacks=[HammingRanking(), Seen()])
    assert 0 < trainer.callback_metrics["val/mAP"] <= 1


@pytest.mark.parametrize("hasher", ["mcmfh", "dscph", "label_classifier"])
def test_a_checkpoint_restores_both(make, fit, pairs, pair_batch, tmp_path, hasher):
    model = make(hasher)
    fit(model).save_checkpoint(tmp_path / "model.ckpt")
    torch.load(tmp_path / "model.ckpt", weights_only=True)
    torch.manual_seed(1)
    # A hasher with classes takes as many as it was trained on.
    restored = EndToEnd(HASHERS[hasher], tiny.Tiny(), [], num_labels=7)
    trainer = tiny.make_trainer(tmp_path)
    trainer.test(restored, tiny.make_data(pairs), ckpt_path=tmp_path / "model.ckpt", weights_only=True, verbose=False)
    for name, value in state(model).items():
        assert torch.equal(value, restored.state_dict()[name]), name
    loaded = EndToEnd.load_from_checkpoint(
        tmp_path / "model.ckpt",
        weights_only=True,
        hasher=HASHERS[hasher],
        encoder=tiny.Tiny(),
        trainable=[],
        num_labels=3,
    )
    with torch.no_grad():
        codes = [one.eval().evaluate(embed_pairs(one.encoder, pair_batch([0, 1]))) for one in (model, loaded)]
    assert torch.equal(codes[0]["image"], codes[1]["image"])


def test_a_checkpoint_says_what_it_is(make, fit, tmp_path):
    fit(make("mcmfh")).save_checkpoint(tmp_path / "model.ckpt")
    stored = torch.load(tmp_path / "model.ckpt", weights_only=True)["mcmfh"]
    assert stored["architecture"]["hasher"] == "EndToEnd(MCMFH)"
    assert stored["num_bits"] == 8
    assert stored["encoder"] == {"name": "tiny"}
    assert stored["label_vocabulary"] == ("normal", "opacity", "effusion")


def test_what_differs_is_refused(make, fit, embedded, pairs, tmp_path):
    path = tmp_path / "model.ckpt"
    fit(make()).save_checkpoint(path)

    def test(model, data=None):
        tiny.make_trainer(tmp_path).test(model, data or tiny.make_data(pairs), ckpt_path=path, weights_only=True)

    with pytest.raises(CheckpointError, match=r"hasher='EndToEnd\(TwoTower\)'.*hasher='EndToEnd\(DDBH\)'"):
        test(make("ddbh"))
    with pytest.raises(CheckpointError, match=r"num_bits=8.*num_bits=16"):
        test(EndToEnd(tiny.two_tower(num_bits=16), tiny.Tiny(), tiny.TRAINABLE))
    with pytest.raises(CheckpointError, match=r"'tiny'.*'other'.*name that encoder or train again"):
        test(make(encoder=tiny.Tiny("other")))
    with pytest.raises(CheckpointError, match=r"hasher='EndToEnd\(TwoTower\)'.*hasher='TwoTower'"):
        test(make().hasher, embedded)
    test(make())


def test_a_resumed_run_repeats_the_uninterrupted_one(make, fit, pairs, tmp_path):
    fit(make("mcmfh"), max_epochs=1).save_checkpoint(tmp_path / "half.ckpt")
    resumed, whole = make("mcmfh"), make("mcmfh")
    trainer = tiny.make_trainer(tmp_path, limit_val_batches=0)
    trainer.fit(resumed, tiny.make_data(pairs), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    fit(whole)
    for name, value in state(whole).items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_part_of_no_pairs_is_refused(make):
    with pytest.raises(ValueError, match="micro_batch_size=0 is less than 1"):
        make(micro_batch_size=0)


def test_closed_forms_have_nothing_to_teach_an_encoder():
    with pytest.raises(ValueError, match=r"CCAITQ is fitted in closed form.*mcmfh predict"):
        EndToEnd(partial(CCAITQ, num_bits=4), tiny.Tiny(), [])


@pytest.mark.slow
def test_two_processes_train_and_rank_as_one(pairs, tmp_path):
    for name, processes in (("one", {}), ("two", {"strategy": "ddp_fork", "devices": 2})):
        (tmp_path / name).mkdir()
        tiny.fit_and_test(pairs, tmp_path / name, **processes)
    one, two = (torch.load(tmp_path / name / "weights.pt", weights_only=True) for name in ("one", "two"))
    for key, value in one.items():
        torch.testing.assert_close(value, two[key], msg=key)
    assert table(tmp_path / "one") == table(tmp_path / "two")

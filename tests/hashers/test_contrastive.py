"""The objective that MCMFH and TwoTower share: what counts as a query, and what dropout draws."""

from dataclasses import replace

import pytest
import torch

from mcmfh_lightning.losses import ContrastiveLoss, find_positives
from mcmfh_lightning.metrics.functional import unpack_bits
from mcmfh_lightning.randomness import SampleKey
from mcmfh_lightning.searches import SEARCHES
from tests.hashers.conftest import flat
from tests.hashers.searches_by_hand import average_precision_of_searches, info_nce_of_searches


@pytest.fixture
def attached(make_two_tower, make_data, make_trainer):
    """A model that has seen a datamodule whose first label is the normal one."""

    def make(normal_label="normal", **options):
        model, data = make_two_tower(**options), make_data(label_vocabulary=("normal", "effusion", "nodule", "mass"))
        data.normal_label = normal_label
        model.trainer = make_trainer()
        model.trainer.datamodule = data
        return model

    return make


def hashing(model, batch):
    return model.objective(batch).terms["hashing"]


def test_normal_pairs_are_no_queries_but_items_of_the_others_rankings(attached, make_batch):
    batch = make_batch(rows=30)
    normal = unpack_bits(batch["labels"])[:, 0].bool()
    assert normal.any()
    model = attached(normal_weight=0.0, temperature=0.3)
    codes, relations = flat(model.evaluate(batch)), find_positives(batch["labels"], batch["group"], "labels")
    rows = (~normal).nonzero()[:, 0].tolist()
    losses = info_nce_of_searches(codes, relations, 0.3, rows)
    torch.testing.assert_close(hashing(model, batch), torch.stack(list(losses.values())).mean())
    model.loss = replace(model.loss, hashing_loss="average_precision")
    losses = average_precision_of_searches(codes, relations, rows)
    torch.testing.assert_close(hashing(model, batch), torch.stack(list(losses.values())).mean())


@pytest.mark.parametrize("options", [{"normal_label": None}, {"normal_weight": 1.0}, {"supervision": "pairs"}])
def test_all_pairs_count_alike(attached, make_two_tower, make_batch, options):
    """Without a normal label, with its full weight, and where labels are not looked at."""
    batch = make_batch()
    alone = {name: value for name, value in options.items() if name != "normal_label"}
    torch.testing.assert_close(
        hashing(attached(**options), batch), hashing(make_two_tower(**alone | {"normal_weight": 1.0}), batch)
    )


def test_both_is_the_sum(make_two_tower, make_batch):
    batch = make_batch()
    parts = [hashing(make_two_tower(hashing_loss=name), batch) for name in ("info_nce", "average_precision", "both")]
    torch.testing.assert_close(parts[0] + parts[1], parts[2])


@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_alone_is_the_loss_of_that_search(make_two_tower, make_batch, search):
    """And none of the others: an item of another kind, or the query itself, would change it."""
    batch = make_batch()
    alone = {f"{name}_weight": float(name == search) for name in SEARCHES}
    model = make_two_tower(query_heads=True, hashing_loss="average_precision", **alone)
    codes, relations = flat(model.evaluate(batch)), find_positives(batch["labels"], batch["group"], "labels")
    losses = average_precision_of_searches(codes, relations)
    torch.testing.assert_close(hashing(model, batch), losses[search])
    assert len({round(float(loss.detach()), 6) for loss in losses.values()}) == len(losses)


def test_a_query_is_no_item_of_its_own_search(make_two_tower, make_batch):
    """Of pairs that have nothing in common nothing can be found within a modality, and the loss is 0."""
    batch = make_batch()
    for search, (query, target) in SEARCHES.items():
        alone = {f"{name}_weight": float(name == search) for name in SEARCHES}
        found = hashing(make_two_tower(supervision="pairs", **alone), batch)
        assert (found.item() == 0) == (query == target)


def test_relations_without_weights_are_refused(make_two_tower):
    with pytest.raises(ValueError, match="weights of all searches are 0: give one of them a weight"):
        make_two_tower(**{f"{name}_weight": 0.0 for name in SEARCHES})


def test_input_dropout_is_keyed_by_step_and_sample(make_batch):
    loss, batch = ContrastiveLoss(image_dropout=0.5, text_dropout=0.2), make_batch(rows=200)

    def dropped(batch, loss=loss, step=0, seed=0):
        return loss.drop_inputs(batch["image"], batch["text"], SampleKey(step, batch["index"]), seed)

    image, text = dropped(batch)
    assert ((image == 0) | torch.isclose(image, 2 * batch["image"])).all()
    assert (image == 0).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert ((text == 0) | torch.isclose(text, batch["text"] / 0.8)).all()
    assert (text == 0).double().mean().item() == pytest.approx(0.2, abs=0.06)
    some = {name: value[50:60] for name, value in batch.items()}
    assert torch.equal(dropped(some)[0], image[50:60])
    assert not torch.equal(dropped(batch, step=1)[0], image)
    assert not torch.equal(dropped(batch, seed=1)[0], image)
    image, text = dropped(batch, ContrastiveLoss(image_dropout=0.0, text_dropout=0.5))
    assert torch.equal(image, batch["image"])
    assert (text == 0).any()


def test_input_dropout_of_a_model_depends_on_its_step_and_seed(make_two_tower, make_batch, monkeypatch):
    model, batch = make_two_tower(image_dropout=0.5), make_batch()
    before = hashing(model, batch)
    assert torch.equal(hashing(model, batch), before)
    assert not torch.equal(hashing(make_two_tower(image_dropout=0.5, seed=1), batch), before)
    monkeypatch.setattr(type(model), "global_step", 1)
    assert not torch.equal(hashing(model, batch), before)


@pytest.mark.parametrize(
    ("name", "value"),
    [("normal_weight", -0.1), ("i2case_weight", -0.5), ("image_dropout", 1.0), ("text_dropout", -0.1)],
)
def test_nonsense_is_refused(make_two_tower, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        make_two_tower(**{name: value})

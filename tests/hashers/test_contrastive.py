"""The objective that MCMFH and TwoTower share: what counts as a query, and what dropout draws."""

from dataclasses import replace

import pytest
import torch

from mcmfh_lightning.losses import ContrastiveLoss, average_precision_loss, find_positives, info_nce
from mcmfh_lightning.metrics.functional import unpack_bits
from mcmfh_lightning.randomness import SampleKey


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
    image, text = model.encode(batch["image"], batch["text"])
    positives, ignored = find_positives(batch["labels"], batch["group"], "labels")
    there = info_nce_of_rows(image[~normal], text, positives[~normal], 0.3)
    back = info_nce_of_rows(text[~normal], image, positives.T[~normal], 0.3)
    torch.testing.assert_close(hashing(model, batch), (there + back) / 2)
    model.loss = replace(model.loss, hashing_loss="average_precision")
    there = average_precision_loss(image[~normal], text, positives[~normal], ignored[~normal])
    back = average_precision_loss(text[~normal], image, positives.T[~normal], ignored.T[~normal])
    torch.testing.assert_close(hashing(model, batch), (there + back) / 2)


def info_nce_of_rows(queries, items, positives, temperature):
    """Row by row, from the formula."""
    values = []
    for query, related in zip(queries, positives, strict=True):
        cosines = torch.nn.functional.cosine_similarity(query[None], items) / temperature
        values += [-(cosines[related] - cosines.logsumexp(0)).mean()]
    return torch.stack(values).mean()


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
    model = make_two_tower()
    image, text = model.encode(batch["image"], batch["text"])
    positives = find_positives(batch["labels"], batch["group"], "labels").positives
    torch.testing.assert_close(parts[0], info_nce(image, text, positives, model.loss.temperature))


def test_input_dropout_is_keyed_by_step_and_sample(make_batch):
    loss, batch = ContrastiveLoss(input_dropout=0.5), make_batch(rows=200)

    def dropped(batch, loss=loss, step=0, seed=0):
        return loss.drop_inputs(batch["image"], batch["text"], SampleKey(step, batch["index"]), seed)

    image, text = dropped(batch)
    assert ((image == 0) | torch.isclose(image, 2 * batch["image"])).all()
    assert (image == 0).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (text == 0).double().mean().item() == pytest.approx(0.5, abs=0.06)
    some = {name: value[50:60] for name, value in batch.items()}
    assert torch.equal(dropped(some)[0], image[50:60])
    assert not torch.equal(dropped(batch, step=1)[0], image)
    assert not torch.equal(dropped(batch, seed=1)[0], image)
    assert torch.equal(dropped(batch, ContrastiveLoss(input_dropout=0.0))[0], batch["image"])


def test_input_dropout_of_a_model_depends_on_its_step_and_seed(make_two_tower, make_batch, monkeypatch):
    model, batch = make_two_tower(input_dropout=0.5), make_batch()
    before = hashing(model, batch)
    assert torch.equal(hashing(model, batch), before)
    assert not torch.equal(hashing(make_two_tower(input_dropout=0.5, seed=1), batch), before)
    monkeypatch.setattr(type(model), "global_step", 1)
    assert not torch.equal(hashing(model, batch), before)


@pytest.mark.parametrize(("name", "value"), [("normal_weight", -0.1), ("input_dropout", 1.0), ("input_dropout", -0.1)])
def test_nonsense_is_refused(make_two_tower, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        make_two_tower(**{name: value})

import pytest
import torch

from mcmfh_lightning.hashers import LabelClassifier, RealValued
from mcmfh_lightning.losses import find_positives, info_nce
from mcmfh_lightning.metrics.functional import unpack_bits

SIZES = {"image_dim": 10, "text_dim": 6}


def test_real_valued_is_contrastive_between_the_towers(make_batch):
    model, batch = RealValued(**SIZES, d_model=8, temperature=0.3, supervision="pairs"), make_batch()
    image, text = model.encode(batch["image"], batch["text"])
    positives = find_positives(batch["labels"], batch["group"], "pairs").positives
    found = model.objective(batch).terms
    torch.testing.assert_close(found, {"contrastive": info_nce(image, text, positives, 0.3)})
    assert not isinstance(model.image_tower[-1], torch.nn.Tanh)


@pytest.mark.parametrize(
    "make", [lambda: RealValued(**SIZES, d_model=8), lambda: LabelClassifier(**SIZES, num_labels=4)]
)
def test_embeddings_have_length_one_and_do_not_see_the_partner(make, make_batch):
    model, batch = make(), make_batch()
    model.objective(batch)
    with torch.inference_mode():
        before = model.evaluate(batch)
        after = model.evaluate(batch | {"text": torch.randn_like(batch["text"])})
    assert model.distance == "cosine"
    torch.testing.assert_close(before["image"].norm(dim=1), torch.ones(len(batch["image"])))
    assert torch.equal(before["image"], after["image"])
    assert not torch.equal(before["text"], after["text"])


def test_the_classifier_is_linear_and_weighs_rare_labels(make_batch):
    model, batch = LabelClassifier(**SIZES, num_labels=4), make_batch()
    terms = model.objective(batch).terms
    labels = unpack_bits(batch["labels"])[:, :4].float()
    logits = model.image_tower(batch["image"])
    expected = -(labels * logits.sigmoid().log() + (1 - labels) * (1 - logits.sigmoid()).log()).mean()
    torch.testing.assert_close(terms["image"], expected)
    weighted = logits.sigmoid() * (len(labels) / labels.sum(0)).log()
    torch.testing.assert_close(model.evaluate(batch)["image"], weighted / weighted.norm(dim=1, keepdim=True))


def test_a_classifier_is_tested_on_data_of_other_labels(make_data, make_trainer, tmp_path):
    trainer, model = make_trainer(max_epochs=1), LabelClassifier(**SIZES, num_labels=4)
    trainer.fit(model, datamodule=make_data())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    other = LabelClassifier(**SIZES, num_labels=7)
    make_trainer().test(other, make_data(), ckpt_path=tmp_path / "model.ckpt", weights_only=True)
    assert torch.equal(other.carriers, model.carriers)


def test_a_temperature_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="temperature=0"):
        RealValued(**SIZES, temperature=0.0)

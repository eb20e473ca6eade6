import torch

from mcmfh_lightning.losses import bit_variance, class_proxy_loss, find_positives, semi_hard_triplet
from mcmfh_lightning.metrics.functional import unpack_bits


def test_terms_are_the_losses_of_both_towers(make_dscph, make_batch):
    model, batch = make_dscph(bit_variance_weight=0.7, triplet_weight=0.2), make_batch()
    labels = unpack_bits(batch["labels"])[:, :4]
    similar, ignored = find_positives(batch["labels"], batch["group"], "labels")
    both = model.encode(batch["image"], batch["text"])
    expected = {
        "proxy": sum(class_proxy_loss(codes, model.proxies, labels) for codes in both),
        "bit_variance": 0.7 * sum(bit_variance(codes @ model.rotation.matrix().T) for codes in both),
        "triplet": 0.2 * sum(semi_hard_triplet(codes, similar, ~similar & ~ignored, 0.25) for codes in both),
    }
    terms = model.objective(batch).terms
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)
    assert make_dscph().objective(batch).terms.keys() == {"proxy", "bit_variance"}


def test_every_parameter_gets_a_gradient(make_dscph, make_batch):
    model = make_dscph()
    sum(model.objective(make_batch()).terms.values()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_a_model_is_tested_on_data_of_other_classes(make_dscph, make_data, make_trainer, tmp_path):
    trainer = make_trainer(max_epochs=1)
    trainer.fit(make_dscph(), datamodule=make_data())
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    make_trainer().test(make_dscph(num_labels=7), make_data(), ckpt_path=tmp_path / "model.ckpt", weights_only=True)

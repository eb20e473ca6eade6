import torch

from mcmfh_lightning.losses import boundary_point_loss, find_positives, similarity_quantization


def test_terms_are_the_losses_of_the_formula(make_ddbh, make_batch):
    model, batch = make_ddbh(quantization_weight=0.3), make_batch()
    image, text = model.encode(batch["image"], batch["text"])
    similar, ignored = find_positives(batch["labels"], batch["group"], "labels")
    others = ~similar & ~ignored
    expected = {
        "image": boundary_point_loss(image, image, similar, others),
        "text": boundary_point_loss(text, text, similar, others),
        "cross": boundary_point_loss(image, text, similar, others),
        "quantisation": 0.3 * (similarity_quantization(image, similar) + similarity_quantization(text, similar)),
    }
    terms = model.objective(batch).terms
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


def test_every_parameter_gets_a_gradient(make_ddbh, make_batch):
    model = make_ddbh()
    sum(model.objective(make_batch()).terms.values()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())

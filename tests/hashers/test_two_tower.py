import torch

from mcmfh_lightning.losses import bit_balance, find_positives, info_nce, quantization


def test_terms_are_the_losses_between_the_towers(make_two_tower, make_batch):
    options = {"temperature": 0.4, "quantization_weight": 0.3, "bit_balance_weight": 0.2, "supervision": "pairs"}
    model, batch = make_two_tower(**options), make_batch()
    image, text = model.encode(batch["image"], batch["text"])
    relations = find_positives(batch["labels"], batch["group"], "pairs")
    expected = {
        "hashing": info_nce(image, text, relations.positives, 0.4),
        "quantisation": 0.3 * (quantization(image) + quantization(text)) / 2,
        "bit_balance": 0.2 * (bit_balance(image) + bit_balance(text)) / 2,
    }
    terms = model.objective(batch).terms
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


def test_every_parameter_gets_a_gradient(make_two_tower, make_batch):
    model = make_two_tower()
    sum(model.objective(make_batch()).terms.values()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_the_modalities_share_no_parameter_path(make_two_tower, make_batch):
    model, batch = make_two_tower(), make_batch()
    model.encode(batch["image"], batch["text"]).image.sum().backward()
    assert all(parameter.grad is None for parameter in model.text_tower.parameters())


def test_d_model_is_the_width_of_the_towers(make_two_tower):
    assert make_two_tower(d_model=20).image_tower[0].linear.weight.shape == (20, 10)

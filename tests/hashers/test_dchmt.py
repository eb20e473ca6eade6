import pytest
import torch

from mcmfh_lightning.losses import bounded_distance_loss, find_positives
from tests.hashers.planted import found_after_training


def test_terms_are_the_losses_of_the_formula(make_dchmt, make_batch):
    model, batch = make_dchmt(margin_share=0.5, quantization_weight=0.3), make_batch()
    image, text = model.encode(batch["image"], batch["text"])
    similar, ignored = find_positives(batch["labels"], batch["group"], "labels")
    relations = similar, ~similar & ~ignored, 0.5
    expected = {
        "image": bounded_distance_loss(image, image, *relations),
        "text": bounded_distance_loss(text, text, *relations),
        "cross": bounded_distance_loss(image, text, *relations),
        "quantization": 0.3 * (1 - (image.square().mean() + text.square().mean()) / 2),
    }
    terms = model.objective(batch).terms
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


def test_every_parameter_gets_a_gradient(make_dchmt, make_batch):
    for query_heads in (False, True):
        model = make_dchmt(query_heads=query_heads)
        sum(model.objective(make_batch()).terms.values()).backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_similar_items_are_found_after_training(make_dchmt, make_batch):
    found = found_after_training(make_dchmt(d_model=32, num_bits=16), make_batch)
    assert all(after > 0.7 for _, after in found.values()), found
    assert all(found[search][0] < 0.4 for search in ("i2t", "t2i")), found


def test_a_margin_that_no_code_can_have_is_refused(make_dchmt):
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match=f"margin_share={share} is outside"):
            make_dchmt(margin_share=share)

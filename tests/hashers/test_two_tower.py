import pytest
import torch

from mcmfh_lightning.losses import bit_balance, find_positives, quantization
from mcmfh_lightning.searches import SEARCHES
from tests.hashers.conftest import flat
from tests.hashers.searches_by_hand import info_nce_of_searches


@pytest.mark.parametrize("query_heads", [False, True])
def test_terms_are_the_losses_of_all_searches(make_two_tower, make_batch, query_heads):
    options = {"temperature": 0.4, "quantization_weight": 0.3, "bit_balance_weight": 0.2, "supervision": "pairs"}
    weights = {"i2t_weight": 0.5, "t2t_weight": 0.0, "t2case_weight": 2.0}
    model, batch = make_two_tower(**options, **weights, query_heads=query_heads), make_batch()
    batch["group"][:6] = torch.tensor([1, 1, 1, 2, 2, 3])  # films of one study: they can find each other
    model.unlearned = ()  # as training has them: quantization and balance ask for the codes of every head
    codes = flat(model.evaluate(batch))
    relations = find_positives(batch["labels"], batch["group"], "pairs")
    losses = info_nce_of_searches(codes, relations, 0.4)
    items = [codes[name] for name in ("image", "text", "case")]
    queries = [codes.get(f"query/{name}", codes[search.query]) for name, search in SEARCHES.items()]

    def mean(term):
        return (sum(map(term, items)) / 3 + sum(map(term, queries)) / 6) / 2

    expected = {
        "hashing": torch.tensor([0.5, 1, 1, 0, 1, 2]) @ torch.stack(list(losses.values())) / 5.5,
        "quantisation": 0.3 * mean(quantization),
        "bit_balance": 0.2 * mean(bit_balance),
    }
    terms, statistics = model.objective(batch)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)
    assert statistics.keys() == {f"hashing/{search}" for search in SEARCHES}
    for search, value in losses.items():
        torch.testing.assert_close(statistics[f"hashing/{search}"], value)


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

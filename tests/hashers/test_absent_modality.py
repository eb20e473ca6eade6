"""Missing modalities reach a hasher as zeros: their codes are masked later, but they must be numbers."""

import torch

from mcmfh_lightning.evaluation.nulls import RandomHyperplanes
from tests.hashers.conftest import flat


def test_codes_of_zeros_are_finite_and_the_other_rows_are_untouched(make_any, make_batch):
    model, batch = make_any().eval(), make_batch(6)
    if "count" in model.state_dict():  # a closed form has no projections before it is fitted
        model.image_weight.normal_(), model.text_weight.normal_()
    present = torch.tensor([[True, True], [False, True], [True, False]] * 2)
    absent = batch | {name: batch[name] * present[:, i, None] for i, name in enumerate(("image", "text"))}
    with torch.no_grad():
        whole, zeroed = flat(model.evaluate(batch)), flat(model.evaluate(absent))
    for name, codes in zeroed.items():
        if name == "routing":
            continue
        assert codes.isfinite().all(), name
        torch.testing.assert_close(codes[[0, 3]], whole[name][[0, 3]])
    torch.testing.assert_close(zeroed["image"][[2, 5]], whole["image"][[2, 5]])  # these have an image and no text


def test_hyperplanes_of_zeros_give_codes():
    planes = RandomHyperplanes(16, 12, 9, seed=0, device=torch.device("cpu"))
    codes = planes.codes({"image": torch.zeros(1, 12), "text": torch.zeros(1, 9)})
    assert all(code.shape == (1, 2) for code in codes.values())

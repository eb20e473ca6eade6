import pytest
import torch

from mcmfh_lightning.hashers import UCMFH
from mcmfh_lightning.layers import ConcatFusion
from mcmfh_lightning.losses import nt_xent


def terms(model, batch):
    return model.objective(batch).terms


def test_the_fusion_has_the_published_number_of_weights():
    fusion = ConcatFusion(512)
    assert sum(parameter.numel() for parameter in fusion.parameters()) == pytest.approx(16.80e6, abs=5e3)


def test_the_hash_heads_are_512_4096_bits():
    model = UCMFH(num_bits=16, image_dim=10, text_dim=6)
    assert [tuple(layer.weight.shape) for layer in (model.image_head.hidden, model.image_head.out)] == [
        (4096, 512),
        (16, 4096),
    ]


def test_terms_are_nt_xent_of_halves_and_of_codes(make_ucmfh, make_batch):
    model, batch = make_ucmfh(temperature=0.3).eval(), make_batch()
    image, text = model.fusion(model.image_projection(batch["image"]), model.text_projection(batch["text"]))
    codes = model.encode(batch["image"], batch["text"])
    found = terms(model, batch)
    torch.testing.assert_close(found["fusion"], nt_xent(image, text, 0.3))
    torch.testing.assert_close(found["hashing"], 0.5 * nt_xent(*codes, 0.3))


def test_all_views_add_what_is_seen_alone(make_ucmfh, make_batch):
    model, batch = make_ucmfh(views="all").eval(), make_batch()
    alone = model.encode(batch["image"], None).image, model.encode(None, batch["text"]).text
    together = model.encode(batch["image"], batch["text"])
    expected = 0.5 * (nt_xent(*together, 0.5) + nt_xent(*alone, 0.5)) / 2
    torch.testing.assert_close(terms(model, batch)["hashing"], expected)


def test_codes_have_length_one(make_ucmfh, make_batch):
    for codes in make_ucmfh().eval().evaluate(make_batch()).values():
        if codes.shape[1] and codes is not None:
            assert (codes.norm(dim=1) < 1 + 1e-6).all()


def test_published_evaluation_depends_on_the_batch_and_ours_does_not(make_ucmfh, make_batch):
    batch = make_batch(32)
    half = {name: value[:16] for name, value in batch.items()}
    with torch.inference_mode():
        for legacy in (False, True):
            model = make_ucmfh(legacy_batch_attention=legacy, num_bits=64).eval()
            whole, part = model.evaluate(batch)["fused_image"][:16], model.evaluate(half)["fused_image"]
            assert torch.allclose(whole, part, atol=1e-5) is not legacy


def test_dropout_is_drawn_from_the_step_alone(make_ucmfh, make_batch):
    model, batch = make_ucmfh(), make_batch()
    first = terms(model, batch)
    torch.randn(7)  # a free-running generator would be elsewhere by now
    state = torch.random.get_rng_state()
    again = terms(model, batch)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first["fusion"], again["fusion"])
    assert not torch.equal(first["fusion"], terms(model.eval(), batch)["fusion"])
    assert not torch.equal(first["fusion"], terms(make_ucmfh(seed=1), batch)["fusion"])


def test_a_sample_drops_the_same_units_in_any_batch(make_ucmfh, make_batch):
    model, batch = make_ucmfh(views="all"), make_batch(16)
    key = model._key(batch, 0)
    whole = model._fuse(batch["image"], batch["text"], key)
    part = {name: value[5:9] for name, value in batch.items()}
    for ours, theirs in zip(whole, model._fuse(part["image"], part["text"], model._key(part, 0)), strict=True):
        torch.testing.assert_close(ours[5:9], theirs, atol=1e-6, rtol=0)
    other = model._fuse(batch["image"], batch["text"], model._key(batch, 1))
    assert not torch.allclose(whole[0], other[0], atol=1e-3)


def test_the_fusion_learns_at_its_own_rate(make_ucmfh):
    model = make_ucmfh(optimizer=lambda groups: torch.optim.Adam(groups, lr=1e-3), fusion_lr_scale=0.1)
    others, fusion = model.configure_optimizers().param_groups
    assert (others["lr"], fusion["lr"]) == pytest.approx((1e-3, 1e-4))
    assert len(others["params"]) + len(fusion["params"]) == len(list(model.parameters()))
    assert {id(weight) for weight in fusion["params"]} == {id(weight) for weight in model.fusion.parameters()}


def test_unknown_views_and_temperatures_are_refused(make_ucmfh):
    with pytest.raises(ValueError, match="views='both'"):
        make_ucmfh(views="both")
    with pytest.raises(ValueError, match="temperature=0"):
        make_ucmfh(temperature=0.0)

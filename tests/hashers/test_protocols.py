"""What a code may depend on, for every hasher."""

import pytest
import torch

from mcmfh_lightning.searches import SEARCHES
from tests.hashers.conftest import flat

FUSED = ("fused_image", "fused_text")


def evaluate(model, batch):
    with torch.inference_mode():
        return flat(model.eval().evaluate(batch))


def other(batch, modality):
    """The batch with every sample's ``modality`` replaced."""
    generator = torch.Generator().manual_seed(7)
    return batch | {modality: torch.randn(batch[modality].shape, generator=generator).to(batch[modality].dtype)}


@pytest.mark.parametrize("modality", ["image", "text"])
def test_unimodal_codes_do_not_see_the_partner_bit_for_bit(make_hasher, make_batch, modality):
    partner = {"image": "text", "text": "image"}[modality]
    model, batch = make_hasher(), make_batch(64)
    before, after = evaluate(model, batch), evaluate(model, other(batch, partner))
    assert torch.equal(before[modality], after[modality])
    assert not torch.equal(before[partner], after[partner])


@pytest.mark.parametrize("search", SEARCHES)
def test_a_query_head_does_not_see_the_other_modality_bit_for_bit(make_with_query_heads, make_batch, search):
    model, batch = make_with_query_heads(), make_batch(64)
    query = SEARCHES[search].query
    partner = {"image": "text", "text": "image"}[query]
    before, other_partner, other_query = (
        evaluate(model, changed)[f"query/{search}"] for changed in (batch, other(batch, partner), other(batch, query))
    )
    assert torch.equal(before, other_partner)
    assert not torch.equal(before, other_query)
    with torch.inference_mode():  # what an archive computes, which has no partner
        assert torch.equal(model.encode_query(search, batch[query]), before)


def test_each_search_has_a_head_of_its_own(make_with_query_heads, make_batch):
    output = evaluate(make_with_query_heads(num_bits=64), make_batch(16))
    for first in SEARCHES:
        modality = SEARCHES[first].query
        assert not torch.equal(output[f"query/{first}"] >= 0, output[modality] >= 0)
        for second in SEARCHES.keys() - {first}:
            assert not torch.equal(output[f"query/{first}"] >= 0, output[f"query/{second}"] >= 0)


def test_without_query_heads_queries_have_the_codes_of_items(make_hasher, make_batch):
    options = {"query_heads": False} if make_hasher.args == ("mcmfh",) else {}
    model, batch = make_hasher(**options), make_batch()
    output = evaluate(model, batch)
    assert not [name for name in output if name.startswith("query/")]
    for search, (query, _) in SEARCHES.items():
        with torch.inference_mode():
            assert torch.equal(model.encode_query(search, batch[query]), output[query])


@pytest.mark.parametrize("modality", ["image", "text"])
def test_case_codes_see_both_modalities(make_hasher, make_batch, modality):
    # Both modalities of TriPAH pass one hash layer: untrained, its case codes differ in few bits.
    bits = 256 if make_hasher.args == ("tripah",) else 64
    model, batch = make_hasher(num_bits=bits), make_batch(16)
    before, after = evaluate(model, batch)["case"], evaluate(model, other(batch, modality))["case"]
    assert ((before >= 0) != (after >= 0)).any(dim=1).all()


@pytest.mark.parametrize("fusion", ["tokens", "concat"])
@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("code", FUSED)
def test_paired_codes_of_mcmfh_see_the_partner(make_mcmfh, make_batch, fusion, modality, code):
    model, batch = make_mcmfh(fusion=fusion, num_layers=2), make_batch(16)
    before, after = evaluate(model, batch)[code], evaluate(model, other(batch, modality))[code]
    assert ((before - after).abs().amax(dim=1) > 1e-3).all()


@pytest.mark.parametrize("code", FUSED)
def test_paired_codes_of_ucmfh_see_the_partner(make_ucmfh, make_batch, code):
    model, batch = make_ucmfh(), make_batch(16)
    partner = {"fused_image": "text", "fused_text": "image"}[code]
    before, after = evaluate(model, batch)[code], evaluate(model, other(batch, partner))[code]
    assert ((before - after).abs().amax(dim=1) > 1e-3).all()


@pytest.mark.parametrize("method", ["two_tower", "dscph", "ddbh", "dchmt", "tripah"])
def test_towers_have_nothing_fused(request, method, make_batch):
    model, batch = request.getfixturevalue(f"make_{method}")(), make_batch()
    output = evaluate(model, batch)
    assert set(output) == {"image", "text", "case"}
    torch.testing.assert_close(output["case"], (output["image"] + output["text"]) / 2)


def test_case_codes_of_mcmfh_are_the_mean_of_the_fused_heads(make_mcmfh, make_batch):
    output = evaluate(make_mcmfh(), make_batch())
    torch.testing.assert_close(output["case"], (output["fused_image"] + output["fused_text"]) / 2)


@pytest.mark.parametrize("rows", [[3], [3, 4], [40, 3, 17, 22, 5], list(range(63, -1, -1))])
def test_codes_do_not_depend_on_the_batch(make_hasher, make_batch, rows):
    for dtype in (torch.float64, torch.float32):
        model, batch = make_hasher().to(dtype), make_batch(64, dtype=dtype)
        whole, part = evaluate(model, batch), evaluate(model, {name: value[rows] for name, value in batch.items()})
        for name in whole.keys() - {"routing"}:
            expected, found = whole[name][rows], part[name]
            assert torch.allclose(found, expected, rtol=0, atol=1e-5)
            sure = expected.abs() > (0 if dtype == torch.float64 else 1e-4)
            assert torch.equal((found >= 0)[sure], (expected >= 0)[sure])


def test_encode_and_evaluate_agree(make_hasher, make_batch):
    model, batch = make_hasher(), make_batch()
    output = evaluate(model, batch)
    with torch.inference_mode():
        image_only, text_only = model.encode(batch["image"], None), model.encode(None, batch["text"])
        both = model.encode(batch["image"], batch["text"])
    assert torch.equal(image_only.image, output["image"])
    assert image_only.text is None
    assert torch.equal(text_only.text, output["text"])
    assert text_only.image is None
    torch.testing.assert_close((both.image + both.text) / 2, output["case"])


def test_encoding_is_deterministic_even_in_training_mode(make_hasher, make_batch):
    model, batch = make_hasher(), make_batch()
    assert torch.equal(
        model.train().encode(batch["image"], None).image, model.eval().encode(batch["image"], None).image
    )


def test_encoding_nothing_is_refused(make_hasher):
    with pytest.raises(ValueError, match="image, a text or both"):
        make_hasher().encode(None, None)


def test_an_empty_batch_has_empty_codes(make_hasher, make_batch):
    output = evaluate(make_hasher(), make_batch(0))
    assert output["image"].shape == output["case"].shape == (0, 8)


def test_routing_counts_the_tokens_of_each_modality(make_mcmfh, make_batch):
    model = make_mcmfh(num_layers=3, num_experts=5, top_k=2)
    routing = evaluate(model, make_batch(12))["routing"]
    assert routing.shape == model.routing_shape == (3, 2, 5)
    assert (routing.sum(-1) == 12 * 2 * 2).all()  # seen alone and fused, two experts each

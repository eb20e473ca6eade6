from pathlib import Path

import pytest
import torch
from torch import nn

from mcmfh_lightning.encoders import TwoTowerEncoder
from mcmfh_lightning.encoders.base import add_trained, train_only


@pytest.fixture
def module() -> nn.Module:
    """Eleven layers in a list, next to others, one of which holds a parameter of its own."""
    tower = nn.Module()
    tower.stem = nn.Linear(2, 2)
    tower.layers = nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)) for _ in range(11))
    tower.token = nn.Parameter(torch.zeros(2))
    both = nn.Module()
    both.image = tower
    both.text = nn.Linear(2, 2)
    return both


def _trained(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], set()),
        (["text"], {"text.weight", "text.bias"}),
        (["image.layers.1"], {f"image.layers.1.{name}" for name in ("0.weight", "0.bias", "1.weight", "1.bias")}),
        (["image.layers.(9|10).0"], {f"image.layers.{i}.0.{name}" for i in (9, 10) for name in ("weight", "bias")}),
        (["image.token", ".*stem.bias"], {"image.token", "image.stem.bias"}),
        (["text|image.token"], {"text.weight", "text.bias", "image.token"}),
    ],
)
def test_patterns_name_parameters_or_what_holds_them(
    module: nn.Module, patterns: list[str], expected: set[str]
) -> None:
    train_only(module, patterns)
    assert _trained(module) == expected
    train_only(module, ["text.bias"])
    assert _trained(module) == {"text.bias"}


@pytest.mark.parametrize("pattern", ["image.layer", "layers.1", "image.layers.11", "token"])
def test_a_pattern_that_names_nothing_lists_what_there_is(module: nn.Module, pattern: str) -> None:
    layers = ", ".join(f"image.layers.{i}" for i in range(11))
    with pytest.raises(ValueError, match="matches nothing") as error:
        train_only(module, ["text", pattern])
    assert str(error.value) == f"trainable {pattern!r} matches nothing; there are image, image.stem, {layers}, text"


def test_what_is_no_regular_expression(module: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"'image\.\[' is not a regular expression"):
        train_only(module, ["image.["])


def test_a_group_of_its_own_rate(module: nn.Module) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    train_only(module, [])
    add_trained(optimizer, module, 0.1)
    assert len(optimizer.param_groups) == 1
    train_only(module, ["text"])
    add_trained(optimizer, module, 0.1)
    assert optimizer.param_groups[1]["lr"] == pytest.approx(0.05)
    assert [id(one) for one in optimizer.param_groups[1]["params"]] == [id(one) for one in module.text.parameters()]


def test_the_last_layers_of_real_towers(image_weights: Path, text_folder: Path) -> None:
    encoder = TwoTowerEncoder(str(image_weights), str(text_folder), "test_vit", text_pooling="mean")
    train_only(encoder, ["image_tower.norm", "text_tower.model.encoder.layer.1"])
    embeddings = encoder.encode_image(torch.rand(2, 3, 160, 160)), encoder.encode_text(encoder.tokenize(["heart", "."]))
    sum(embedding.square().sum() for embedding in embeddings).backward()
    reached = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert reached == _trained(encoder)
    assert {name.split(".")[0] for name in reached} == {"image_tower", "text_tower"}
    assert len(reached) == 2 + 16  # of a layer of BERT: query, key, value, three dense and two norms, a bias each

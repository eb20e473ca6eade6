import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import BertModel, BertTokenizerFast

from mcmfh_lightning.encoders import TwoTowerEncoder
from mcmfh_lightning.errors import DataError

TEXTS = ["heart size is normal .", "clear", "no acute cardiopulmonary abnormality , the lungs are clear .", "mild ;"]


@pytest.fixture
def make(image_weights: Path, text_folder: Path, no_network: None) -> Callable[..., TwoTowerEncoder]:
    def make(**changes: object) -> TwoTowerEncoder:
        arguments = {
            "image_model": "test_vit",
            "image_weights": str(image_weights),
            "text_model": str(text_folder),
            "text_pooling": "mean",
        }
        return TwoTowerEncoder(**(arguments | changes))

    return make


def test_images_are_encoded_as_timm_does(
    make: Callable[..., TwoTowerEncoder], image_weights: Path, picture: Image.Image
) -> None:
    encoder = make()
    model = timm.create_model("test_vit", checkpoint_path=str(image_weights), num_classes=1000).eval()
    model.reset_classifier(0)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    images = torch.stack([transform(picture.convert("RGB")), transform(picture.rotate(90).convert("RGB"))])
    prepared = torch.stack([encoder.preprocess(picture), encoder.preprocess(picture.rotate(90))])
    assert torch.equal(prepared, images)
    with torch.inference_mode():
        embedding = encoder.encode_image(prepared)
        torch.testing.assert_close(embedding, model(images))
    assert embedding.shape == (2, encoder.image_dim)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_texts_are_encoded_one_like_all_others(
    make: Callable[..., TwoTowerEncoder], text_folder: Path, pooling: str
) -> None:
    encoder = make(text_pooling=pooling)
    model, tokenizer = BertModel.from_pretrained(text_folder), BertTokenizerFast.from_pretrained(text_folder)
    with torch.inference_mode():
        embeddings = encoder.encode_text(encoder.tokenize(TEXTS))
        for text, embedding in zip(TEXTS, embeddings, strict=True):
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            expected = states.mean(dim=0) if pooling == "mean" else states[0]
            torch.testing.assert_close(embedding, expected, atol=1e-5, rtol=0)
    assert embeddings.shape == (4, encoder.text_dim)


def test_context_cuts_and_counts(make: Callable[..., TwoTowerEncoder]) -> None:
    whole = make()
    assert whole.identity["text"]["context_length"] == 64
    rows = whole.tokenize(["lung " * 62, "lung " * 63])
    assert rows["truncated"].tolist() == [False, True]
    short = make(context_length=8)
    rows = short.tokenize(["lung " * 6, "lung " * 7])
    assert rows["truncated"].tolist() == [False, True]
    assert rows["input_ids"].shape == (2, 8)
    assert short.identity != whole.identity
    assert "were cut: 3 of train; it reads 64 tokens, about 35 words of English. " in whole.say_cut("3 of train")
    with pytest.raises(ValueError, match=r"3 \.\.\. 64"):
        make(context_length=65)


def test_the_tokens_of_a_text_and_those_that_are_read_are_counted(
    make: Callable[..., TwoTowerEncoder], text_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder, tokenizer = make(), BertTokenizerFast.from_pretrained(text_folder)
    for text in ("", "lung", "heart size is normal", "lung " * 62, "lung " * 63, "XXXX naïve " * 900):
        expected = len(tokenizer(text)["input_ids"])
        assert encoder.count_tokens(text) == (expected, min(expected, 64))
    capfd.readouterr()
    encoder.count_tokens("lung " * 5_000)
    assert capfd.readouterr() == ("", "")


def test_transforms_can_be_sent_to_loader_workers(make: Callable[..., TwoTowerEncoder], picture: Image.Image) -> None:
    encoder = make()
    preprocess, tokenize = pickle.loads(pickle.dumps((encoder.preprocess, encoder.tokenize)))
    assert torch.equal(preprocess(picture), encoder.preprocess(picture))
    assert torch.equal(tokenize(TEXTS)["input_ids"], encoder.tokenize(TEXTS)["input_ids"])


def test_a_folder_of_timm_says_what_it_holds(
    make: Callable[..., TwoTowerEncoder], image_weights: Path, tmp_path: Path, picture: Image.Image
) -> None:
    folder = tmp_path / "timm"
    folder.mkdir()
    shutil.copy(image_weights, folder / "model.safetensors")
    settings = {**timm.get_pretrained_cfg("test_vit").to_dict(), "mean": [0.4, 0.5, 0.6], "crop_pct": 1.0}
    (folder / "config.json").write_text(json.dumps({"architecture": "test_vit", "pretrained_cfg": settings}))
    encoder = make(image_model=None, image_weights=str(folder))
    assert encoder.identity["image"]["model"] == "test_vit"
    assert encoder.identity["image"]["mean"] == [0.4, 0.5, 0.6]
    from_file = make()
    assert encoder.identity["image"]["weights_sha256"] == from_file.identity["image"]["weights_sha256"]
    images = from_file.preprocess(picture)[None]
    assert torch.equal(encoder.encode_image(images), from_file.encode_image(images))
    assert not torch.equal(encoder.preprocess(picture), from_file.preprocess(picture))
    with pytest.raises(ValueError, match="leave image_model out"):
        make(image_model="test_resnet", image_weights=str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=r"no config\.json of a timm model"):
        make(image_model=None, image_weights=str(folder))


def test_identity_follows_the_weights_and_not_the_place(
    make: Callable[..., TwoTowerEncoder], text_folder: Path, tmp_path: Path
) -> None:
    identity = make().identity
    copy = shutil.copytree(text_folder, tmp_path / "copy")
    assert make(text_model=str(copy)).identity == identity == json.loads(json.dumps(identity))
    assert str(tmp_path) not in json.dumps(identity)
    words = (copy / "tokenizer.json").read_text().replace('"heart"', '"hearts"')
    (copy / "tokenizer.json").write_text(words)
    (copy / "vocab.txt").write_text((copy / "vocab.txt").read_text().replace("heart\n", "hearts\n"))
    other = make(text_model=str(copy)).identity["text"]
    assert {key for key in other if other[key] != identity["text"][key]} == {"tokenizer_sha256"}


@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_wrong_checksum_stops_before_loading(
    make: Callable[..., TwoTowerEncoder], monkeypatch: pytest.MonkeyPatch, tower: str
) -> None:
    def loaded(*_: object, **__: object) -> None:
        pytest.fail("weights were loaded before their checksum was looked at")

    if tower == "image":
        monkeypatch.setattr("mcmfh_lightning.encoders.image_tower.load_weights", loaded)
    monkeypatch.setattr("transformers.AutoModel.from_pretrained", loaded)
    with pytest.raises(DataError, match=rf"sha256 is [0-9a-f]{{64}}, expected {'0' * 64}"):
        make(**{f"{tower}_sha256": "0" * 64})


def test_right_checksums_are_accepted(make: Callable[..., TwoTowerEncoder]) -> None:
    identity = make().identity
    sums = {f"{tower}_sha256": identity[tower]["weights_sha256"].upper() for tower in ("image", "text")}
    assert make(**sums).identity == identity


def test_weights_that_do_not_fit_exactly_are_refused(
    make: Callable[..., TwoTowerEncoder], image_weights: Path, text_folder: Path, tmp_path: Path
) -> None:
    state = load_file(image_weights)
    save_file({key: value for key, value in state.items() if key != "pos_embed"}, tmp_path / "less.safetensors")
    with pytest.raises(DataError, match="pos_embed"):
        make(image_weights=str(tmp_path / "less.safetensors"))
    with pytest.raises(ValueError, match="image_model None"):
        make(image_model=None)
    path = text_folder / "model.safetensors"
    state = load_file(path)
    lost = "encoder.layer.1.output.dense.weight"
    save_file({key: value for key, value in state.items() if key != lost}, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match=lost.replace(".", r"\.")):
        make()
    path.unlink()
    with pytest.raises(DataError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        make()


def test_pytorch_weights_give_the_same_text_tower(make: Callable[..., TwoTowerEncoder], text_folder: Path) -> None:
    before = make()
    torch.save(load_file(text_folder / "model.safetensors"), text_folder / "pytorch_model.bin")
    (text_folder / "model.safetensors").unlink()
    after = make()
    rows = before.tokenize(TEXTS)
    assert torch.equal(before.encode_text(rows), after.encode_text(rows))

import json
import pickle
import shutil
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import open_clip
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize, pad

from mcmfh_lightning.encoders import OpenCLIPEncoder
from mcmfh_lightning.errors import DataError

TEXTS = ["heart size is normal .", "no acute cardiopulmonary abnormality , the lungs are clear ."]


@pytest.fixture
def encoder(biomedclip: Path, no_network: None) -> OpenCLIPEncoder:
    return OpenCLIPEncoder(f"local-dir:{biomedclip}")


@pytest.fixture
def reference(biomedclip: Path) -> open_clip.CustomTextCLIP:
    """The model put together from its parts, with the weights of the folder."""
    config = json.loads((biomedclip / "open_clip_config.json").read_text())["model_cfg"]
    config["text_cfg"] |= {"hf_model_name": str(biomedclip / "text_encoder"), "hf_model_pretrained": False}
    model = open_clip.model.CustomTextCLIP(**config)
    model.load_state_dict(torch.load(biomedclip / "open_clip_pytorch_model.bin", weights_only=True))
    return model.eval()


def test_local_folder_encodes_without_a_look_up(
    encoder: OpenCLIPEncoder, reference: open_clip.CustomTextCLIP, picture: Image.Image
) -> None:
    images = torch.stack([encoder.preprocess(picture), encoder.preprocess(picture.rotate(90))])
    tokens = pad(encoder.tokenize(TEXTS)["tokens"], (0, 5))
    with torch.inference_mode():
        image, text = encoder.encode_image(images), encoder.encode_text(encoder.tokenize(TEXTS))
        expected_image, expected_text = normalize(reference.visual(images)), normalize(reference.text(tokens))
    assert image.shape == (2, encoder.image_dim)
    assert text.shape == (2, encoder.text_dim)
    torch.testing.assert_close(image, expected_image)
    torch.testing.assert_close(text, expected_text)


def test_preprocess_is_open_clips_own(encoder: OpenCLIPEncoder, biomedclip: Path, picture: Image.Image) -> None:
    settings = json.loads((biomedclip / "open_clip_config.json").read_text())["preprocess_cfg"]
    own = open_clip.image_transform(160, is_train=False, mean=settings["mean"], std=settings["std"])
    assert torch.equal(encoder.preprocess(picture), own(picture.convert("RGB")))


def test_text_is_trimmed_to_the_longest_of_the_batch(encoder: OpenCLIPEncoder) -> None:
    tokens = encoder.tokenize(TEXTS)["tokens"]
    full = encoder.tokenize.tokenizer(TEXTS)
    assert tokens.shape == (2, 12)
    assert full.shape == (2, 32)
    assert torch.equal(full[:, :12], tokens)
    assert (full[:, 12:] == 0).all()
    with torch.inference_mode():
        difference = encoder.encode_text({"tokens": tokens}) - encoder.encode_text({"tokens": full})
    assert difference.abs().max() < 1e-5


def test_texts_beyond_the_context_are_counted(encoder: OpenCLIPEncoder) -> None:
    fits, too_long = " ".join(["lung"] * 30), " ".join(["lung"] * 31)
    rows = encoder.tokenize(["lung", fits, too_long])
    assert rows["truncated"].tolist() == [False, False, True]
    assert rows["tokens"].shape == (3, 32)
    counts = [encoder.count_tokens(text) for text in ("lung", fits, too_long, "lung " * 3_000)]
    assert counts == [(3, 3), (32, 32), (33, 32), (3_002, 32)]


def test_transforms_can_be_sent_to_loader_workers(encoder: OpenCLIPEncoder, picture: Image.Image) -> None:
    preprocess, tokenize = pickle.loads(pickle.dumps((encoder.preprocess, encoder.tokenize)))
    assert torch.equal(preprocess(picture), encoder.preprocess(picture))
    assert torch.equal(tokenize(TEXTS)["tokens"], encoder.tokenize(TEXTS)["tokens"])


def test_low_precision_is_part_of_the_identity(
    encoder: OpenCLIPEncoder, biomedclip: Path, picture: Image.Image
) -> None:
    half = OpenCLIPEncoder(f"local-dir:{biomedclip}", precision="bf16")
    images = encoder.preprocess(picture)[None]
    with torch.inference_mode():
        exact, rounded = encoder.encode_image(images), half.encode_image(images)
        text = half.encode_text(half.tokenize(TEXTS))
    assert half.clip.visual.trunk.patch_embed.proj.weight.dtype == torch.bfloat16
    assert rounded.dtype == text.dtype == torch.float32
    assert 0 < (exact - rounded).abs().max() < 0.05
    assert half.identity["precision"] == "bf16"
    assert half.identity != encoder.identity


def test_identity_follows_the_weights_and_not_the_place(
    encoder: OpenCLIPEncoder, biomedclip: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(biomedclip, tmp_path / "copy")
    moved = OpenCLIPEncoder(f"local-dir:{copy}").identity
    assert moved == encoder.identity == json.loads(json.dumps(encoder.identity))
    assert str(biomedclip) not in json.dumps(encoder.identity)

    state = torch.load(copy / "open_clip_pytorch_model.bin", weights_only=True)
    state["logit_scale"] += 1
    torch.save(state, copy / "open_clip_pytorch_model.bin")
    other = OpenCLIPEncoder(f"local-dir:{copy}").identity
    assert {key for key in other if other[key] != moved[key]} == {"weights_sha256"}


@pytest.mark.parametrize(
    ("absent", "fix"),
    [
        ("open_clip_config.json", "copy all files"),
        ("open_clip_pytorch_model.bin", "copy open_clip_model.safetensors"),
        ("text_encoder/config.json", "copy the config.json of microsoft/BiomedNLP"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_an_incomplete_folder_names_the_mend(
    biomedclip: Path, tmp_path: Path, no_network: None, absent: str, fix: str
) -> None:
    copy = shutil.copytree(biomedclip, tmp_path / "copy")
    (copy / absent).unlink()
    (copy / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(DataError, match=fix):
        OpenCLIPEncoder(f"local-dir:{copy}")


def test_no_code_of_a_model_runs(biomedclip: Path, tmp_path: Path, no_network: None) -> None:
    """An archive from elsewhere may name any model, and transformers runs a tokenizer's code if its config says so."""
    copy, ran = shutil.copytree(biomedclip, tmp_path / "copy"), tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')\nfrom transformers import BertTokenizerFast\nclass Own(BertTokenizerFast): pass\n"
    (copy / "own.py").write_text(code)
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    tokenizer = json.loads((copy / "tokenizer_config.json").read_text()) | {"tokenizer_class": "Own"}
    tokenizer["auto_map"] = {"AutoTokenizer": [None, "own.Own"]}
    (copy / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    with suppress(DataError):
        OpenCLIPEncoder(f"local-dir:{copy}")
    assert not ran.exists()


def test_weights_of_another_shape_are_refused(biomedclip: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(biomedclip, tmp_path / "copy")
    state = torch.load(copy / "open_clip_pytorch_model.bin", weights_only=True)
    del state["text.proj.0.weight"]
    torch.save(state, copy / "open_clip_pytorch_model.bin")
    with pytest.raises(DataError, match=r"text\.proj\.0\.weight"):
        OpenCLIPEncoder(f"local-dir:{copy}")


def test_a_model_without_pretrained_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"would be random.*laion2b_s34b_b79k"):
        OpenCLIPEncoder("ViT-B-32")
    with pytest.raises(ValueError, match="is the name right"):
        OpenCLIPEncoder("ViT-B-33")
    with pytest.raises(ValueError, match="brings its own weights"):
        OpenCLIPEncoder("hf-hub:somebody/model", pretrained="openai")
    with pytest.raises(ValueError, match="fp32, bf16, fp16"):
        OpenCLIPEncoder("ViT-B-32", pretrained="openai", precision="fp8")


def test_a_hub_that_cannot_be_reached_is_a_data_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open_clip.factory._get_hf_config", _unreachable)
    with pytest.raises(DataError, match="hf-hub:somebody/model"):
        OpenCLIPEncoder("hf-hub:somebody/model")


def _unreachable(*_: object, **__: object) -> None:
    raise OSError("no route to host")


@pytest.fixture(scope="module")
def tokenizer() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer()


@pytest.mark.parametrize(
    ("text_options", "trims"),
    [
        pytest.param({}, True, id="CLIP"),
        pytest.param({"pool_type": "eos", "eos_id": 49407}, True, id="end-of-text"),
        pytest.param({"no_causal_mask": True, "pool_type": "last"}, False, id="attends-to-padding"),
    ],
)
@pytest.mark.parametrize("custom_text", [False, True])
def test_towers_of_open_clip_are_trimmed_where_they_do_not_see_padding(
    tmp_path: Path,
    no_network: None,
    tokenizer: open_clip.SimpleTokenizer,
    text_options: dict[str, object],
    trims: bool,
    custom_text: bool,
) -> None:
    vision = {"image_size": 32, "patch_size": 16, "layers": 1, "width": 32, "head_width": 16}
    text = {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2, **text_options}
    config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
    model = (open_clip.model.CustomTextCLIP if custom_text else open_clip.CLIP)(**config).eval()
    torch.save(model.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    content = {"model_cfg": {**config, "custom_text": custom_text}, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))

    encoder = OpenCLIPEncoder(f"local-dir:{tmp_path}")
    rows = encoder.tokenize([*TEXTS, "heart " * 30])
    assert rows["truncated"].tolist() == [False, False, True]
    tokens = len(tokenizer.encode("heart \U0001f493 " * 30)) + 2
    assert encoder.count_tokens("heart \U0001f493 " * 30) == (tokens, 20)
    short = encoder.tokenize(TEXTS)["tokens"]
    longest = max(len(tokenizer.encode(text)) for text in TEXTS) + 2
    assert short.shape == (2, longest if trims else 20)
    full = pad(short, (0, 20 - short.shape[1]))
    with torch.inference_mode():
        torch.testing.assert_close(
            encoder.encode_text({"tokens": short}), model.encode_text(full, normalize=True), atol=1e-5, rtol=0
        )


@pytest.mark.slow
def test_full_size_biomedclip_folder_encodes_without_a_look_up(
    random_towers: ModuleType, tmp_path: Path, no_network: None, picture: Image.Image
) -> None:
    folder = random_towers.write_full_biomedclip(tmp_path)
    assert (folder / "open_clip_pytorch_model.bin").stat().st_size == pytest.approx(784e6, rel=0.01)
    encoder = OpenCLIPEncoder(f"local-dir:{folder}")
    assert sum(parameter.numel() for parameter in encoder.parameters()) == pytest.approx(195.9e6, rel=0.001)
    assert encoder.identity["context_length"] == 256
    text = encoder.tokenize(["word1 word2", "word3"])
    assert text["tokens"].shape == (2, 4)
    with torch.inference_mode():
        assert encoder.encode_image(encoder.preprocess(picture)[None]).shape == (1, 512)
        assert encoder.encode_text(text).norm(dim=-1).tolist() == pytest.approx([1, 1])

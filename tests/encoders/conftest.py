"""Tiny models in the file formats of the real ones, and a network that notices being asked."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, BertTokenizerFast

SENTENCES = (
    "no acute cardiopulmonary abnormality heart size is normal enlarged large small left right pleural effusion "
    "pneumothorax focal consolidation opacity lung lungs are clear the of in and with mild moderate severe . , ;"
)
WORDS = SENTENCES.split()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every attempt to reach a host fails at once, and fails the test even where a library swallows the error."""
    attempts: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        attempts.append(arguments)
        raise OSError("the network is blocked in this test")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def local_only(connect: Callable[..., object]) -> Callable[..., object]:
        # Workers hand over their batches through sockets of the file system, which reach no host.
        return lambda sock, *rest: (connect if sock.family == socket.AF_UNIX else refuse)(sock, *rest)

    monkeypatch.setattr(socket.socket, "connect", local_only(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", local_only(socket.socket.connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not attempts


def write_tokenizer(folder: Path, words: list[str], max_length: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=max_length).save_pretrained(folder)


@pytest.fixture(scope="session")
def make_biomedclip() -> Callable[..., Path]:
    """Write a folder laid out as BiomedCLIP's repository, with random weights, as a user copies it.

    The text tower is named by a hub id; ``text_encoder/config.json`` is the copy of that tower's architecture.
    """

    def make(
        folder: Path,
        *,
        image_model: str = "test_vit",
        image_size: int = 160,
        embed_dim: int = 24,
        context_length: int = 32,
        words: list[str] = WORDS,
        bert: dict[str, int] | None = None,
    ) -> Path:
        import open_clip

        bert = bert or {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        write_tokenizer(folder, words, context_length)
        config = BertConfig(vocab_size=len(words) + 5, max_position_embeddings=max(64, context_length), **bert)
        config.save_pretrained(folder / "text_encoder")
        text = {
            "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
            "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "context_length": context_length,
        }
        vision = {"timm_model_name": image_model, "timm_pool": "", "timm_proj": "linear", "image_size": image_size}
        preprocess = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
        content = {
            "model_cfg": {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text},
            "preprocess_cfg": preprocess,
        }
        (folder / "open_clip_config.json").write_text(json.dumps(content))
        torch.manual_seed(0)
        model = open_clip.model.CustomTextCLIP(
            embed_dim=embed_dim,
            vision_cfg=vision,
            text_cfg={**text, "hf_model_name": str(folder / "text_encoder"), "hf_model_pretrained": False},
        )
        torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
        return folder

    return make


@pytest.fixture(scope="session")
def biomedclip(make_biomedclip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_biomedclip(tmp_path_factory.mktemp("biomedclip"))


@pytest.fixture(scope="session")
def image_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of timm's ``test_vit`` with its classifier, as timm saves them."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("image") / "weights.safetensors"
    save_file(timm.create_model("test_vit").state_dict(), path)
    return path


@pytest.fixture
def text_folder(tmp_path: Path) -> Path:
    """A plain transformers folder: a BERT of two layers, which does not say how it is pooled."""
    torch.manual_seed(2)
    folder = tmp_path / "text"
    write_tokenizer(folder, WORDS, max_length=64)
    config = BertConfig(
        vocab_size=len(WORDS) + 5,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def picture() -> Image.Image:
    """A gray picture that is not square."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 301), dtype=np.uint8))

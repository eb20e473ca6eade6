"""Tiny models in the file formats of the real ones, and a network that notices being asked."""

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

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


@pytest.fixture(scope="session")
def random_towers(benchmark_file: Callable[[str], ModuleType]) -> ModuleType:
    """What writes encoders with random weights; benchmarks time them."""
    return benchmark_file("random_towers")


@pytest.fixture(scope="session")
def biomedclip(random_towers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = random_towers.write_biomedclip(tmp_path_factory.mktemp("biomedclip"), words=WORDS)
    return folder


@pytest.fixture(scope="session")
def image_weights(random_towers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of timm's ``test_vit`` with its classifier, as timm saves them."""
    path: Path = random_towers.write_image_weights(tmp_path_factory.mktemp("image") / "weights.safetensors", "test_vit")
    return path


@pytest.fixture(scope="session")
def text_tower(random_towers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain transformers folder: a BERT of two layers, which does not say how it is pooled."""
    folder = tmp_path_factory.mktemp("text") / "model"
    random_towers.write_bert(folder, WORDS, random_towers.TINY_BERT, context_length=64)
    return folder


@pytest.fixture
def text_folder(text_tower: Path, tmp_path: Path) -> Path:
    """A copy of the text tower, which a test may change."""
    return shutil.copytree(text_tower, tmp_path / "text")


@pytest.fixture
def picture() -> Image.Image:
    """A gray picture that is not square."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 301), dtype=np.uint8))

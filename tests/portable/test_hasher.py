"""Exported models where torch is not installed, and folders that are not such models."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.portable.hasher import PortableHasher

HEAVY = ("torch", "lightning", "torchvision", "open_clip", "timm", "transformers", "pyarrow", "lancedb")
USE = f"""
import json, sys
sys.modules.update(dict.fromkeys({HEAVY}))  # an import of one fails
from PIL import Image
from mcmfh_lightning.portable.hasher import PortableHasher
hasher = PortableHasher(sys.argv[1])
picture, text = Image.open(sys.argv[2]), sys.argv[3]
codes = [hasher.hash_image(picture), hasher.hash_text(text), {{"code": hasher.hash_case(picture, text)}}]
print(json.dumps([{{name: code.tolist() for name, code in one.items()}} for one in codes]))
print(*hasher.count_tokens(text))
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 131), dtype=np.uint8)).save(path)
    return path


def test_it_runs_without_torch(exported: Path, film: Path) -> None:
    text = "mild left pleural effusion &amp; clear lungs"
    command = [sys.executable, "-c", USE, str(exported / "model"), str(film), text]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    codes, counted = done.stdout.splitlines()
    hasher, picture = PortableHasher(exported / "model"), Image.open(film)
    expected = [hasher.hash_image(picture), hasher.hash_text(text), {"code": hasher.hash_case(picture, text)}]
    for one, other in zip(json.loads(codes), expected, strict=True):
        assert one.keys() == other.keys()
        for name in other:
            assert np.array_equal(np.float32(one[name]), other[name])
    assert counted == " ".join(map(str, hasher.count_tokens(text)))
    assert set(expected[0]) == {"code", "i2t", "i2i", "i2case"}


def test_a_model_can_be_used_from_several_threads(exported: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    hasher = PortableHasher(exported / "model")
    texts = [f"mild {'effusion ' * number}" for number in range(12)]
    alone = [hasher.hash_text(text)["t2i"] for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: hasher.hash_text(text)["t2i"], texts))
    assert all(map(np.array_equal, alone, together))


def change(**entries: object) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        content = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps(content | entries))

    return run


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-40])


DAMAGES = {
    "no description": (lambda folder: (folder / "model.json").unlink(), "model.json is missing"),
    "half a description": (cut("model.json"), "model.json is damaged"),
    "a later version": (change(format_version=2), "of version 2, this release reads mcmfh-onnx of version 1"),
    "something else": (change(format="onnx"), "'onnx' of version 1"),
    "an unknown entry": (change(run="x"), "run: Unexpected keyword"),
    "a graph that was cut": (cut("image_tower.onnx"), "image_tower.onnx is damaged"),
    "a tokenizer that was cut": (cut("tokenizer.json"), "tokenizer.json is damaged"),
    "a missing graph": (lambda folder: (folder / "case.onnx").unlink(), "case.onnx is missing"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_or_foreign_folder_is_refused(exported: Path, tmp_path: Path, name: str) -> None:
    damage, said = DAMAGES[name]
    folder = shutil.copytree(exported / "model", tmp_path / "model")
    damage(folder)
    with pytest.raises(DataError, match=said) as refusal:
        PortableHasher(folder)
    assert str(folder) in str(refusal.value)


def test_sizes_that_would_take_all_memory_are_refused(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported / "model", tmp_path / "model")
    prepared = json.loads((folder / "model.json").read_text())["image"] | {"out_width": 1_000_000}
    change(image=prepared)(folder)
    with pytest.raises(DataError, match=r"image\.out_width: Input should be less than or equal to 8192"):
        PortableHasher(folder)


def test_a_graph_that_is_none_is_refused(exported: Path, tmp_path: Path) -> None:
    from mcmfh_lightning.files import sha256_of

    folder = shutil.copytree(exported / "model", tmp_path / "model")
    (folder / "text.onnx").write_bytes(b"not a graph")
    files = json.loads((folder / "model.json").read_text())["files"]
    change(files=files | {"text.onnx": sha256_of(folder / "text.onnx")})(folder)
    with pytest.raises(DataError, match=r"text\.onnx: onnxruntime cannot run it"):
        PortableHasher(folder)

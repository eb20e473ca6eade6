"""``mcmfh export --int8``: 8-bit weights of the text tower, near those of the original, and nothing else."""

import io
import json
import re
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from mcmfh_lightning.cli.main import main
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.export.check import check_flips
from mcmfh_lightning.export.graphs import write_graph
from mcmfh_lightning.export.quantization import quantize_graph, quantize_text_tower
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.portable.hasher import PortableHasher

from .tiny import TEXTS

TOWER = "text_tower.onnx"


@pytest.fixture(scope="module")
def quantized(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``model``, and ``said``, what the command printed."""
    folder, said = tmp_path_factory.mktemp("quantized"), io.StringIO()
    options = ["--out", str(folder / "model"), "--encoder", str(exported / "encoder.yaml"), "--int8"]
    with redirect_stdout(said):
        main(["export", str(exported / "run"), *options])
    (folder / "said").write_text(said.getvalue())
    return folder


def described(folder: Path) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads((folder / "model" / "model.json").read_text())
    return stored


def arrays(file: Path) -> dict[str, np.ndarray]:
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(file).graph.initializer}


def store_tower(folder: Path) -> None:
    """Let the description name the text tower that is in the folder now."""
    stored = json.loads((folder / "model.json").read_text())
    stored["files"][TOWER] = sha256_of(folder / TOWER)
    (folder / "model.json").write_text(json.dumps(stored))


def test_nothing_but_the_text_tower_is_another(exported: Path, quantized: Path) -> None:
    before, after = described(exported), described(quantized)
    assert {name for name, sha in before["files"].items() if sha != after["files"][name]} == {TOWER}
    assert (quantized / "model" / TOWER).stat().st_size < (exported / "model" / TOWER).stat().st_size
    assert (before["int8"], after["int8"]) == (False, True)
    assert before | {"int8": None, "files": None} == after | {"int8": None, "files": None}


def test_weights_are_unsigned_and_within_a_step_of_the_original(exported: Path, quantized: Path) -> None:
    floats, found = arrays(exported / "model" / TOWER), arrays(quantized / "model" / TOWER)
    graph = onnx.load(exported / "model" / TOWER).graph
    of_products = {name for node in graph.node if node.op_type == "MatMul" for name in node.input if name in floats}
    embeddings = {node.input[0] for node in graph.node if node.op_type == "Gather" and node.input[0] in floats}
    tables = {name for name in embeddings if floats[name].dtype == np.float32}
    assert len(of_products) >= 12  # two layers of BERT
    assert tables
    for name in of_products | tables:
        weights, scale = found[f"{name}_quantized"], found[f"{name}_scale"]
        assert weights.dtype == np.uint8
        assert scale.size == (floats[name].shape[1] if name in of_products else 1)
        restored = scale * (weights.astype(np.float64) - found[f"{name}_zero_point"])
        assert (np.abs(restored - floats[name]) <= 1.01 * scale).all()
        assert name not in found


def test_texts_have_nearly_the_codes_of_the_original(exported: Path, quantized: Path) -> None:
    theirs, ours = PortableHasher(exported / "model"), PortableHasher(quantized / "model")
    for text in TEXTS:
        expected, embedding = theirs.embed_text(text), ours.embed_text(text)
        cosine = expected @ embedding / np.linalg.norm(expected) / np.linalg.norm(embedding)
        assert 0.98 < cosine < 1 - 1e-7
        assert ours.count_tokens(text) == theirs.count_tokens(text)
    assert (ours.description.int8, theirs.description.int8) == (True, False)


def test_the_command_says_how_many_bits_differ(exported: Path, quantized: Path) -> None:
    said = re.search(r"text tower in int8, (\d+) of (\d+) bits of trial texts", (quantized / "said").read_text())
    assert said is not None
    flipped, bits = map(int, said.groups())
    assert bits == 4 * 4 * 11  # texts, codes of a text, bits
    assert flipped <= bits / 4
    theirs, ours = PortableHasher(exported / "model"), PortableHasher(quantized / "model")
    assert check_flips(ours, theirs) == (flipped, bits)
    assert check_flips(theirs, theirs) == (0, bits)


def test_a_tower_that_gives_other_embeddings_is_refused(exported: Path, quantized: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(quantized / "model", tmp_path / "model")
    tower = onnx.load(folder / TOWER)
    last = next(node for node in tower.graph.node if "embedding" in node.output)
    last.output[:] = ["negated"]
    tower.graph.node.append(onnx.helper.make_node("Neg", ["negated"], ["embedding"]))
    onnx.save(tower, folder / TOWER)
    store_tower(folder)
    with pytest.raises(ConfigError, match=r"cosine -1\.00\): export this model without --int8"):
        check_flips(PortableHasher(folder), PortableHasher(exported / "model"))


def test_convolutions_stay_as_they_are(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported / "model", tmp_path / "model")
    write_graph(torch.nn.Conv2d(3, 4, 3), {"pixels": torch.zeros(1, 3, 8, 8)}, ["embedding"], folder / TOWER)
    content = (folder / TOWER).read_bytes()
    assert not quantize_graph(folder / TOWER)
    assert (folder / TOWER).read_bytes() == content
    store_tower(folder)
    with pytest.raises(ConfigError, match="no matrix product whose weights"):
        quantize_text_tower(folder)
    assert json.loads((folder / "model.json").read_text())["int8"] is False

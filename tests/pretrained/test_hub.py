"""A hub on loopback takes and gives shared hashers; what it holds besides is not even downloaded."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

from .hub import running

SCRIPT = """
import sys
from mcmfh_lightning import load
import numpy as np
from mcmfh_lightning.errors import CheckpointError, DataError
from mcmfh_lightning.pretrained import PairHasher
from tests.pretrained.planted import Planted

run, film = sys.argv[1:]
hasher = load(run, encoder=Planted())
hasher.push_to_hub("group/hasher", private=True, model_card_kwargs={"license": "cc-by-nc-4.0"})
TEXT = "a secret finding"
due = [hasher.encode_texts(TEXT, search="t2i"), hasher.encode_images(film), hasher.encode_pairs([film], [TEXT])]
for options in ({"revision": "main"}, {"local_files_only": True}):
    again = PairHasher.from_pretrained("group/hasher", encoder=Planted(), **options)
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


def test_push_and_load_by_name(run: Path, films: list[Image.Image], repository: Path, tmp_path: Path) -> None:
    films[0].save(tmp_path / "film.png")
    pickled = io.BytesIO()
    torch.save({"weight": _Evil()}, pickled)
    with running() as hub:
        hub.repositories["group/pickle"] = {"config.json": b"{}", "pytorch_model.bin": pickled.getvalue()}
        env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
        env |= {"HF_TOKEN": "hf_made_up", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*"}
        program = [sys.executable, "-c", SCRIPT, run, tmp_path / "film.png"]
        done = subprocess.run(program, cwd=repository, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:] + str([one[:2] for one in hub.asked])
        refused, missing = done.stdout.splitlines()
        assert refused.startswith("CheckpointError: ")
        assert "config.json is not" in refused or "model.safetensors" in refused
        assert missing.startswith("DataError: group/none is not a folder, and the model hub does not give it")

        files = hub.repositories["group/hasher"]
        assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
        config = json.loads(files["config.json"])
        assert config["mcmfh"]["encoder"] == {"name": "planted"}
        card = files["README.md"].decode()
        assert "license: cc-by-nc-4.0" in card
        assert "Research use, not diagnosis." in card
        assert config["weights_sha256"] in card
        created = next(json.loads(body) for _, path, body in hub.asked if path == "/api/repos/create")
        assert created.get("visibility") == "private" or created.get("private") is True
        assert not any("pytorch_model.bin" in path for method, path, _ in hub.asked)
        sent = b"".join(f"{method} {path} ".encode() + body for method, path, body in hub.asked)
        assert b"secret" not in sent
        assert str(run.parent).encode() not in sent
        assert b"model.safetensors" in sent

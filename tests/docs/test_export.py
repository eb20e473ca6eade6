"""docs/guides/export.md: its command and its code run as written."""

import shutil
from pathlib import Path

import pytest

from ..archive.phantom_archive import untrained_checkpoint, write_pairs


@pytest.mark.slow
def test_the_page_runs_as_written(repository: Path, code_blocks, run_as_written, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "phantom", 6)
    (tmp_path / "run" / "fit" / "checkpoints").mkdir(parents=True)
    untrained_checkpoint(tmp_path / "run" / "fit" / "checkpoints" / "best.ckpt", pairs)
    shutil.copy(next((tmp_path / "phantom" / "images").iterdir()), tmp_path / "film.png")
    page = (repository / "docs" / "guides" / "export.md").read_text()
    for command in code_blocks(page, "bash"):
        run_as_written(command, tmp_path)
    (example,) = code_blocks(page, "python")
    (tmp_path / "example.py").write_text(example)
    assert "bits differ" in run_as_written("python example.py", tmp_path)

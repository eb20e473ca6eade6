"""The wheel installs in a new environment, has the pages of archives, and fits from an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_wheel_fits_from_an_empty_folder(repository: Path, features: Path, tmp_path: Path) -> None:
    """The new environment borrows this one's dependencies (they are gigabytes), but not this checkout."""
    wheels, environment, empty = tmp_path / "wheels", tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, repository], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (wheel,) = wheels.glob("*.whl")
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    (own,) = environment.glob("lib/python*/site-packages")
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    # A .pth line adds the folder's packages but runs none of its .pth files: the editable finder stays out.
    (own / "dependencies.pth").write_text(dependencies + "\n")
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    page = "import mcmfh_lightning.archive.server.app as app; print(app.__file__, app._page('').body.decode())"
    shown = subprocess.run([python, "-c", page], cwd=empty, env=env, check=True, capture_output=True, text=True)
    assert shown.stdout.startswith(str(own))
    assert "Research use, not diagnosis" in shown.stdout
    assert (own / "mcmfh_lightning" / "archive" / "result.html").is_file()
    assert (own / "mcmfh_lightning" / "archive" / "words" / "synonyms.yaml").is_file()
    flags = ["--data.root", features, "--trainer.max_epochs", "1", "--model.d_model", "32"]
    command = [environment / "bin" / "mcmfh", "fit", "--config", "experiments/mcmfh.yaml", *flags]
    subprocess.run(command, cwd=empty, env=env, check=True)
    assert (empty / "runs" / "mcmfh" / "fit" / "checkpoints" / "best.ckpt").is_file()

import contextlib
import subprocess

import pytest

from mcmfh_lightning.cli.train import main

SMALL = (
    *("--config", "experiments/mcmfh.yaml", "--model.d_model", "32", "--data.global_batch_size", "128"),
    *("--model.query_heads", "false"),
    *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
)
"""The demo on planted features, in four steps an epoch; the checkpoint has 360 KiB."""


@pytest.fixture(scope="session")
def run(features):
    """Runs a subcommand of the command line in this process."""

    def run(subcommand, run_dir, *more):
        main([subcommand, *SMALL, "--data.root", str(features), "--run_dir", str(run_dir), *map(str, more)])

    return run


@pytest.fixture
def fails(run, capsys):
    """Runs one that must end with exit code 2 and one line on standard error; returns the line."""

    def fails(subcommand, run_dir, *more):
        with pytest.raises(SystemExit) as stop:
            run(subcommand, run_dir, *more)
        assert stop.value.code == 2
        *_, line = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("mcmfh: error: ")
        return line

    return fails


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1,000 KiB; call it to mount it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        return subprocess.run(
            ["mount", "-o", options, "-t", "tmpfs", "tmpfs", folder], check=False, capture_output=True
        )

    with contextlib.ExitStack() as stack:
        try:
            mounted = mount("size=1000k").returncode == 0
        except FileNotFoundError:
            mounted = False
        if not mounted:
            pytest.skip("mounting a small file system needs root with CAP_SYS_ADMIN")
        stack.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
        yield folder, lambda options: subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)

import contextlib
import subprocess

import pytest

from mcmfh_lightning.cli.train import main


@pytest.fixture(scope="session")
def small_features(make_features, tmp_path_factory):
    """Planted features of 128, 40 and 40 pairs."""
    return make_features(tmp_path_factory.mktemp("small") / "features", train=128, evaluated=40)


@pytest.fixture(scope="session")
def run(small_features, quick_config):
    """Runs a subcommand of the command line in this process, in four steps an epoch; the checkpoint has 360 KiB."""
    small = ["--config", "experiments/mcmfh.yaml", "--config", str(quick_config), "--data.root", str(small_features)]
    small += ["--model.d_model", "32", "--model.query_heads", "false", "--data.global_batch_size", "32"]

    def run(subcommand, run_dir, *more):
        main([subcommand, *small, "--run_dir", str(run_dir), *map(str, more)])

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

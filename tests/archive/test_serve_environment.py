"""Steps of the Containerfile without a container: the extra `serve` in a new environment, by a user without rights."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.encoders.spec import read_encoder_spec
from mcmfh_lightning.export.write import export_model

from .phantom_archive import build_archive
from .test_exported import CHECKS, write_expected

NOBODY = 65534
MOST_MEGABYTES = 800  # of these LanceDB and Arrow take half


def instruction(repository: Path, name: str) -> str:
    """The only instruction of this name."""
    content = (repository / "Containerfile").read_text().replace("\\\n", " ")
    (found,) = re.findall(rf"^{name} (.*)$", content, re.MULTILINE)
    return found


def rights(python: Path) -> dict[str, int]:
    """Arguments for a process of the user of the Containerfile, where this one may choose it and it may run Python."""
    other = {"user": NOBODY, "group": NOBODY}
    try:
        return other if subprocess.run([python, "-c", ""], check=False, **other).returncode == 0 else {}
    except PermissionError:  # to change the user, or to read an interpreter in somebody's home
        return {}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that other users may read."""
    made = Path(tempfile.mkdtemp(prefix="mcmfh-serve-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def environment(repository: Path, folder: Path) -> Path:
    """What the instruction RUN makes."""
    make, install, _ = instruction(repository, "RUN").split(" && ")
    assert make == "python -m venv --without-pip /opt/mcmfh"
    assert install == "pip --python /opt/mcmfh/bin/python install --no-cache-dir '/source[serve]'"
    python = folder / "environment" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "environment"], check=True)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-cache-dir"]
    subprocess.run([*pip, f"{repository}[serve]"], check=True, cwd=folder)
    return folder / "environment"


@pytest.fixture(scope="module")
def served(phantom_pairs: Path, phantom_features: Path, phantom_archive: Path, folder: Path) -> Path:
    """Folder with ``archive``, ``model``, ``token`` and ``expected.json``, readable for others."""
    build_archive(folder / "archive", phantom_pairs, phantom_archive / "hasher.ckpt", features=phantom_features)
    main(["search", str(folder / "archive"), "--text", "effusion", "--match", "words"])  # which writes the index
    export_model(folder / "archive" / "hasher.ckpt", folder / "model", read_encoder_spec(None))
    films = shutil.copytree(phantom_pairs.parent / "images", folder / "films")
    write_expected(folder, films, folder / "expected.json")
    (folder / "token").write_text("correct-horse-battery-staple\n")
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return folder


def files(*folders: Path) -> dict[Path, tuple[int, int]]:
    statuses = {path: path.lstat() for folder in folders for path in folder.rglob("*")}
    return {path: (status.st_size, status.st_mtime_ns) for path, status in statuses.items()}


@pytest.mark.slow
def test_searches_and_service_work_where_torch_is_not_installed(environment: Path, served: Path) -> None:
    """By a user who need not write anything of it."""
    python = environment / "bin" / "python"
    size = sum(status.st_blocks * 512 for status in (path.lstat() for path in environment.rglob("*"))) / 1e6
    assert size < MOST_MEGABYTES
    before = files(environment, served / "archive", served / "model")
    command = [
        python,
        "-B",
        CHECKS.name,
        *(served / name for name in ("archive", "model", "expected.json")),
    ]
    shutil.copy(CHECKS, served)
    env = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=served, env=env, capture_output=True, text=True, **rights(python))
    assert done.returncode == 0, done.stderr
    assert "9 searches by the service" in done.stdout
    assert files(environment, served / "archive", served / "model") == before


@pytest.mark.slow
def test_the_command_of_the_container_is_healthy_by_its_check(
    repository: Path, environment: Path, served: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    places = {
        "/opt/mcmfh": str(environment),
        **{f"/{name}": str(served / name) for name in ("archive", "model", "token")},
    }
    words = [*json.loads(instruction(repository, "ENTRYPOINT")), *json.loads(instruction(repository, "CMD"))]
    check = json.loads(instruction(repository, "HEALTHCHECK").partition(" CMD ")[2])

    def here(word: str) -> str:
        for place, path in places.items():
            if word == place or word.startswith(f"{place}/bin"):
                return word.replace(place, path, 1)
        return word.replace(":8000/", f":{port}/")

    assert instruction(repository, "USER") == f"{NOBODY}:{NOBODY}"
    env = {"PATH": os.environ["PATH"], **dict(word.split("=") for word in instruction(repository, "ENV").split())}
    before, python = files(environment, served / "archive", served / "model"), environment / "bin" / "python"
    process = subprocess.Popen([*map(here, words), "--port", port], env=env, stderr=subprocess.PIPE, **rights(python))
    try:
        until = time.monotonic() + 60
        while subprocess.run([*map(here, check)], env=env, capture_output=True, **rights(python)).returncode:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until, "not healthy within a minute"
            time.sleep(0.2)
    finally:
        process.terminate()
        process.communicate()
    assert files(environment, served / "archive", served / "model") == before
    assert subprocess.run([*map(here, check)], env=env, capture_output=True).returncode, (
        "it is healthy without a service"
    )

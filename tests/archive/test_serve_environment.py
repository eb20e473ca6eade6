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
FOLDER = "tests/archive"
SEARCH_AND_SERVICE = (
    *("comparison", "exporting", "filters", "full_text", "joined_depth", "more_like_these", "words", "words_postfix"),
    *("search_films", "search_queries", "search_ranking", "search_rerank", "search_show", "search_words"),
    *("server", "server_access", "server_load", "server_observing", "server_refusals", "server_several"),
    "server_tokens",
)
"""Files whose tests run without torch too, each ``test_NAME.py``."""
OTHER_FILES = {
    "build or check archives, which computes codes of items": (
        *("build", "build_pairs", "build_refusals", "deletion", "end_to_end", "groups", "object_store", "rebuild"),
        *("soak", "source", "source_relabeled", "survival", "switching", "verification", "versions"),
    ),
    "compare with what torch computes": ("exported", "pretrained", "query_codes", "real_data", "search_metric"),
    "switch a running service to another hasher; by a model it stays, see `test_exported`": ("server_switch",),
    "block torch themselves, or are this file": ("imports", "serve_environment"),
    "read DICOM, of the extra `dicom`": ("query_pictures",),
    "need a browser, and have an exported model where torch is installed": ("page", "page_habits"),
    "are about the table of items or the index of codes alone": ("code_index", "code_tables", "store"),
    "need schemathesis, which would bring its packages into the environment": ("api_fuzz",),
}
OTHER_TESTS = {
    "is about the encoder in torch; `test_exported` has what exported models refuse": (
        "search_queries.py::test_archives_of_one_encoder_share_it",
        "search_queries.py::test_a_model_that_is_not_that_of_the_items_is_refused",
        "server.py::test_items_can_be_searched_without_the_encoder",
        "server_load.py::test_a_text_is_encoded_while_a_film_is",
    ),
    "builds an archive": ("search_queries.py::test_content_that_is_not_in_the_archive_is_read_from_its_collection",),
    "ends with `mcmfh-archive verify`, which computes codes again": (
        "search_words.py::test_an_archive_of_an_earlier_release_is_indexed_by_a_command",
        "search_words.py::test_words_that_are_not_those_of_the_text_are_found_and_written_again",
    ),
    "makes a table of pandas": (
        "exporting.py::test_csv_has_the_columns_of_the_table_in_python",
        "search_words.py::test_hits_are_a_data_frame",
    ),
}
"""Tests of these files that do not run there, and why each one does not."""


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


def test_every_file_runs_without_torch_or_has_a_reason_not_to() -> None:
    listed = [*SEARCH_AND_SERVICE, *(name for names in OTHER_FILES.values() for name in names)]
    assert sorted(f"test_{name}.py" for name in listed) == sorted(
        file.name for file in Path(__file__).parent.glob("test_*.py")
    )


@pytest.mark.slow
def test_the_tests_of_search_and_service_pass_where_torch_is_not_installed(
    repository: Path, environment: Path, exported_places: list[Path], word_archives: Path
) -> None:
    """The same files, on archives and models that this process makes; see `made_before`."""
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-cache-dir"]
    subprocess.run([*pip, "pytest", "httpx", "hypothesis"], check=True)
    left_out = [f"--deselect={FOLDER}/test_{test}" for tests in OTHER_TESTS.values() for test in tests]
    command = [python, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--confcutdir={FOLDER}", "-m", "not slow"]
    files = [f"{FOLDER}/test_{name}.py" for name in SEARCH_AND_SERVICE]
    places = json.dumps([*map(str, exported_places), str(word_archives)])
    done = subprocess.run(
        [*command, *left_out, *files],
        cwd=repository,
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "MCMFH_TEST_ARCHIVES": places},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed, *others = re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1].partition(" in ")[0])
    assert passed[1] == "passed"
    assert int(passed[0]) > 600
    assert [name for _, name in others if name != "warnings"] == ["deselected"], "others were skipped"

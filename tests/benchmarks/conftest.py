"""Folders of tables, with results that are made up."""

import shutil
from functools import cache

import pytest

from tests.benchmarks.made_up import SYSTEMS, Folder, document, seeds_of

ROWS = [document(name, "" if name == "Real" else "16") for name in SYSTEMS]


@pytest.fixture
def make_folder(benchmark_file, tmp_path):
    return lambda *documents: Folder(benchmark_file, tmp_path, *documents)


@pytest.fixture
def folder(make_folder):
    return make_folder(*ROWS)


@pytest.fixture(scope="session")
def rendered(benchmark_file, tmp_path_factory):
    """Store the results of all systems and seeds, and render them with flags: once, for tests that only look at it."""

    @cache
    def render(*flags):
        folder = Folder(benchmark_file, tmp_path_factory.mktemp("rendered"), *ROWS)
        folder.add(
            *(run for root in ("runs/planted", "runs/plain") for name in SYSTEMS for run in seeds_of(name, root))
        )
        folder.render(*flags)
        return folder

    return render


@pytest.fixture
def complete(rendered, folder):
    """The same results, to be changed."""
    shutil.copytree(rendered().results, folder.results, dirs_exist_ok=True)
    return folder

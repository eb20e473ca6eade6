"""Folders of tables, with results that are made up."""

import pytest

from tests.benchmarks.made_up import SYSTEMS, Folder, document, made_up


@pytest.fixture
def make_folder(benchmark_file, tmp_path):
    return lambda *documents: Folder(benchmark_file, tmp_path, *documents)


@pytest.fixture
def folder(make_folder):
    return make_folder(*(document(name, "" if name == "Real" else "16") for name in SYSTEMS))


@pytest.fixture
def complete(folder):
    for root in ("runs/planted", "runs/plain"):
        for name in SYSTEMS:
            folder.add(*(made_up(name, seed, None if name == "Real" else 16, root) for seed in range(3)))
    return folder

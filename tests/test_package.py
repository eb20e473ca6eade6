"""The wheel holds what the tree holds, and a newcomer's first imports work."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from setuptools import find_packages


def _packages_of_tree(repository: Path) -> set[str]:
    roots = {
        "mcmfh_lightning": repository / "src" / "mcmfh_lightning",
        "mcmfh_lightning.datamodules": repository / "datamodules",
        "mcmfh_lightning.lightning_configs": repository / "lightning_configs",
    }
    found = set()
    for name, root in roots.items():
        for init in root.rglob("__init__.py"):
            found.add(".".join([name, *init.parent.relative_to(root).parts]))
    return found


def test_setup_lists_every_package(repository: Path) -> None:
    below = find_packages(str(repository / "src"))
    assert {*below, "mcmfh_lightning.datamodules", "mcmfh_lightning.lightning_configs"} == _packages_of_tree(repository)


@pytest.mark.parametrize("folder", ["datamodules", "lightning_configs"])
def test_mapped_folder_is_not_imported_twice(repository: Path, folder: str) -> None:
    """From a clone a bare ``import datamodules`` would make a second copy of every class."""
    done = subprocess.run([sys.executable, "-c", f"import {folder}"], cwd=repository, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"import mcmfh_lightning.{folder}" in done.stderr


@pytest.mark.filterwarnings(r"ignore:mcmfh_lightning\.(csv_logger|loggers) is now:DeprecationWarning")
def test_every_module_imports(repository: Path) -> None:
    """In this process, which has imported the libraries already."""
    names = [
        ".".join([package, module.stem])
        for package in sorted(_packages_of_tree(repository))
        for module in _folder(repository, package).glob("*.py")
        if module.stem not in ("__init__", "__main__")
    ]
    assert len(names) > 40
    for name in names:
        importlib.import_module(name)


def _folder(repository: Path, package: str) -> Path:
    parts = package.split(".")[1:]
    if parts and parts[0] in ("datamodules", "lightning_configs"):
        return repository.joinpath(*parts)
    return repository.joinpath("src", "mcmfh_lightning", *parts)

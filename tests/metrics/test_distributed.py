"""Gloo processes with uneven and empty shares of the database equal one process, to the last digit."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from . import gloo_process

SCRIPT = Path(__file__).with_name("gloo_process.py")


def results(folder, world_size):
    """What each rank computed."""
    folder.mkdir()
    command = [sys.executable, SCRIPT]
    processes = [subprocess.Popen([*command, str(rank), str(world_size), folder]) for rank in range(world_size)]
    assert [process.wait() for process in processes] == [0] * world_size
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world_size)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    with warnings.catch_warnings():
        gloo_process.main(0, 1, folder)
    return torch.load(folder / "0.pt", weights_only=True)


@pytest.mark.parametrize("world_size", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_uneven_and_empty_processes_change_no_digit(tmp_path, alone, world_size):
    for found in results(tmp_path / "run", world_size):
        assert found.keys() == alone.keys()
        for name, values in alone.items():
            assert found[name].keys() == values.keys()
            for key, value in values.items():
                ours = found[name][key]
                assert torch.equal(ours, value) if isinstance(value, torch.Tensor) else ours is value is None, key


def test_the_numbers_are_numbers(alone):
    assert int(alone["histogram"]["database_size"]) == 60
    assert not any(value.isnan() for name in ("collection", "instances") for value in alone[name].values())

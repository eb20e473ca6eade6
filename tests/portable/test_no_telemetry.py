"""onnxruntime sends nothing to its makers, and prepares nothing to be sent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("setting", [None, "0"])
def test_onnxruntime_keeps_no_queue_of_events(tmp_path: Path, setting: str | None) -> None:
    """Otherwise release 1.32 writes the id of the device and a queue of events when it starts."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    places = {name: str(tmp_path / name) for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR")}
    for place in places.values():
        Path(place).mkdir()
    environment |= places | ({} if setting is None else {"ORT_DISABLE_TELEMETRY": setting})
    code = "import mcmfh_lightning.portable, onnxruntime; print(onnxruntime.SessionOptions().log_severity_level)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip().lstrip("-").isdigit()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

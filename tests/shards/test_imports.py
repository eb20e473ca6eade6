"""Reading, writing and verifying shards needs neither torch nor lightning, nor what only URLs need."""

import subprocess
import sys


def test_shards_are_read_and_verified_without_torch(earlier_versions):
    code = f"""
import sys
import numpy as np
from rich.console import Console
from mcmfh_lightning.shards import FeatureShardReader, PairShardReader
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.verify.report import verify_table
from mcmfh_lightning.shards.verify.run import verify

folder = {str(earlier_versions)!r}
assert FeatureShardReader(f"{{folder}}/features", "train").gather(np.arange(8))["image"].dtype == np.float32
assert len(PairShardReader(f"{{folder}}/pairs", "train").text_hashes) == 8
for kind in ("features", "pairs"):
    assert not verify(ShardFolder(f"{{folder}}/{{kind}}"), Console(quiet=True)).failed
heavy = {{"torch", "lightning", "pandas", "aiohttp", "fsspec", "tenacity", "webdataset"}}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr

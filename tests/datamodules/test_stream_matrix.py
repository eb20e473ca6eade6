"""The same global batches for any number of ranks and workers, and every way of starting workers."""

import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from mcmfh_lightning.datamodules.order import epoch_order

SCRIPT = Path(__file__).with_name("stream_matrix.py")
BATCH = 16
UNEVEN = {"train": 203, "val": 9, "test": 37}
FEW_BLOCKS = {"train": 70, "val": 3, "test": 5}
STREAMS = ("train", "train, unique groups", "query", "unseen", "train+val")


@pytest.fixture(scope="module")
def folders(write_features, tmp_path_factory):
    """Shards of 67, 68 and 68 pairs in blocks of 30 and less; and one block, fewer than there are workers or ranks."""
    root = tmp_path_factory.mktemp("matrix")
    return [
        write_features(root / "uneven", UNEVEN, ranks=3, block_pairs=30),
        write_features(root / "few", FEW_BLOCKS),
    ]


@pytest.mark.parametrize(
    ("method", "cases"),
    [
        ("fork", [(1, 0), (2, 0), (4, 0), (8, 0), (1, 1), (2, 3)]),  # ranks and workers
        pytest.param("forkserver", [(1, 0), (2, 2)], marks=pytest.mark.slow),
        pytest.param("spawn", [(1, 0), (1, 2)], marks=pytest.mark.slow),
    ],
)
def test_every_number_of_ranks_and_workers(folders, tmp_path, method, cases):
    out = tmp_path / "rows.json"
    command = [sys.executable, str(SCRIPT), method, json.dumps(cases), str(out), *map(str, folders)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=560, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(out.read_text())
    assert len(found) == sum(world_size for world_size, _ in cases)
    reference = {}
    for world_size, workers in cases:
        ranks = [found[f"{world_size} {workers} {rank}"] for rank in range(world_size)]
        for number, sizes in enumerate((UNEVEN, FEW_BLOCKS)):
            of = {name: [rank[number * len(STREAMS) + i] for rank in ranks] for i, name in enumerate(STREAMS)}
            for name in STREAMS[:2]:
                assert {len(batch) for batches in of[name] for batch in batches} == {BATCH // world_size}
                together = [list(chain(*parts)) for parts in zip(*of[name], strict=True)]
                rows = list(chain(*together))
                assert len(set(rows)) == len(rows) > sizes["train"] - BATCH
                assert together == reference.setdefault((number, name), together)
            assert together[0] != reference[number, "train"][0]
            assert all(len({row // 2 for row in batch}) == BATCH for batch in together), (
                "pairs 2i and 2i + 1 are a group"
            )
            order = epoch_order(sizes["train"], seed=0, epoch=0).tolist()
            assert list(chain(*reference[number, "train"])) == order[: len(order) // BATCH * BATCH]
            assert [list(chain(*batches)) for batches in of["query"]] == [list(range(sizes["test"]))] * world_size
            for name, size in (("unseen", sizes["test"]), ("train+val", sizes["train"] + sizes["val"])):
                rows = np.sort(list(chain(*chain(*of[name]))))
                assert rows.tolist() == list(range(size)), "each once"

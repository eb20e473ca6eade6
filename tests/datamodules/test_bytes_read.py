"""What all ranks together ask the operating system for, as it counts it itself (``rchar`` of /proc/self/io)."""

import json
import pickle
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.datamodules.order import BatchSequence
from mcmfh_lightning.datamodules.streams import TrainingStream
from mcmfh_lightning.shards import FeatureShardWriter, merge_feature_parts

PAIRS, BATCH, WIDTH = 8192, 512, 256
LIMIT = 1.1


def bytes_read() -> int:
    """What this process has read so far by system calls, from files in memory too."""
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


@pytest.fixture(scope="module")
def folder(feature_info, tmp_path_factory):
    """Embeddings of half the usual width or less: the rest of a shard weighs all the more."""
    root = tmp_path_factory.mktemp("wide")
    generator = np.random.default_rng(0)
    ids = [f"train-{i}" for i in range(PAIRS)]
    writer = FeatureShardWriter(root, rank=0)
    writer.write(
        "train",
        ids,
        image=generator.normal(size=(PAIRS, WIDTH)).astype(np.float32),
        text=generator.normal(size=(PAIRS, WIDTH)).astype(np.float32),
        labels=np.zeros((PAIRS, 2), np.uint8),
        groups=np.arange(PAIRS),
        text_hashes=np.arange(PAIRS),
    )
    writer.close()
    info = feature_info.__class__(**{**vars(feature_info), "image_dim": WIDTH, "text_dim": WIDTH})
    merge_feature_parts(root, info, 1, expected_ids={"train": ids})
    return root


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.tar"))


@pytest.mark.parametrize("world_size", [1, 64])
@pytest.mark.parametrize("unique_groups", [False, True])
def test_an_epoch_reads_little_more_than_the_shards(folder, world_size, unique_groups):
    before = bytes_read()
    data = FeatureDataModule(str(folder), BATCH, unique_groups=unique_groups)
    data.setup("fit")
    sent = pickle.dumps(data.reader("train"))  # what the first rank hands to the others
    groups = data.reader("train").groups if unique_groups else None
    sequence = BatchSequence(np.arange(PAIRS), groups, seed=0, global_batch_size=BATCH)
    pairs = 0
    for rank in range(world_size):
        table = data.table(pickle.loads(sent))
        for _, batch in TrainingStream(table, sequence, rank=rank, world_size=world_size):
            pairs += len(batch["index"])
    read = bytes_read() - before
    assert pairs == PAIRS
    embeddings = 2 * 2 * WIDTH * PAIRS
    assert embeddings < read < LIMIT * size_of(folder)


class Counted(FeatureDataModule):
    """Notes where the counter stands before anything of the shards is read."""

    def setup(self, stage):
        self.before = bytes_read()
        super().setup(stage)


class Counter(pl.LightningModule):
    def __init__(self, out):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
        self.out = out
        self.pairs = 0

    def training_step(self, batch, batch_idx):
        self.pairs += len(batch["index"])
        return self.line(batch["image"][:, :1]).mean()

    def on_train_epoch_end(self):
        found = {"pairs": self.pairs, "bytes": bytes_read() - self.trainer.datamodule.before}
        Path(self.out, f"{self.global_rank}.json").write_text(json.dumps(found))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def test_two_real_ranks_read_little_more_than_the_shards(folder, tmp_path):
    import torch._dynamo  # noqa: F401  # which a fit imports in any case, in the middle of what is counted

    trainer = pl.Trainer(
        accelerator="cpu",
        strategy="ddp_fork",
        devices=2,
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Counter(tmp_path), Counted(str(folder), BATCH))
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert [rank["pairs"] for rank in ranks] == [PAIRS // 2] * 2
    read = [rank["bytes"] for rank in ranks]
    assert min(read) > 2 * WIDTH * PAIRS, "each reads its half of the embeddings"
    assert sum(read) < LIMIT * size_of(folder)

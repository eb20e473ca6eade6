"""Features for hashers: training batches in the exact order, queries and databases for evaluation."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from mcmfh_lightning.datamodules.base import ShardDataModule, shard_rows
from mcmfh_lightning.datamodules.shards import SPLITS, DatasetInfo, FeatureShardReader
from mcmfh_lightning.datamodules.streams import EvaluationStream, TrainingLoader, TrainingStream
from mcmfh_lightning.errors import CheckpointError, DataError

Loader = DataLoader[Mapping[str, Any]]

QUERY = "query"
UNSEEN = "unseen"
TRAIN_VAL = "train+val"

EVALUATION: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "validate": {QUERY: ("val",), UNSEEN: ("val",)},
    "test": {QUERY: ("test",), UNSEEN: ("test",), TRAIN_VAL: ("train", "val")},
}
"""The splits of each evaluation loader, by stage, in the order of the loaders. An unseen database is the split of the
queries itself; the metric leaves out items of a query's own group."""


class FeatureDataModule(ShardDataModule):
    """Batches from a folder of feature shards.

    Training runs through global batches whose content depends on ``seed``, the epoch and ``global_batch_size`` only:
    not on the number of ranks, of workers or of interruptions. A checkpoint resumes with the very next batch. Less than
    one global batch of pairs sits out an epoch, other ones every time.

    In evaluation every rank sees all queries, in the same order, and its own part of each database; every pair of a
    database is there exactly once.

    Args:
        root: The folder that `predict` wrote.
        global_batch_size: Pairs of a training step, of all ranks together.
        num_workers: Processes per loader that read ahead; 0 reads in the training process.
        seed: Seed of the training order.

    Attributes:
        info: Content of ``dataset.json``.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        num_labels: Number of labels.
        label_vocabulary: The labels.
        normal_label: The label that says "nothing found", or None.
        encoder: Identity of the encoder.

    Raises:
        DataError: If the folder does not hold features.
        ValueError: If a number is out of its range.
    """

    def __init__(self, root: str, global_batch_size: int = 256, num_workers: int = 0, seed: int = 0) -> None:
        super().__init__(root, num_workers)
        if global_batch_size < 1:
            raise ValueError(f"global_batch_size is {global_batch_size}; it must be at least 1")
        if seed < 0:
            raise ValueError(f"seed is {seed}; it must be at least 0")
        self.global_batch_size = global_batch_size
        self.seed = seed
        self.info = DatasetInfo.load(root)
        if self.info.image_dim is None or self.info.text_dim is None or self.info.encoder is None:
            raise DataError(f"{root} holds {self.info.format}, not features: encode it with `mcmfh predict` first")
        self.image_dim: int = self.info.image_dim
        self.text_dim: int = self.info.text_dim
        self.num_labels: int = self.info.num_labels
        self.label_vocabulary: tuple[str, ...] = self.info.label_vocabulary
        self.normal_label: str | None = self.info.normal_label
        self.encoder: Mapping[str, Any] = self.info.encoder
        self._readers: dict[str, FeatureShardReader] = {}

    def setup(self, stage: str) -> None:
        """Check that the data serve the stage.

        Raises:
            DataError: If the global batch cannot be divided over the ranks, or there are too few pairs.
        """
        if stage != TrainerFn.FITTING:
            return
        if self.global_batch_size % self.world_size:
            raise DataError(
                f"global_batch_size {self.global_batch_size} cannot be divided over {self.world_size} ranks: choose a"
                f" multiple, such as {self.world_size * max(1, round(self.global_batch_size / self.world_size))}"
            )
        pairs = len(self.reader("train"))
        if pairs < self.global_batch_size:
            raise DataError(
                f"{self.root} has {pairs} training pairs, fewer than one global batch of {self.global_batch_size}:"
                " lower global_batch_size"
            )

    def reader(self, split: str) -> FeatureShardReader:
        """Return the table of a split."""
        if split not in self._readers:
            self._readers[split] = FeatureShardReader(self.root, split, self.info)
        return self._readers[split]

    def train_dataloader(self) -> TrainingLoader:
        """Return this rank's part of the global batches."""
        stream = TrainingStream(
            self.reader("train"),
            seed=self.seed,
            global_batch_size=self.global_batch_size,
            rank=self.rank,
            world_size=self.world_size,
        )
        return TrainingLoader(stream, self.trainer, **self.loader_settings())

    def val_dataloader(self) -> list[Loader]:
        """Return the loaders that ``evaluation_loaders("validate")`` names."""
        return self._evaluation("validate")

    def test_dataloader(self) -> list[Loader]:
        """Return the loaders that ``evaluation_loaders("test")`` names."""
        return self._evaluation("test")

    def evaluation_loaders(self, stage: Literal["validate", "test"]) -> list[str]:
        """Name the evaluation loaders of a stage in their order: the queries, then the databases.

        Raises:
            ValueError: If the stage is neither validate nor test.
        """
        if stage not in EVALUATION:
            raise ValueError(f"stage is {stage!r}; choose one of {', '.join(EVALUATION)}")
        return list(EVALUATION[stage])

    def state_dict(self) -> dict[str, Any]:
        """Return what the training order depends on."""
        return {
            "global_batch_size": self.global_batch_size,
            "seed": self.seed,
            "data": self._fingerprint(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with a training run in another order; other uses of a checkpoint are free.

        Raises:
            CheckpointError: If the run was made with other data, another global batch size or another seed.
        """
        if self.trainer is None or self.trainer.state.fn != TrainerFn.FITTING:
            return
        mine = self.state_dict()
        other = [name for name, value in mine.items() if state_dict.get(name) != value]
        if other:
            differences = "; ".join(f"{name} {state_dict.get(name)} there, {mine[name]} here" for name in other)
            raise CheckpointError(
                f"the checkpoint belongs to another training order ({differences}): resume with the same data and"
                f" settings, or start a new run. The data here are {self.root}"
            )

    def _evaluation(self, stage: str) -> list[Loader]:
        loaders = []
        for name, splits in EVALUATION[stage].items():
            readers = [self.reader(split) for split in splits]
            pairs = sum(map(len, readers))
            if pairs == 0:
                raise DataError(f"{self.root} has no pairs in {' or '.join(splits)} to {stage} with: split it anew")
            rows = np.arange(pairs) if name == QUERY else shard_rows(pairs, self.rank, self.world_size)
            loaders.append(self.loader(EvaluationStream(readers, rows)))
        return loaders

    def _fingerprint(self) -> str:
        """Return 16 hexadecimal digits that are equal for equal shards."""
        shards = [shard for split in SPLITS for shard in self.info.split(split).shards]
        return hashlib.sha256("\n".join(f"{s.name} {s.sha256}" for s in shards).encode()).hexdigest()[:16]

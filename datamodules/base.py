"""The base of the datamodules: global batches for training, queries and databases for evaluation."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from lightning.fabric.utilities import suggested_max_num_workers
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from mcmfh_lightning.datamodules.loader import BatchLoader, TrainingLoader
from mcmfh_lightning.datamodules.order import BatchSequence, fit_batch
from mcmfh_lightning.datamodules.overlap import check_overlap, trained_on
from mcmfh_lightning.datamodules.resume import check_order, resumed_batch
from mcmfh_lightning.datamodules.streams import BatchStream, EvaluationStream, TrainingStream, shard_rows, whole_rows
from mcmfh_lightning.datamodules.tables import Table
from mcmfh_lightning.errors import DataError, check_choice
from mcmfh_lightning.shards import SPLITS, DatasetInfo, FeatureShardReader, PairShardReader
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.joined import groups_of_collections

Reader = TypeVar("Reader", FeatureShardReader, PairShardReader)

QUERY = "query"

EVALUATION: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "validate": {QUERY: ("val",), "unseen": ("val",)},
    "test": {QUERY: ("test",), "unseen": ("test",), "train+val": ("train", "val")},
}
"""The splits of each evaluation loader, by stage, in the order of the loaders. An unseen database is the split of the
queries itself; the metric leaves out items of a query's own group."""
_MEASURED = {TrainerFn.VALIDATING: ["val"], TrainerFn.TESTING: ["test"], TrainerFn.PREDICTING: ["val", "test"]}
"""The splits of the queries of each stage. Codes may be written for whatever there is."""


class ShardDataModule(LightningDataModule, ABC, Generic[Reader]):
    """A datamodule over a folder of shards.

    Training runs through global batches whose content depends on ``seed``, the epoch, ``global_batch_size`` and
    ``unique_groups`` only: not on the number of ranks, of workers or of interruptions. A checkpoint resumes with the
    very next batch. Less than one global batch of pairs sits out an epoch, other ones every time. Items without an
    image or without a text are not trained on.

    Unless it is given, the global batch is fitted to the collection, and an epoch goes through a small one several
    times, so that equal numbers of epochs serve collections of any size: see `fit_batch`.

    In evaluation every rank sees all queries, in the same order, and its own part of each database. Queries have both
    an image and a text; every item of a database is there exactly once.

    Rank and number of ranks come from the attached trainer, never from the environment. Without a trainer, as in a
    notebook, this is the only process.

    Args:
        root: A folder of shards: a local path, or a URL that fsspec opens (``s3://``, ``https://`` ...).
        global_batch_size: Pairs of a training step, of all ranks together; None fits it to the collection, or takes
            that of the run that is resumed.
        num_workers: Processes per loader that read ahead; 0 reads in the training process, None takes as many as
            Lightning suggests for the cores of the machine and its ranks.
        seed: Seed of the training order.
        unique_groups: Whether a global batch may hold no two pairs of one group (study, article or patient), which
            would be negatives of each other for a loss that does not know of groups.
        cache: Local folder for shards of a URL; in the user's cache folder if None.

    Raises:
        ValueError: If a number is out of its range.
    """

    evaluation_batch_size: int
    """Items of an evaluation batch on each rank."""

    def __init__(
        self,
        root: str,
        global_batch_size: int | None,
        num_workers: int | None,
        seed: int,
        *,
        unique_groups: bool,
        cache: str | None,
    ) -> None:
        super().__init__()
        batch = 1 if global_batch_size is None else global_batch_size
        numbers = {"global_batch_size": (batch, 1), "num_workers": (num_workers or 0, 0), "seed": (seed, 0)}
        for name, (value, least) in numbers.items():
            if value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")
        self.root = root
        self.global_batch_size = global_batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.unique_groups = unique_groups
        self.cache = cache
        self._readers: dict[tuple[str, ...], Reader] = {}
        self._schedule: tuple[int, int] | None = None  # rows of a batch, passes of an epoch
        # A split may have fewer pairs than there are ranks: then some ranks have none.
        self.allow_zero_length_dataloader_with_multiple_devices = True

    @cached_property
    def folder(self) -> ShardFolder:
        """Folder of the shards.

        Raises:
            DataError: If the address is refused, or cannot be reached.
        """
        return ShardFolder(self.root, None if self.cache is None else Path(self.cache))

    @cached_property
    def info(self) -> DatasetInfo:
        """Content of ``dataset.json``.

        Raises:
            DataError: If there is none, or it is malformed.
        """
        return DatasetInfo.load(self.folder.path)

    @property
    def num_labels(self) -> int:
        """Number of labels."""
        return self.info.num_labels

    @property
    def label_vocabulary(self) -> tuple[str, ...]:
        """Labels, in the order of their bits."""
        return self.info.label_vocabulary

    @property
    def normal_label(self) -> str | None:
        """Label that says "nothing found", or None."""
        return self.info.normal_label

    @property
    def splits(self) -> list[str]:
        """Splits that have items, in the order of the loaders of ``predict``."""
        return [split for split in SPLITS if self.info.split(split).pairs]

    @property
    def rank(self) -> int:
        """Number of this process."""
        return 0 if self.trainer is None else self.trainer.global_rank

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return 1 if self.trainer is None else self.trainer.world_size

    @abstractmethod
    def open(self, splits: tuple[str, ...]) -> Reader:
        """Open one or more splits."""

    @abstractmethod
    def table(self, reader: Reader) -> Table:
        """Return the table that makes batches of what a reader reads."""

    def reader(self, *splits: str) -> Reader:
        """Return the items of one or more splits."""
        if splits not in self._readers:
            self._readers[splits] = self.open(splits)
        return self._readers[splits]

    def setup(self, stage: str) -> None:
        """Check that the data serve the stage.

        Raises:
            DataError: If the global batch cannot be divided over the ranks, there are too few pairs, or groups cannot
                be kept apart.
        """
        if stage != TrainerFn.FITTING:
            return
        self.check_ranks(self.world_size)
        self._readers["train",] = self._training_reader()
        self._schedule = None  # of an earlier fit, which may have had other ranks
        sequence = self._sequence()
        items = len(self.reader("train"))
        if items > len(sequence.rows):
            rank_zero_info(f"{items - len(sequence.rows)} of {items} training items lack image or text: not trained on")

    def check_ranks(self, ranks: int) -> None:
        """Check that a global batch can be divided over a number of processes.

        Raises:
            DataError: If it cannot.
        """
        size = self.global_batch_size or ranks
        if size % ranks:
            near = ranks * max(1, round(size / ranks))
            raise DataError(
                f"global_batch_size (--data.global-batch-size) is {size}, which cannot be divided over {ranks} ranks:"
                f" choose a multiple, such as {near}"
            )

    def train_dataloader(self) -> TrainingLoader:
        """Return this rank's part of the global batches."""
        table = self.table(self.reader("train"))
        stream = TrainingStream(table, self._sequence(), rank=self.rank, world_size=self.world_size)
        return TrainingLoader(stream, self.trainer, **self.loader_settings())

    def val_dataloader(self) -> list[BatchLoader]:
        """Return the loaders that ``evaluation_loaders("validate")`` names."""
        return self._evaluation("validate")

    def test_dataloader(self) -> list[BatchLoader]:
        """Return the loaders that ``evaluation_loaders("test")`` names."""
        return self._evaluation("test")

    def predict_dataloader(self) -> list[BatchLoader]:
        """Return one loader a split, of this rank's part of its items."""
        loaders = []
        for split in self.splits:
            reader = self.reader(split)
            rows = shard_rows(len(reader), self.rank, self.world_size)
            stream = EvaluationStream(self.table(reader), rows, self.evaluation_batch_size)
            loaders.append(self.loader(stream, f"predict/{split}"))
        return loaders

    def evaluation_loaders(self, stage: Literal["validate", "test"]) -> list[str]:
        """Name the evaluation loaders of a stage in their order: the queries, then the databases.

        Raises:
            ValueError: If the stage is neither validate nor test.
        """
        check_choice("stage", stage, Literal["validate", "test"])
        return list(EVALUATION[stage])

    def provenance(self) -> dict[str, Any]:
        """Name the data, as plain JSON: for reports."""
        return {
            "name": self.info.name,
            "path": str(self.folder),
            "fingerprint": self.info.fingerprint,
            "licence": self.info.licence,
            "pairs": {split: self.info.split(split).pairs for split in SPLITS},
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what the training order depends on, and which groups are trained on."""
        return {**self._order(), "trained_on": self._trained_on}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to resume a training run in another order, and to evaluate on what was trained on.

        Raises:
            CheckpointError: If the run was made with other data, another global batch size or another seed; in a
                validation or test, if groups of the queries were trained on.
        """
        fn = None if self.trainer is None else self.trainer.state.fn
        if fn == TrainerFn.FITTING:
            self._resume_schedule(state_dict)
            check_order(state_dict, self._order(), self.folder)
        elif fn is not None and "trained_on" in state_dict:  # checkpoints of the version before have none
            for split in (one for one in _MEASURED.get(fn, ()) if one in self.splits):
                groups = groups_of_collections(self.reader(split))
                to_predict = fn == TrainerFn.PREDICTING
                check_overlap(state_dict["trained_on"], groups, split, self.folder, warn=to_predict)

    @cached_property
    def _trained_on(self) -> dict[str, Any]:
        return trained_on(groups_of_collections(self.reader("train")))

    def _order(self) -> dict[str, Any]:
        """Return what the training order depends on."""
        sequence = self._sequence()
        return {
            "global_batch_size": sequence.global_batch_size,
            "passes": sequence.passes,
            "seed": self.seed,
            "unique_groups": self.unique_groups,
            "data": self.info.fingerprint,
        }

    def _resume_schedule(self, state_dict: dict[str, Any]) -> None:
        """Take the batch that was fitted when the run began, unless another one is given."""
        fitted = resumed_batch(state_dict, given=self.global_batch_size, ranks=self.world_size)
        self._schedule = fitted or self._schedule

    def loader(self, stream: BatchStream, name: str) -> BatchLoader:
        """Return a loader of all batches of a stream, by the name that errors use."""
        return BatchLoader(stream, name, **self.loader_settings())

    def loader_settings(self) -> dict[str, Any]:
        """Return the arguments that all loaders share."""
        on_cuda = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        workers = self.num_workers
        if workers is None:
            workers = suggested_max_num_workers(1 if self.trainer is None else self.trainer.num_devices)
        return {"num_workers": workers, "pin_memory": on_cuda}

    def _training_reader(self) -> Reader:
        """Open the training split for this rank.

        What every rank has to know of all items (where they are, their groups ...) is read by one rank for all: at 64
        ranks these reads would otherwise add up to more than the embeddings that are trained on.

        Raises:
            DataError: If rank 0 cannot open it; on all ranks alike, so that none waits for another that gave up.
        """
        for shard in self.info.split("train").shards:
            self.folder.shard(shard)  # on each machine, before one rank lets the others wait
        if self.trainer is None or self.world_size == 1:
            return self._open_with_columns()
        reader: Reader | None = None
        complaint: str | None = None
        if self.trainer.is_global_zero:
            try:
                reader = self._open_with_columns()
            except DataError as error:
                complaint = str(error)
        complaint, shared = self.trainer.strategy.broadcast((complaint, reader))
        if shared is None:
            raise DataError(complaint)
        # Caches may be elsewhere on another machine.
        return shared if shared.folder.path == self.folder.path else self._open_with_columns()

    def _open_with_columns(self) -> Reader:
        reader = self.open(("train",))
        reader.load_columns()
        return reader

    def _sequence(self) -> BatchSequence:
        reader = self.reader("train")
        rows = whole_rows(reader.present)
        groups = reader.groups[rows] if self.unique_groups else None
        try:
            if self._schedule is None and self.global_batch_size is None:
                largest = 1 if groups is None else int(np.unique(groups, return_counts=True)[1].max(initial=1))
                self._schedule = fit_batch(len(rows), largest_group=largest, ranks=self.world_size)
            size, passes = self._schedule or (self.global_batch_size or 1, 1)
            return BatchSequence(rows, groups, seed=self.seed, global_batch_size=size, passes=passes)
        except DataError as error:
            raise DataError(f"{self.folder}: {error}") from error

    def _evaluation(self, stage: str) -> list[BatchLoader]:
        loaders = []
        for name, splits in EVALUATION[stage].items():
            reader = self.reader(*splits)
            rows = whole_rows(reader.present) if name == QUERY else shard_rows(len(reader), self.rank, self.world_size)
            if len(reader) == 0 or (name == QUERY and len(rows) == 0):
                raise DataError(
                    f"{self.folder} has no pairs in {' or '.join(splits)} to {stage} with: split the collection again"
                )
            stream = EvaluationStream(self.table(reader), rows, self.evaluation_batch_size)
            loaders.append(self.loader(stream, f"{stage}/{name}"))
        return loaders

"""Speed of loading training data: ``python benchmarks/streaming.py --features DIR --csv FILE``.

See docs/results/benchmarks.md.

Measures, in one run and for 1 and 2 workers, samples per second of

    (a) our loader over feature shards,
    (b) the same batches gathered from tensors in memory, in the same loader,
    (c) WebDataset over one record per pair, decoded and batched as its documentation does it,
    (d) reading the bytes of the same records with ``tarfile`` alone, and of our shards;

and the share of a training step of MCMFH (default configuration, batch 256) spent waiting for data. Prints a table in
Markdown and writes a CSV file.
"""

import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import webdataset as wds
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.profilers import SimpleProfiler
from measurements import QUIET, Row, markdown, options, report, seconds, spread, take_turns
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.datamodules.loader import TrainingLoader
from mcmfh_lightning.datamodules.order import BatchSequence
from mcmfh_lightning.datamodules.streams import TrainingStream
from mcmfh_lightning.datamodules.tables import FeatureTable
from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.shards import FeatureShardReader

BATCH = 256
RECORDS_PER_TAR = 1000
WORKERS = (1, 2)
EPOCHS = 5
REPEATS = 5
PACKAGES = ("torch", "lightning", "numpy", "webdataset")


class MemoryTable(FeatureTable):
    """The split as tensors, for (b): a batch is indexing."""

    def __init__(self, reader: FeatureShardReader) -> None:
        super().__init__(reader)
        self._tensors = super().batch(np.arange(len(reader)))

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Gather rows."""
        return {name: tensor[rows] for name, tensor in self._tensors.items()}


class TarBytes(IterableDataset[int]):
    """All members of some tars, for (d): read and thrown away, and dealt out to the workers.

    Gives only the number of bytes of each tar, so that reading is what is measured.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[int]:
        worker = get_worker_info()
        offset, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for path in self._paths:
            with tarfile.open(path) as tar:
                streams = (tar.extractfile(member) for member in tar.getmembers()[offset::step])
                yield sum(len(stream.read()) for stream in streams if stream is not None)


def write_records(reader: FeatureShardReader, folder: Path) -> list[Path]:
    """Write one record per pair: ``image.npy``, ``text.npy`` in half precision, and ``json``."""
    with wds.ShardWriter(str(folder / "%05d.tar"), maxcount=RECORDS_PER_TAR, verbose=0) as tars:
        batch = reader.gather(np.arange(len(reader)))
        for row in range(len(reader)):
            halves = {f"{side}.npy": batch[side][row].astype(np.float16) for side in ("image", "text")}
            description = {"labels": batch["labels"][row].tolist(), "group": int(batch["group"][row])}
            tars.write({"__key__": f"{row:08d}", **halves, "json": description})
    return sorted(folder.glob("*.tar"))


def web_loader(paths: Sequence[Path], workers: int) -> Iterable[Any]:
    """Make the pipeline of WebDataset's documentation, for (c)."""
    dataset = (
        wds.WebDataset([str(path) for path in paths], shardshuffle=len(paths))
        .shuffle(1000)
        .decode()
        .to_tuple("image.npy", "text.npy", "json")
        .batched(BATCH)
    )
    return wds.WebLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=True)


def pairs_per_second(make: Callable[[], Iterable[Any]], pairs: int) -> float:
    """Run through some epochs of a new loader, the start of its workers included, as in training."""
    loader = make()
    return EPOCHS * pairs / seconds(lambda: [deque(loader, maxlen=0) for _ in range(EPOCHS)])


def loading(features: str) -> Iterator[Row]:
    """Measure (a) to (d), `EPOCHS` epochs of each in turn, `REPEATS` times."""
    data = FeatureDataModule(features, global_batch_size=BATCH)
    reader = data.reader("train")
    reader.load_columns()
    sequence = BatchSequence(np.arange(len(reader)), None, seed=0, global_batch_size=BATCH)
    pairs = len(reader)
    batched = len(sequence) * BATCH  # the last, smaller batch is left out
    shards = [reader.folder.shard(shard) for shard in data.info.split("train").shards]

    def ours(table: FeatureTable, workers: int) -> TrainingLoader:
        stream = TrainingStream(table, sequence, rank=0, world_size=1)
        return TrainingLoader(stream, None, num_workers=workers)

    def tar_bytes(paths: Sequence[Path], workers: int) -> DataLoader[int]:
        return DataLoader(TarBytes(paths), batch_size=None, num_workers=workers, persistent_workers=True)

    with tempfile.TemporaryDirectory() as folder:
        records = write_records(reader, Path(folder))
        table, memory = FeatureTable(reader), MemoryTable(reader)
        systems: dict[tuple[str, int], Callable[[], float]] = {}
        for n in WORKERS:
            loaders: dict[str, tuple[Callable[[], Iterable[Any]], int]] = {
                "(a) feature shards": (partial(ours, table, n), batched),
                "(b) tensors in memory": (partial(ours, memory, n), batched),
                "(c) WebDataset, a record a pair": (partial(web_loader, records, n), pairs),
                "(d) tarfile, bytes of (c)": (partial(tar_bytes, records, n), pairs),
                "(d) tarfile, bytes of (a)": (partial(tar_bytes, shards, n), pairs),
            }
            systems |= {(name, n): partial(pairs_per_second, *loader) for name, loader in loaders.items()}
        for (name, n), found in take_turns(systems, REPEATS, "loading").items():
            yield {"measure": name, "workers": n, "value": round(median(found)), "unit": "pairs/s"}


def train(model: LightningModule, data: LightningDataModule, epochs: int, **options: Any) -> Mapping[str, list[float]]:  # noqa: ANN401  # those of a Trainer
    """Train for some epochs without validation; return the seconds of each action of the trainer, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        profiler = SimpleProfiler(dirpath=folder, filename="profile")
        options = QUIET | {"profiler": profiler, "default_root_dir": folder, "limit_val_batches": 0} | options
        Trainer(max_epochs=epochs, **options).fit(model, datamodule=data)
    return profiler.recorded_durations


NEXT_BATCH, STEP, EPOCH = "[_TrainingEpochLoop].train_dataloader_next", "run_training_batch", "run_training_epoch"
"""Actions of the trainer."""


def waiting(features: str, workers: int, epochs: int) -> Row:
    """Measure the share of the time of MCMFH's training steps that is spent in asking for the next batch."""
    data = FeatureDataModule(features, global_batch_size=BATCH, num_workers=workers)
    seconds_of = train(MCMFH(16, data.image_dim, data.text_dim), data, epochs)
    wait, step = sum(seconds_of[NEXT_BATCH]), sum(seconds_of[STEP])
    return {"measure": "waiting for data", "workers": workers, "value": round(wait / (wait + step), 4), "unit": "share"}


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the table of the page: a line a measure, a column a number of workers."""
    cells = [
        f"{100 * value:.1f} %" if unit == "share" else f"{value:,.0f}"
        for value, unit in zip(rows["value"], rows["unit"], strict=True)
    ]
    workers = [f"{number} workers" for number in rows["workers"]]
    table = spread(rows.assign(cell=cells, workers=workers), ["measure"], "workers")
    return {"loading": markdown(table[["measure", *sorted(set(workers))]].rename(columns={"measure": ""}))}


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "features", "csv")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the training run that is timed")
    arguments = parser.parse_args()
    features = str(arguments.features)
    waits = (waiting(features, workers, arguments.epochs) for workers in (0, *WORKERS))
    report(arguments, chain(loading(features), waits), tables, packages=PACKAGES)


if __name__ == "__main__":
    main()

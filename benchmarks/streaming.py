"""How fast training data come: ``python benchmarks/streaming.py --features DIR``; see docs/results/benchmarks.md.

Measures, in one run and for 1 and 2 workers, samples per second of

    (a) our loader over feature shards,
    (b) the same batches gathered from tensors in memory, in the same loader,
    (c) WebDataset over one record per pair, decoded and batched as its documentation does it,
    (d) reading the bytes of the same records with ``tarfile`` alone, and of our shards;

and the share of a training step of MCMFH (default configuration, batch 256) spent waiting for data. Prints tables in
Markdown and writes a CSV.
"""

import argparse
import csv
import os
import platform
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import webdataset as wds
from lightning.pytorch import Trainer
from lightning.pytorch.profilers import SimpleProfiler
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
    """(b): the split as tensors; a batch is indexing."""

    def __init__(self, readers: Sequence[FeatureShardReader]) -> None:
        super().__init__(readers)
        self._tensors = super().batch(np.arange(len(self)))

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Gather rows."""
        return {name: tensor[rows] for name, tensor in self._tensors.items()}


class TarBytes(IterableDataset[int]):
    """(d): all members of some tars, read and thrown away; members are dealt out to the workers.

    Gives the number of bytes of each tar alone, so that what is measured is reading.
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
    paths = []
    for start in range(0, len(reader), RECORDS_PER_TAR):
        rows = np.arange(start, min(start + RECORDS_PER_TAR, len(reader)))
        batch = reader.gather(rows)
        path = folder / f"{len(paths):05d}.tar"
        with wds.TarWriter(str(path)) as tar:
            for i, row in enumerate(rows.tolist()):
                tar.write(
                    {
                        "__key__": f"{row:08d}",
                        "image.npy": batch["image"][i].astype(np.float16),
                        "text.npy": batch["text"][i].astype(np.float16),
                        "json": {"labels": batch["labels"][i].tolist(), "group": int(batch["group"][i])},
                    }
                )
        paths.append(path)
    return paths


def web_loader(paths: Sequence[Path], workers: int) -> Iterable[Any]:
    """(c): the pipeline of WebDataset's documentation."""
    dataset = (
        wds.WebDataset([str(path) for path in paths], shardshuffle=len(paths))
        .shuffle(1000)
        .decode()
        .to_tuple("image.npy", "text.npy", "json")
        .batched(BATCH)
    )
    return wds.WebLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=True)


def pairs_per_second(loader: Iterable[Any], pairs: int) -> float:
    """Run through some epochs of a loader, the start of its workers included, as in training."""
    begin = time.perf_counter()
    for _ in range(EPOCHS):
        for _ in loader:
            pass
    return EPOCHS * pairs / (time.perf_counter() - begin)


def loading(features: str) -> list[dict[str, str | int | float]]:
    """Measure (a) to (d), `EPOCHS` epochs of each in turn, `REPEATS` times."""
    data = FeatureDataModule(features, global_batch_size=BATCH)
    reader = data.reader("train")
    reader.load_columns()
    sequence = BatchSequence(np.arange(len(reader)), None, seed=0, global_batch_size=BATCH)
    batched = len(sequence) * BATCH
    shards = [reader.folder.shard(shard) for shard in data.info.split("train").shards]

    def ours(table: FeatureTable, workers: int) -> TrainingLoader:
        stream = TrainingStream(table, sequence, rank=0, world_size=1)
        return TrainingLoader(stream, None, num_workers=workers)

    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        records = write_records(reader, Path(folder))
        table, memory = FeatureTable([reader]), MemoryTable([reader])
        for _ in range(REPEATS):
            for workers in WORKERS:
                loaders: dict[str, tuple[Iterable[Any], int]] = {
                    "(a) feature shards": (ours(table, workers), batched),
                    "(b) tensors in memory": (ours(memory, workers), batched),
                    "(c) WebDataset, a record a pair": (web_loader(records, workers), len(reader)),
                    "(d) tarfile, bytes of (c)": (_bytes_of(records, workers), len(reader)),
                    "(d) tarfile, bytes of (a)": (_bytes_of(shards, workers), len(reader)),
                }
                for name, (loader, pairs) in loaders.items():
                    rates.setdefault((name, workers), []).append(pairs_per_second(loader, pairs))
    return [
        {"measure": name, "workers": workers, "value": round(statistics.median(found)), "unit": "pairs/s"}
        for (name, workers), found in rates.items()
    ]


def waiting(features: str, workers: int, epochs: int) -> dict[str, str | int | float]:
    """Share of the time of training steps of MCMFH that is spent in asking for the next batch."""
    data = FeatureDataModule(features, global_batch_size=BATCH, num_workers=workers)
    with tempfile.TemporaryDirectory() as folder:
        profiler = SimpleProfiler(dirpath=folder, filename="profile")
        Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            limit_val_batches=0,
            profiler=profiler,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        ).fit(MCMFH(16, data.image_dim, data.text_dim), datamodule=data)
    wait = sum(profiler.recorded_durations["[_TrainingEpochLoop].train_dataloader_next"])
    step = sum(profiler.recorded_durations["run_training_batch"])
    return {"measure": "waiting for data", "workers": workers, "value": round(wait / (wait + step), 4), "unit": "share"}


def machine() -> str:
    """The machine in one line."""
    models = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{models[0]}, {len(models)} cores; Python {platform.python_version()}, {packages}; load before {load}"


def markdown(rows: Sequence[Mapping[str, str | int | float]]) -> str:
    """The table of the documentation: a line a measure, a column a number of workers."""
    columns = sorted({int(row["workers"]) for row in rows})
    lines = ["| | " + " | ".join(f"{workers} workers" for workers in columns) + " |", "|---|" + "---:|" * len(columns)]
    for name in dict.fromkeys(row["measure"] for row in rows):
        cells = {int(row["workers"]): _shown(row) for row in rows if row["measure"] == name}
        lines.append(f"| {name} | " + " | ".join(cells.get(workers, "") for workers in columns) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="Speed of streaming")
    parser.add_argument("--features", required=True, help="folder of feature shards")
    parser.add_argument("--csv", type=Path, required=True, help="file for the results")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the training run that is timed")
    arguments = parser.parse_args()
    print(machine() + "\n")
    rows = loading(arguments.features)
    rows += [waiting(arguments.features, workers, arguments.epochs) for workers in (0, *WORKERS)]
    print("\n" + markdown(rows))
    with arguments.csv.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _bytes_of(paths: Sequence[Path], workers: int) -> DataLoader[int]:
    return DataLoader(TarBytes(paths), batch_size=None, num_workers=workers, persistent_workers=True)


def _shown(row: Mapping[str, str | int | float]) -> str:
    value = float(row["value"])
    return f"{100 * value:.1f} %" if row["unit"] == "share" else f"{value:,.0f}"


if __name__ == "__main__":
    main()

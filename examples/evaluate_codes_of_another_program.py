"""Evaluate binary codes that another program made: from files, and inside a training loop.

    python examples/evaluate_codes_of_another_program.py --out runs/other_codes

The "other program" here is ten lines of NumPy. Replace its two files by yours: NPZ, Parquet, MATLAB or HDF5, a row for
each item. Needs the extra train.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from mcmfh_lightning.cli.bench import main as mcmfh_bench
from mcmfh_lightning.metrics import HammingMeanAveragePrecision
from mcmfh_lightning.metrics.functional import pack_bits, pack_signs

BITS, LABELS = 16, 8


def another_program(folder: Path) -> tuple[Path, Path]:
    """Write codes, labels and groups of queries and database, as a program of your own would."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(LABELS, BITS))  # one direction a label
    files = []
    for name, items in (("queries", 100), ("database", 2000)):
        labels = rng.random((items, LABELS)) < 0.15
        codes = np.sign(labels @ directions + 0.5 * rng.normal(size=(items, BITS)))
        patients = np.array([f"{name[0]}{number // 2}" for number in range(items)])  # two films a patient
        files.append(folder / f"{name}.npz")
        np.savez(files[-1], codes=codes, labels=labels, groups=patients)
    return files[0], files[1]


def from_files(queries: Path, database: Path, out: Path) -> None:
    """Report everything with intervals, chance and the value that a constant ranking has."""
    mcmfh_bench(["rank", "--query", str(queries), "--database", str(database), "--k", "50", "--out", str(out)])


def in_a_loop(queries: Path, database: Path) -> float:
    """Compute one metric with torchmetrics, the database in batches, as a validation step would."""
    query, items = np.load(queries), np.load(database)
    patients = np.unique(np.concatenate([query["groups"], items["groups"]]))

    def tensors(arrays: dict[str, np.ndarray], rows: slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        codes = pack_signs(torch.from_numpy(arrays["codes"][rows]))  # (n, BITS) signs to packed bits
        labels = pack_bits(torch.from_numpy(arrays["labels"][rows]))
        groups = torch.from_numpy(np.searchsorted(patients, arrays["groups"][rows]))
        return codes, labels, groups

    metric = HammingMeanAveragePrecision(num_bits=BITS)
    metric.set_queries(*tensors(query, slice(None)))
    for first in range(0, len(items["codes"]), 256):
        metric.update(*tensors(items, slice(first, first + 256)))
    return float(metric.compute())


def main() -> None:
    """Evaluate the same codes in both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/other_codes"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    queries, database = another_program(out)
    from_files(queries, database, out / "report")
    print(f"the same by torchmetrics: mAP@all {in_a_loop(queries, database):.4f}")


if __name__ == "__main__":
    main()

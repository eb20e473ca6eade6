"""One of two gloo processes, started by test_distributed.py: ``two_processes.py RANK FOLDER``."""

import sys
import warnings
from pathlib import Path

import torch

from mcmfh_lightning.metrics import HammingHistogram, HammingMeanAveragePrecision


def evaluate(metric, shares):
    generator = torch.Generator().manual_seed(0)
    codes, labels = (torch.randint(0, 256, (60, 2), dtype=torch.uint8, generator=generator) for _ in range(2))
    groups = torch.randint(0, 9, (60,), generator=generator)
    metric.set_queries(codes[:7], labels[:7], groups[:7], index=torch.randperm(7, generator=generator))
    for share in shares:
        metric.update(codes[share], labels[share], groups[share])
    return metric.compute()


def results(shares):
    return [*evaluate(HammingHistogram(16), shares), evaluate(HammingMeanAveragePrecision(16, k=10), shares)]


def main(rank, folder):
    warnings.simplefilter("error", UserWarning)
    torch.save(results([slice(0, 60)]), folder / f"alone-{rank}.pt")
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(results([[slice(0, 31), slice(31, 60)], []][rank]), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

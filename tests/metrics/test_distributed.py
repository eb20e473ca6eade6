"""Two gloo processes, one of them with an empty share of the database, equal one process."""

import warnings

import torch
import torch.multiprocessing as mp

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


def process(rank, folder):
    warnings.simplefilter("error", UserWarning)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(results([[slice(0, 31), slice(31, 60)], []][rank]), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_an_empty_process_changes_nothing(tmp_path):
    mp.start_processes(process, (tmp_path,), nprocs=2, start_method="fork")  # torch is imported once
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for ours, theirs in zip(found, results([slice(0, 60)]), strict=True):
            assert torch.equal(ours, theirs)

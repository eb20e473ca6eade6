"""One of several gloo processes, started by test_distributed.py: ``gloo_process.py RANK WORLD_SIZE FOLDER``."""

import sys
import warnings
from pathlib import Path

from mcmfh_lightning.cli.quick_start import quick_imports

with quick_imports(sleepy=False):  # without what torchmetrics has for texts and images
    import torch

    from mcmfh_lightning.metrics import (
        HammingACG,
        HammingHistogram,
        HammingInstanceHistogram,
        HammingInstanceRecall,
        HammingMeanAveragePrecision,
        HammingMedianRank,
        HammingMetricCollection,
        HammingNDCG,
        HammingRecall,
    )

ITEMS = 60
SHARES = {
    1: [[slice(0, 60)]],
    2: [[slice(0, 31), slice(31, 60)], []],  # the second process has nothing
    4: [[slice(5, 6)], [], [slice(6, 50), slice(50, 59)], [slice(59, 60), slice(0, 5)]],
}
"""Uneven parts of the database, by number of processes and rank."""


def collection():
    return HammingMetricCollection(
        {
            "mAP@10": HammingMeanAveragePrecision(16, k=10),
            "R@10": HammingRecall(16, k=10),
            "NDCG@10": HammingNDCG(16, k=10),
            "ACG@10": HammingACG(16, k=10),
        }
    )


def instances():
    return HammingMetricCollection([HammingInstanceRecall(16, k=5), HammingMedianRank(16)])


def results(shares):
    generator = torch.Generator().manual_seed(0)
    codes, labels = (torch.randint(0, 256, (ITEMS, 2), dtype=torch.uint8, generator=generator) for _ in range(2))
    groups, content = (torch.randint(0, 9, (ITEMS,), generator=generator) for _ in range(2))
    order, index = torch.randperm(7, generator=generator), torch.arange(ITEMS)
    found = {}
    for name, metric in {
        "histogram": HammingHistogram(16),
        "mAP": HammingMeanAveragePrecision(16, k=10),
        "NDCG": HammingNDCG(16),
        "collection": collection(),
    }.items():
        metric.set_queries(codes[:7], labels[:7], groups[:7], index=order)
        for share in shares:
            metric.update(codes[share], labels[share], groups[share])
        found[name] = metric.compute()
    for name, metric in {"instance histogram": HammingInstanceHistogram(16), "instances": instances()}.items():
        metric.set_queries(codes[:7], groups[:7], index[:7], content=content[:7])
        for share in shares:
            metric.update(codes[share], groups[share], index[share], content=content[share])
        found[name] = metric.compute()
    return {
        name: value._asdict() if hasattr(value, "_asdict") else value if isinstance(value, dict) else {"value": value}
        for name, value in found.items()
    }


def main(rank, world_size, folder):
    warnings.simplefilter("error", UserWarning)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size)
    torch.save(results(SHARES[world_size][rank]), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))

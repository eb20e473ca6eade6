"""Run by test_stream_matrix.py: rows of all batches at some numbers of ranks and workers, started in one way."""

import json
import multiprocessing
import sys
from pathlib import Path

from mcmfh_lightning.cli.quick_start import quick_imports

with quick_imports(sleepy=False):  # without what torchmetrics has for texts and images
    import torch

    from mcmfh_lightning.datamodules.loader import BatchLoader
    from mcmfh_lightning.datamodules.streams import BatchStream

BATCH = 16


class Chain(BatchStream):
    """Several streams one after the other, so that workers are started once for all of them."""

    def __init__(self, streams):
        self.streams = streams

    def __len__(self):
        return sum(map(len, self.streams))

    def batch(self, number):
        for which, stream in enumerate(self.streams):
            if number < len(stream):
                return {"stream": torch.tensor(which), "rows": stream.batch(number)["index"]}
            number -= len(stream)
        raise IndexError(number)


def streams(folders, rank, world_size):
    from mcmfh_lightning.datamodules import FeatureDataModule

    class OnRank(FeatureDataModule):
        rank = world_size = None

    OnRank.rank, OnRank.world_size = rank, world_size
    for folder in folders:
        for unique_groups in (False, True):
            data = OnRank(folder, BATCH, unique_groups=unique_groups)
            data.setup("fit")
            yield data.train_dataloader().dataset
        yield from (loader.dataset for loader in data.test_dataloader())


def main(method, cases, out, *folders):
    multiprocessing.set_start_method(method)
    if method == "forkserver":
        multiprocessing.set_forkserver_preload(["mcmfh_lightning.datamodules.streams"])
    found = {}
    for world_size, workers in json.loads(cases):
        for rank in range(world_size):
            chain = Chain(list(streams(folders, rank, world_size)))
            rows = [[] for _ in chain.streams]
            for batch in BatchLoader(chain, "chain", num_workers=workers):
                rows[batch["stream"]].append(batch["rows"].tolist())
            found[f"{world_size} {workers} {rank}"] = rows
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Gloo processes with uneven and empty shares of the database equal one process, to the last digit."""

import multiprocessing
import warnings

import pytest
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


def process(rank, world_size, folder):
    warnings.simplefilter("error", UserWarning)
    torch.set_num_threads(1)  # OpenMP, which torch uses, does not survive a fork
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size)
    torch.save(results(SHARES[world_size][rank]), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def results_of(folder, world_size):
    """What each rank computed."""
    folder.mkdir()
    # Forked, they need not import torch again.
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=process, args=(rank, world_size, folder)) for rank in range(world_size)]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    assert [one.exitcode for one in processes] == [0] * world_size
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world_size)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process computes: this one, so that those that are forked find the kernels loaded."""
    folder = tmp_path_factory.mktemp("gloo")
    with warnings.catch_warnings():
        process(0, 1, folder)
    return torch.load(folder / "0.pt", weights_only=True)


@pytest.mark.parametrize("world_size", [2, 4])
def test_uneven_and_empty_processes_change_no_digit(tmp_path, alone, world_size):
    for found in results_of(tmp_path / "run", world_size):
        assert found.keys() == alone.keys()
        for name, values in alone.items():
            assert found[name].keys() == values.keys()
            for key, value in values.items():
                ours = found[name][key]
                assert torch.equal(ours, value) if isinstance(value, torch.Tensor) else ours is value is None, key


def test_the_numbers_are_numbers(alone):
    assert int(alone["histogram"]["database_size"]) == 60
    assert not any(value.isnan() for name in ("collection", "instances") for value in alone[name].values())

"""Two processes that have half a batch each have the gradients of one process that has all of it."""

import torch
import torch.distributed as dist
from torch.multiprocessing import start_processes

from mcmfh_lightning.hashers import DCHMT, DDBH, MCMFH, UCMFH, DScPH, TriPAH, TwoTower
from mcmfh_lightning.losses import gather_rows


def test_one_process_keeps_its_rows():
    rows = torch.randn(3, 2)
    assert gather_rows(rows) is rows


def gradients(model, batch):
    """Those of the second step of a training: a method may remember the first one, of other images."""
    model._batch_number = lambda: 0
    model.objective(batch | {"image": batch["image"].flip(1)})
    model._batch_number = lambda: 1
    model.zero_grad()
    sum(model.objective(batch).terms.values()).backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def compare(rank, model, batch, expected):
    half = {name: value.chunk(2)[rank] for name, value in batch.items()}
    found = gradients(model, half)
    for gradient in found:  # what DistributedDataParallel does
        dist.all_reduce(gradient)
        gradient /= 2
    for (name, _), ours, theirs in zip(model.named_parameters(), found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, msg=name, rtol=1e-9, atol=1e-12)


def check_rank(rank, store, models, batch, expected):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    assert gather_rows(torch.tensor([[rank]])).tolist() == [[0], [1]]
    rows = torch.ones(3, 2, requires_grad=True)
    weights = torch.arange(12.0).reshape(2, 6)
    (gather_rows(rows).T * weights).sum().backward()  # an incoming gradient that is not contiguous
    torch.testing.assert_close(rows.grad, 2 * weights.T[3 * rank : 3 * rank + 3])  # summed over both processes
    for model, of_one_process in zip(models, expected, strict=True):
        compare(rank, model, batch, of_one_process)
    dist.destroy_process_group()


def test_two_processes_have_the_gradients_of_one(tmp_path):
    generator = torch.Generator().manual_seed(0)
    batch = {
        "image": torch.randn(8, 5, generator=generator, dtype=torch.float64),
        "text": torch.randn(8, 4, generator=generator, dtype=torch.float64),
        "labels": torch.tensor([[128], [64], [128], [64], [192], [0], [32], [32]], dtype=torch.uint8),
        "group": torch.tensor([1, 2, 3, 4, 5, 6, 1, 7]),
        "index": torch.arange(8),
    }
    torch.manual_seed(0)
    sizes = {"num_bits": 6, "image_dim": 5, "text_dim": 4, "d_model": 8}
    models = [
        MCMFH(**sizes, num_heads=2).double(),
        MCMFH(**sizes, num_heads=2, fusion="concat", hashing_loss="average_precision").double(),
        TwoTower(**sizes).double(),
        UCMFH(**sizes, views="all").double(),
        DScPH(**sizes, num_labels=3, triplet_weight=1.0).double(),
        DDBH(**sizes).double(),
        DCHMT(**sizes).double(),
        TriPAH(**sizes, num_labels=3).double(),
    ]
    expected = [gradients(model, batch) for model in models]
    given = (tmp_path / "store", models, batch, expected)
    start_processes(check_rank, args=given, nprocs=2, start_method="fork")  # torch is imported once

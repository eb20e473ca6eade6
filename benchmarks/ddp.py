"""Differences between one and several processes in training and evaluation; see docs/guides/cluster.md.

    python benchmarks/ddp.py --features DIR [--ranks 2 4] [--steps 20] [--csv FILE]

Every method takes the same training steps in one process and in several (gloo, CPU):

- in float64, each step from the weights that the single process had before it: the largest difference of any loss term
  and of any gradient, on the same global batches;
- in float32, running free from the same start: the largest difference of any weight after the last step, next to how
  far the weights have moved;
- the test report of equal weights: how many of its numbers differ in any digit.

Prints a table in Markdown and writes a CSV file.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from measurements import QUIET, Row, markdown, options, report
from torch import Tensor
from torch.optim import Optimizer

from mcmfh_lightning.callbacks import HammingRanking
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import CCAITQ, DDBH, MCMFH, UCMFH, DScPH, LabelClassifier, RealValued, TwoTower
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.types import FeatureBatch

D_MODEL = 64  # weights and gradients of every step are kept: a width at which they fit into memory
EPOCHS = 2  # that the steps are spread over: the order of the second is another, and CCA-ITQ learns its rotation in it
GLOBAL_BATCH_SIZE = 64

MEASURED = {
    "terms": "loss terms",
    "gradients": "gradients",
    "largest_gradient": "largest gradient",
    "drift": "float32: weights",
    "moved": "have moved by",
}
"""Columns of the file, and their titles in the table."""


def _small(data: FeatureDataModule) -> dict[str, Any]:
    return {"num_bits": 16, "image_dim": data.image_dim, "text_dim": data.text_dim, "d_model": D_MODEL}


METHODS: Mapping[str, Callable[[FeatureDataModule], LightningModule]] = {
    "MCMFH": lambda data: MCMFH(**_small(data)),
    "MCMFH, concat, top-2, majority": lambda data: MCMFH(**_small(data), fusion="concat", top_k=2, vote="majority"),
    "TwoTower": lambda data: TwoTower(**_small(data)),
    "UCMFH, all views": lambda data: UCMFH(**_small(data), views="all"),
    "DScPH, triplet": lambda data: DScPH(**_small(data), num_labels=data.num_labels, triplet_weight=1.0),
    "DDBH": lambda data: DDBH(**_small(data)),
    "RealValued": lambda data: RealValued(data.image_dim, data.text_dim, d_model=D_MODEL),
    "LabelClassifier": lambda data: LabelClassifier(data.image_dim, data.text_dim, data.num_labels),
    "CCA-ITQ": lambda data: CCAITQ(16, data.image_dim, data.text_dim),
}
"""Every method, with the options that make its loss nonlinear in the batch."""


class Compared(Callback):
    """A callback that compares a run with that of the single process, which writes the reference.

    Args:
        path: File of the reference.
        out: Beginning of the name of the JSON file that each of several processes writes; None in the single process.
    """

    def __init__(self, path: Path, out: Path | None) -> None:
        self.path = path
        self.out = out

    def write(self, trainer: Trainer, values: Mapping[str, float]) -> None:
        """Write what a process of several has found."""
        if self.out is not None:
            self.out.with_name(f"{self.out.name} rank {trainer.global_rank}.json").write_text(json.dumps(values))


class SameSteps(Compared):
    """Takes every step from the weights of the single process, and keeps how far its terms and gradients are apart."""

    def __init__(self, path: Path, out: Path | None) -> None:
        super().__init__(path, out)
        self.steps: list[dict[str, Any]] = [] if out is None else torch.load(path, weights_only=True)
        self.apart = {"terms": 0.0, "gradients": 0.0, "largest_gradient": 0.0}
        self._terms: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch the terms of the loss."""
        objective = pl_module.objective

        def watched(batch: FeatureBatch) -> Any:  # noqa: ANN401  # of the method
            result = objective(batch)
            self._terms = _copy(result.terms)
            return result

        pl_module.objective = watched

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: FeatureBatch, step: int
    ) -> None:
        """Begin with the weights of the single process, on the pairs that it had."""
        ids = pl_module.all_gather(batch["index"]).flatten().tolist()
        if self.out is None:
            self.steps.append({"ids": ids, "weights": _copy(pl_module.state_dict())})
            return
        expected = self.steps[trainer.global_step]
        if ids != expected["ids"]:
            raise RuntimeError(f"step {trainer.global_step} has pairs {ids}, the single process had {expected['ids']}")
        pl_module.load_state_dict(expected["weights"])

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Compare gradients, which are those of the global batch now."""
        weights = pl_module.named_parameters()
        gradients = _copy({name: weight.grad for name, weight in weights if weight.grad is not None})
        if self.out is None:
            self.steps[-1] |= {"terms": self._terms, "gradients": gradients}
            return
        expected = self.steps[trainer.global_step]
        found = {
            "terms": apart(self._terms, expected["terms"]),
            "gradients": apart(gradients, expected["gradients"]),
            "largest_gradient": max(float(gradient.abs().max()) for gradient in gradients.values()),
        }
        self.apart = {name: max(value, found[name]) for name, value in self.apart.items()}

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was kept."""
        if self.out is None:
            torch.save(self.steps, self.path)
        self.write(trainer, self.apart)


class FreeSteps(Compared):
    """Keeps the weights of the first and the last step, or how far others are from them."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights at the start."""
        self.first = _copy(dict(pl_module.named_parameters()))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was kept."""
        last = _copy(pl_module.state_dict())
        if self.out is None:
            torch.save(last, self.path)
        reference = torch.load(self.path, weights_only=True)
        moved = apart(self.first, {name: reference[name] for name in self.first})
        self.write(trainer, {"drift": apart(last, reference), "moved": moved})


def measure_ranks(features: Path, names: Sequence[str], ranks: int, steps: int, work: Path) -> None:
    """Train every method and test the first in one number of processes; a single one writes the reference."""
    for name in names:
        for callback, precision in ((SameSteps, "64-true"), (FreeSteps, "32-true")):
            if name == "CCA-ITQ" and callback is SameSteps:  # no gradients, and float64 in any precision
                continue
            reference = work / f"{callback.__name__} {name}.pt"
            out = None if ranks == 1 else work / f"{callback.__name__} {name} {ranks}"
            train(name, features, ranks, steps, precision, callback(reference, out))
    weights = torch.load(work / f"FreeSteps {names[0]}.pt", weights_only=True)
    test(names[0], weights, features, ranks, work / f"test-{ranks}")


def train(name: str, features: Path, ranks: int, steps: int, precision: str, callback: Callback) -> None:
    """Train some steps."""
    seed_everything(0, verbose=False)
    data = FeatureDataModule(str(features), global_batch_size=GLOBAL_BATCH_SIZE)
    chosen = _plain(ranks) | {"precision": precision, "callbacks": [callback]}
    trainer = Trainer(max_epochs=EPOCHS, limit_train_batches=steps // EPOCHS, limit_val_batches=0, **chosen)
    trainer.fit(METHODS[name](data), data)


def test(name: str, weights: Mapping[str, Tensor], features: Path, ranks: int, folder: Path) -> None:
    """Write the report of these weights."""
    data = FeatureDataModule(str(features), global_batch_size=GLOBAL_BATCH_SIZE)
    module = METHODS[name](data)
    module.load_state_dict(weights)
    ranking = HammingRanking(protocols=("unimodal", "asymmetric", "paired"))
    Trainer(callbacks=[ranking], default_root_dir=folder, **_plain(ranks)).test(module, data, verbose=False)


def measure(features: Path, names: Sequence[str], ranks: Sequence[int], steps: int, work: Path) -> Iterator[Row]:
    """Measure each method with each number of processes."""
    for number in (1, *ranks):
        arguments = ["--features", str(features), "--steps", str(steps), "--work", str(work), "--methods", *names]
        # A process of its own for each number, from which the others are forked before it has threads.
        command = [sys.executable, __file__, *arguments, "--only", str(number)]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})  # noqa: S603  # this file
    for number in ranks:
        reports = ((work / f"test-{count}" / "metrics.json").read_text().splitlines() for count in (1, number))
        differing = sum(one != other for one, other in zip_longest(*reports))
        for name in names:
            found: dict[str, float] = {}
            for callback in ("SameSteps", "FreeSteps"):
                for path in work.glob(f"{callback} {glob.escape(name)} {number} rank *.json"):
                    of_rank = json.loads(path.read_bytes())
                    found |= {key: max(value, found.get(key, 0.0)) for key, value in of_rank.items()}
            row = {"data": DatasetInfo.load(features).name, "method": name, "ranks": number, "steps": steps}
            row |= {column: f"{found[column]:.2g}" if column in found else "" for column in MEASURED}
            yield row | {"report": differing if name == names[0] else ""}


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the table of docs/guides/cluster.md."""
    shown = rows[[*MEASURED]].map(lambda value: "-" if value == "" else f"{float(value):.2g}")
    return {"ddp": markdown(rows[["method", "ranks"]].join(shown).rename(columns={"ranks": "processes", **MEASURED}))}


def _plain(ranks: int) -> dict[str, Any]:
    return QUIET | {"devices": ranks, "strategy": "auto" if ranks == 1 else "ddp_fork"}


def _copy(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in values.items()}


def apart(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> float:
    """Find the largest difference of any entry of tensors that have the same names."""
    if ours.keys() != theirs.keys():
        raise RuntimeError(f"not the same: {sorted(ours.keys() ^ theirs.keys())}")
    return max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in ours if ours[name].numel())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = options(__doc__, "features", "csv", "work")
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4], help="numbers of processes")
    parser.add_argument("--steps", type=int, default=20, help="training steps, an even number")
    parser.add_argument("--methods", nargs="+", default=[*METHODS], choices=[*METHODS], help="the first one is tested")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.only:
        measure_ranks(chosen.features, chosen.methods, chosen.only, chosen.steps, chosen.work)
        return
    with TemporaryDirectory() as folder:
        work = chosen.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        measured = measure(chosen.features, chosen.methods, chosen.ranks, chosen.steps, work)
        rows = report(chosen, measured, tables)
    for row in rows[rows["report"] != ""].itertuples():
        print(f"{row.ranks} processes: {row.report} lines of the test report of {row.method} differ")


if __name__ == "__main__":
    main()

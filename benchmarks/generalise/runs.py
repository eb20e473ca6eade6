"""Trained systems: folders that ``mcmfh fit`` wrote, their tests on any data, and their codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from mcmfh_command import mcmfh
from torch import Tensor

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.nulls import derangement
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.metrics import CosineHistogram, HammingHistogram, RankingCounts
from mcmfh_lightning.metrics.functional import pack_signs

SEED = 0
"""Of everything drawn here, as in `HammingRanking`."""


@dataclass(frozen=True)
class Data:
    """Feature shards under the name that the report gives them."""

    name: str
    root: Path

    @cached_property
    def module(self) -> FeatureDataModule:
        """Their datamodule, with no trainer attached."""
        return FeatureDataModule(str(self.root))

    def ids(self, *splits: str) -> set[str]:
        """Ids of the items of some splits."""
        return {name for split in splits for name in self.module.reader(split).ids}


@dataclass(frozen=True)
class Run:
    """A system that was trained."""

    system: str
    folder: Path
    """What ``mcmfh fit`` wrote: ``fit/config.yaml`` and ``fit/checkpoints/best.ckpt``."""

    @property
    def config_file(self) -> Path:
        """The configuration of the fit."""
        return self.folder / "fit" / "config.yaml"

    @property
    def checkpoint(self) -> Path:
        """The epoch that ranked validation queries best."""
        return self.folder / "fit" / "checkpoints" / "best.ckpt"

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Content of the configuration.

        Raises:
            DataError: If the folder is not one of a finished fit.
        """
        if not self.config_file.is_file() or not self.checkpoint.is_file():
            raise DataError(
                f"{self.folder}: no fit/config.yaml with fit/checkpoints/best.ckpt; name a --run_dir of fit"
            )
        content: Mapping[str, Any] = yaml.safe_load(self.config_file.read_text())
        return content

    @property
    def seed(self) -> int:
        """Seed of the fit."""
        return int(self.config["seed_everything"])

    def trained_on(self, known: Sequence[Data]) -> Data:
        """Which of the data the fit was made on.

        Raises:
            DataError: If it is none of them.
        """
        root = Path(self.config["data"]["init_args"]["root"]).resolve()
        for data in known:
            if data.root.resolve() == root:
                return data
        raise DataError(f"{self.folder} was trained on {root}: pass it as --features NAME={root}")

    def tested_on(self, data: Data, work: Path) -> Path:
        """Run ``mcmfh test`` on data, once; returns the folder of its report."""
        run_dir = work / "-".join([self.folder.resolve().as_posix().strip("/").replace("/", "_"), data.name])
        if not (run_dir / "test" / "ranking.csv").exists():
            flags = ["--config", str(self.config_file), "--ckpt_path", str(self.checkpoint), "--run_dir", str(run_dir)]
            mcmfh("test", *flags, "--data.root", str(data.root))
        return run_dir / "test"

    def hasher(self) -> Hasher:
        """The trained model, on the CPU."""
        return load_hasher(self.checkpoint).hasher


class Items(NamedTuple):
    """What one side of a ranking is: codes with the labels and groups they have."""

    codes: Tensor
    """(N, num_bits) relaxed codes, or embeddings of a method that ranks by cosine."""
    labels: Tensor
    """(N, W) uint8, packed."""
    groups: Tensor
    """(N,) int64."""

    def where(self, rows: Tensor) -> "Items":
        """The items at some rows: positions, or a mask."""
        return Items(*(column[rows] for column in self))

    def shuffled(self) -> "Items":
        """The same items, each with another one's code: the null ``shuffled queries`` of `HammingRanking`."""
        return self._replace(codes=self.codes[derangement(len(self.codes), SEED)])


class Encoded(NamedTuple):
    """The test split with the codes of a hasher."""

    codes: dict[str, Tensor]
    """By the names of `EvaluationOutput`."""
    labels: Tensor
    groups: Tensor
    present: Tensor
    """(N, 2) bool."""

    def items(self, codes: Tensor) -> Items:
        """All items under some codes."""
        return Items(codes, self.labels, self.groups)


def encode_test_split(hasher: Hasher, data: Data) -> Encoded:
    """All items of the test split, in the batches and the order of evaluation."""
    module = data.module
    loader = module.test_dataloader()[module.evaluation_loaders("test").index("unseen")]
    batches = list(loader)
    with torch.inference_mode():
        outputs = [hasher.evaluate(batch) for batch in batches]
    codes = {name: torch.cat([output[name] for output in outputs]) for name in ("image", "text", "case")}
    labels, groups, present = (torch.cat([batch[name] for batch in batches]) for name in ("labels", "group", "present"))
    return Encoded(codes, labels, groups, present)


def ranked(hasher: Hasher, queries: Items, database: Items) -> RankingCounts:
    """Counts of the ranking by what the method ranks by."""
    if hasher.distance == "cosine":
        cosine = CosineHistogram()
        cosine.set_embedded_queries(*queries)
        cosine.update_embedded(*database)
        return cosine.compute()
    hamming = HammingHistogram(queries.codes.shape[1])
    hamming.set_queries(pack_signs(queries.codes), queries.labels, queries.groups)
    hamming.update(pack_signs(database.codes), database.labels, database.groups)
    return hamming.compute()


def carried(labels: Tensor, label: int) -> Tensor:
    """(N,) bool: which of packed label sets hold a label."""
    return torch.from_numpy(np.unpackbits(labels.numpy(), axis=1)[:, label].astype(bool))

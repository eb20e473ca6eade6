"""Trained systems: folders that ``mcmfh fit`` wrote, their tests on any data, and their codes."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor

from mcmfh_lightning.cli.train import main
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.nulls import derangement
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.metrics import CosineHistogram, HammingHistogram, RankingCounts
from mcmfh_lightning.metrics.functional import pack_signs
from mcmfh_lightning.searches import SEARCHES, SearchName

SEED = 0  # seed of everything drawn here, as in `HammingRanking`


def mcmfh(subcommand: str, *arguments: str) -> None:
    """Run ``mcmfh`` in this process, on one device: on several, each would start this script again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter")  # the script has flags of its own
        main([subcommand, *arguments, "--trainer.devices", "1", "--trainer.enable_progress_bar", "false"])


@dataclass(frozen=True)
class Data:
    """Feature shards under the name that the report gives them."""

    name: str
    root: Path

    @cached_property
    def module(self) -> FeatureDataModule:
        """Their data module, without a trainer."""
        return FeatureDataModule(str(self.root))

    def ids(self, *splits: str) -> set[str]:
        """Read the ids of the items of some splits."""
        return {name for split in splits for name in self.module.reader(split).ids}

    def abnormal(self, labels: Tensor) -> Tensor:
        """Find the packed label sets without the normal label; all of them if the data have no such label."""
        normal_label = self.module.normal_label
        if normal_label is None:
            return torch.ones(len(labels), dtype=torch.bool)
        position = self.module.label_vocabulary.index(normal_label)
        return torch.from_numpy(np.unpackbits(labels.numpy(), axis=1)[:, position] == 0)


@dataclass(frozen=True)
class Run:
    """A system that was trained: ``fit/config.yaml`` and ``fit/checkpoints/best.ckpt`` of a ``--run-dir``."""

    system: str
    folder: Path

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
        file = self.folder / "fit" / "config.yaml"
        if not file.is_file() or not self.checkpoint.is_file():
            raise DataError(
                f"{self.folder}: no fit/config.yaml with fit/checkpoints/best.ckpt; name a --run-dir of fit"
            )
        return yaml.safe_load(file.read_text())

    def trained_on(self, known: Sequence[Data]) -> Data:
        """Find the data of the fit among known ones.

        Raises:
            DataError: If they are not among them.
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
            flags = ["--config", str(self.folder / "fit" / "config.yaml"), "--ckpt_path", str(self.checkpoint)]
            mcmfh("test", *flags, "--run_dir", str(run_dir), "--data.root", str(data.root))
        return run_dir / "test"

    def hasher(self) -> Hasher:
        """Load the trained model on the CPU."""
        return load_hasher(self.checkpoint).hasher


class Items(NamedTuple):
    """One side of a ranking.

    Attributes:
        codes: (N, num_bits) relaxed codes, or embeddings of a method that ranks by cosine.
        labels: (N, W) uint8, packed.
        groups: (N,) int64.
    """

    codes: Tensor
    labels: Tensor
    groups: Tensor

    def shuffled(self) -> "Items":
        """Give each item the code of another one: the null ``shuffled queries`` of `HammingRanking`."""
        return self._replace(codes=self.codes[derangement(len(self.codes), SEED)])


class Encoded(NamedTuple):
    """Some splits with the codes of a hasher.

    Attributes:
        codes: Codes of items, (N, num_bits) by ``image``, ``text`` and ``case``.
        queries: Codes of queries, (N, num_bits) by search.
        labels: (N, W) uint8, packed.
        groups: (N,) int64.
        present: (N, 2) bool: image, text.
    """

    codes: Mapping[str, Tensor]
    queries: Mapping[SearchName, Tensor]
    labels: Tensor
    groups: Tensor
    present: Tensor

    @property
    def complete(self) -> Tensor:
        """(N,) bool: items with both modalities."""
        return self.present.all(1)

    def items(self, codes: Tensor, rows: Tensor) -> Items:
        """Select the items of some rows (a mask) under codes of all items."""
        return Items(codes[rows], self.labels[rows], self.groups[rows])


def encode(hasher: Hasher, data: Data, database: str = "unseen") -> Encoded:
    """Encode a database of the test (``unseen`` is the test split) in the batches and the order of evaluation."""
    loader = data.module.test_dataloader()[data.module.evaluation_loaders("test").index(database)]
    batches = list(loader)
    with torch.inference_mode():
        outputs = [hasher.evaluate(batch) for batch in batches]
    codes = {name: torch.cat([output[name] for output in outputs]) for name in ("image", "text", "case")}
    queries = {
        search: torch.cat([output["queries"][search] for output in outputs])
        if "queries" in outputs[0]
        else codes[SEARCHES[search].query]
        for search in SEARCHES
    }
    return Encoded(
        codes, queries, *(torch.cat([batch[name] for batch in batches]) for name in ("labels", "group", "present"))
    )


def ranked(hasher: Hasher, queries: Items, database: Items) -> RankingCounts:
    """Count the ranking of a database for queries, by what the method ranks by."""
    if hasher.distance == "cosine":
        cosine = CosineHistogram()
        cosine.set_embedded_queries(*queries)
        cosine.update_embedded(*database)
        return cosine.compute()
    hamming = HammingHistogram(queries.codes.shape[1])
    hamming.set_queries(pack_signs(queries.codes), queries.labels, queries.groups)
    hamming.update(pack_signs(database.codes), database.labels, database.groups)
    return hamming.compute()

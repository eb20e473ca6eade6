import csv
import gc
import importlib
import io
import logging
import os
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from matplotlib.figure import Figure
from PIL import Image

from mcmfh_lightning.callbacks import HammingRanking
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.errors import QUIET
from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.shards import (
    DatasetInfo,
    FeatureShardWriter,
    Pair,
    PairShardWriter,
    merge_feature_parts,
)

# A forked process hangs in a pool of OpenMP threads that it did not inherit; tests that fork need no pool to exist.
torch.set_num_threads(1)

REPOSITORY = Path(__file__).parents[1]
LABELS = ("normal", "Cardiomegaly", "Effusion", "Nodule", "Opacity", "Scoliosis", "Catheter", "Emphysema")
IMAGE_DIM, TEXT_DIM = 24, 16
_SAVE = Figure.savefig

BenchmarkFile = Callable[[str], ModuleType]
MakeFeatures = Callable[..., Path]
ChanceLeads = Callable[..., np.ndarray]
CHANCE_SEEDS = range(10)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `.ci/run` runs the lowest versions with."""
    parser.addoption("--first-case", action="store_true", help="run each parametrized test with its first case alone")


@pytest.hookimpl(trylast=True)  # after `-m "not slow"`, which may leave out the first one
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the later cases of each test, if asked to."""
    if config.getoption("first_case"):
        first = {item.nodeid.partition("[")[0]: item for item in reversed(items)}
        later = set(items) - set(first.values())
        config.hook.pytest_deselected(items=list(later))
        items[:] = [item for item in items if item not in later]


def pytest_configure(config: pytest.Config) -> None:
    """Hide the warnings that the commands hide; each has its reason there. Nothing that is imported is garbage.

    Processes that tests start have one thread, as the tests have: those of two workers would wait for each other.
    """
    gc.disable()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for message, category in QUIET:
        config.addinivalue_line("filterwarnings", f"ignore:{message}:{category.__name__}")


def pytest_collection_finish() -> None:
    """Look for garbage from here on, but no longer at torch and all tests, which stay to the end."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Let all be freed at the end, or triton prints what is left."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _blank_figures() -> Iterator[None]:
    """Write PNG figures as blank pictures of their size: drawing takes longer than the rest of a small test run."""

    def save(figure: Figure, path: Path, **how: Any) -> None:
        if path.suffix == ".png":
            figure = Figure(figure.get_size_inches(), figure.dpi)
            how["pil_kwargs"] = {"compress_level": 1}  # half of the rest
        _SAVE(figure, path, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        yield


@pytest.fixture(scope="module")
def drawn_figures() -> Iterator[None]:
    """Draw figures as users see them: for files of tests that look at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", _SAVE)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real collections next to a developer's checkout; they are never copied into it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real collections (../shared/data) are not next to this checkout")
    return folder


@pytest.fixture
def earlier_versions(tmp_path: Path) -> Path:
    """What commit 7ca89f9 wrote: ``pairs``, ``features`` (format version 2), ``archive`` (1) and its ``hasher.ckpt``.

    Twelve films, "film 00" to "film 11", two of each of the groups P-1009, P-1010, 7, "O'Hara, Zoë", P-1013 and -3; the
    first eight are train, then two val and two test. Features have 4 and 3 dimensions, of the encoder "planted".
    """
    with tarfile.open(REPOSITORY / "tests" / "data" / "earlier_versions.tgz") as tar:
        tar.extractall(tmp_path / "earlier", filter="data")
    return tmp_path / "earlier"


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def quick_config(repository: Path) -> Path:
    """A config that takes the evaluation of an experiment to one protocol, without figures while it trains."""
    return repository / "tests" / "data" / "quick.yaml"


@pytest.fixture(scope="session")
def benchmark_file() -> Iterator[BenchmarkFile]:
    """Import a file of ``benchmarks/``, which is not part of the package, as running it would."""
    folder = str(REPOSITORY / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)


def _write_features(
    folder: Path,
    *,
    encoder: str = "planted",
    train: int = 512,
    evaluated: int = 160,
    vocabulary: Sequence[str] = LABELS,
) -> Path:
    """Feature shards whose image and text embeddings are noisy sums of one direction per label."""
    rng = np.random.default_rng(7)
    image_directions = rng.normal(size=(len(vocabulary), IMAGE_DIM))
    text_directions = rng.normal(size=(len(vocabulary), TEXT_DIM))
    writer = FeatureShardWriter(folder, rank=0)
    ids: dict[str, list[str]] = {}
    first = 0
    for split, pairs in (("train", train), ("val", evaluated), ("test", evaluated)):
        labels = np.zeros((pairs, len(vocabulary)), dtype=bool)
        labels[np.arange(pairs), rng.integers(len(vocabulary), size=pairs)] = True
        abnormal = ~labels[:, 0]
        labels[abnormal, 1:] |= rng.random((abnormal.sum(), len(vocabulary) - 1)) < 0.08
        image = labels @ image_directions + 0.8 * rng.normal(size=(pairs, IMAGE_DIM))
        text = labels @ text_directions + 0.8 * rng.normal(size=(pairs, TEXT_DIM))
        ids[split] = [f"{split}{i:04d}" for i in range(pairs)]
        groups = first + np.arange(pairs) // 2  # two pairs a study
        hashes = first + np.arange(pairs)
        writer.write(split, ids[split], image, text, np.packbits(labels, axis=1), groups, hashes)
        first += pairs
    writer.close()
    info = DatasetInfo(
        format="mcmfh-features",
        name="planted",
        source="tests/conftest.py",
        licence="CC0",
        settings={},
        label_vocabulary=tuple(vocabulary),
        normal_label="normal" if "normal" in vocabulary else None,
        splits={},
        encoder={"name": encoder},
        image_dim=IMAGE_DIM,
        text_dim=TEXT_DIM,
    )
    merge_feature_parts(folder, info, 1, expected_ids=ids)
    return folder


@pytest.fixture
def lightning_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What Lightning logs on the first process."""
    # On the logger itself: whether Lightning's loggers hand records on to the root differs by version.
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    caplog.set_level(logging.INFO, logger=logger.name)
    return caplog


@pytest.fixture(scope="session")
def make_features() -> MakeFeatures:
    """Write planted feature shards into a folder; see ``_write_features``."""
    return _write_features


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of planted feature shards: 512, 160 and 160 pairs, 8 labels."""
    return _write_features(tmp_path_factory.mktemp("planted") / "features")


@pytest.fixture(scope="session")
def shuffle_images(benchmark_file: BenchmarkFile) -> Callable[[Path, Path, int], Path]:
    """Copies feature shards, images moved to other pairs by a seed, so that they say nothing about texts and labels."""
    shuffle: Callable[[Path, Path, int], Path] = benchmark_file("leak").shuffle_images
    return shuffle


@pytest.fixture
def chance_leads(tmp_path: Path) -> ChanceLeads:
    """The lead of MCMFH trained on pairs over its own codes with shuffled queries: (seeds, 2), I->T and T->I.

    Takes the features of each seed, the number of epochs and the seeds. mAP@all, unimodal, unseen, all queries.
    """

    def lead(features: Path, epochs: int, seed: int) -> list[float]:
        seed_everything(seed, verbose=False)
        folder = tmp_path / f"seed_{seed}"
        data = FeatureDataModule(str(features), global_batch_size=128, seed=seed)
        model = MCMFH(16, data.image_dim, data.text_dim, d_model=64, supervision="pairs", seed=seed)
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            limit_val_batches=0,
            default_root_dir=folder,
            logger=False,
            callbacks=[HammingRanking(protocols=("unimodal",), seed=seed)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        if epochs:
            trainer.fit(model, datamodule=data)
        trainer.test(model, datamodule=data, verbose=False)
        with (folder / "ranking.csv").open() as file:
            values = {
                (row["direction"], row["system"]): float(row["value"])
                for row in csv.DictReader(file)
                if (row["database"], row["queries"], row["metric"]) == ("unseen", "all", "mAP@all")
            }
        return [values[direction, "model"] - values[direction, "shuffled queries"] for direction in ("i2t", "t2i")]

    return lambda features_of, epochs, seeds=CHANCE_SEEDS: np.array(
        [lead(features_of(seed), epochs, seed) for seed in seeds]
    )


@pytest.fixture(scope="session")
def at_chance() -> Callable[[np.ndarray], bool]:
    """Whether 0 is in the 95 % interval of the mean lead over seeds, in both directions.

    Codes that gather items of a label in few buckets score above the all-tied chance level even where images say
    nothing about texts (AP is convex in the luck of which bucket comes first), so the lead over the model's own
    shuffled queries is what has to vanish.
    """
    # Student's t by the number of seeds: 95 % over two directions (Bonferroni).
    quantiles = {3: 6.205, 10: 2.685, 40: 2.331}

    def decide(leads: np.ndarray) -> bool:
        error = leads.std(0, ddof=1) / np.sqrt(len(leads))
        return bool((np.abs(leads.mean(0)) <= quantiles[len(leads)] * error).all())

    return decide


# Small shards, whose content can be calculated.

PAIR_LABELS = ("normal", "opacity", "effusion")


def _picture(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (8, 8), color=number % 256).save(stream, format="PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def make_pair() -> Callable[..., Pair]:
    """Make pair number i: a plain gray picture of value i, a text that names i; ``lacks`` leaves one of them out."""

    def make(number: int, prefix: str = "pair", lacks: Literal["image", "text"] | None = None) -> Pair:
        return Pair(
            id=f"{prefix}-{number}",
            image=None if lacks == "image" else _picture(number),
            image_format=None if lacks == "image" else "png",
            text=None if lacks == "text" else f"Finding {number}: naïve\ttext.",
            labels=(PAIR_LABELS[number % 3],),
            group=number // 2,
            group_name=f"study {number // 2}",
            date=None if number % 2 else "2012-03-16",
            source="https://example.org",
            licence="CC0-1.0",
        )

    return make


@pytest.fixture(scope="session")
def pair_writer() -> Callable[..., PairShardWriter]:
    """Make a writer with every argument given; keywords replace some."""

    def make(folder: Path, **changes: object) -> PairShardWriter:
        arguments = {
            "name": "tiny",
            "source": "https://example.org",
            "licence": "CC0-1.0",
            "settings": {"seed": 0, "sizes": (8, 8)},
            "label_vocabulary": PAIR_LABELS,
            "normal_label": "normal",
            "pairs_per_shard": 4,
        }
        return PairShardWriter(folder, **(arguments | changes))

    return make


@pytest.fixture(scope="session")
def feature_info() -> DatasetInfo:
    """An entry of a feature folder, without splits: 11 labels, so that labels take two bytes."""
    return DatasetInfo(
        format="mcmfh-features",
        name="tiny",
        source="https://example.org",
        licence="CC0-1.0",
        settings={},
        label_vocabulary=tuple(f"label{i}" for i in range(11)),
        normal_label=None,
        splits={},
        encoder={"kind": "counting"},
        image_dim=3,
        text_dim=2,
    )


@pytest.fixture(scope="session")
def feature_rows() -> Callable[..., dict[str, object]]:
    """Make arguments of ``FeatureShardWriter.write`` for rows that differ: image (i, -i, 0.5), text (2i, 1)."""

    def make(split: str, begin: int, end: int) -> dict[str, object]:
        numbers = np.arange(begin, end)
        # Half precision counts to 2048; beyond that image[:, 2] carries the thousands.
        low, high = numbers % 1000, numbers // 1000
        studies = numbers // 2 + 100_000 * ["train", "val", "test"].index(split)  # no study is in two splits
        return {
            "ids": [f"{split}-{i}" for i in numbers],
            "image": np.stack([low, -low, high], axis=1).astype(np.float32),
            "text": np.stack([low, high], axis=1).astype(np.float32),
            "labels": np.packbits(numbers[:, None] % 11 == np.arange(11), axis=1),
            "groups": studies,
            "group_names": [f"study {study}" for study in studies],
            "text_hashes": -numbers,
        }

    return make


@pytest.fixture(scope="session")
def write_features(feature_info: DatasetInfo, feature_rows: Callable[..., dict[str, object]]) -> Callable[..., Path]:
    """Write a folder of features: how many pairs each split has, and how many ranks write them."""

    def write(folder: Path, sizes: Mapping[str, int], ranks: int = 1, block_pairs: int = 1024) -> Path:
        for rank in range(ranks):
            writer = FeatureShardWriter(folder, rank=rank, block_pairs=block_pairs)
            for split, size in sizes.items():
                begin, end = size * rank // ranks, size * (rank + 1) // ranks
                for at in range(begin, end, 700):
                    writer.write(split, **feature_rows(split, at, min(at + 700, end)))
            writer.close()
        ids = {split: [f"{split}-{i}" for i in range(size)] for split, size in sizes.items()}
        merge_feature_parts(folder, feature_info, ranks, expected_ids=ids)
        return folder

    return write

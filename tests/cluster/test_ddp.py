"""Several processes train and test as one: docs/guides/cluster.md and its benchmark."""

import json
from math import isfinite
from pathlib import Path
from types import ModuleType

import pytest

from mcmfh_lightning.datamodules.streams import shard_rows


@pytest.fixture(scope="session")
def ddp(benchmark_file) -> ModuleType:
    return benchmark_file("ddp")


@pytest.mark.slow
def test_every_method_takes_the_steps_of_one_process(ddp: ModuleType, make_features, tmp_path: Path) -> None:
    # Three test pairs over four processes, and 1,303 of train and val: empty and uneven shares of the databases.
    features = make_features(tmp_path / "features", train=1300, evaluated=3)
    assert [len(shard_rows(3, rank, 4)) for rank in range(4)] == [0, 1, 1, 1]
    work = tmp_path / "work"
    work.mkdir()
    rows = list(ddp.measure(features, list(ddp.METHODS), [2, 4], 20, work))
    assert len(rows) == 2 * len(ddp.METHODS)
    for row in rows:
        if row["method"] != "CCA-ITQ":
            assert float(row["largest_gradient"]) > 1e-3, row
            assert float(row["terms"]) < 1e-8, row
            assert float(row["gradients"]) < 1e-8, row
        assert float(row["drift"]) < 0.1 * max(float(row["moved"]), 1e-6), row
        assert row["report"] in {0, ""}, row
    report = json.loads((work / "test-4" / "metrics.json").read_text())
    value = report["results"]["unimodal"]["train+val"]["all"]["i2t"]["model"]["mAP@all"]["value"]
    assert isfinite(value)


def test_another_loss_or_gradient_is_noticed(ddp: ModuleType) -> None:
    one, other = {"a": ddp.torch.tensor([1.0, 2.0])}, {"a": ddp.torch.tensor([1.0, 2.5])}
    assert ddp.apart(one, other) == 0.5
    with pytest.raises(RuntimeError, match="not the same"):
        ddp.apart(one, {"b": one["a"]})


def test_the_page_claims_no_more_than_the_committed_numbers(benchmark_file, ddp: ModuleType, repository: Path) -> None:
    rows = benchmark_file("measurements").read(repository / "docs" / "results" / "ddp.csv")
    pairs = {*rows[["method", "ranks"]].itertuples(index=False, name=None)}
    assert pairs == {(method, ranks) for method in ddp.METHODS for ranks in (2, 4)}
    for row in rows.to_dict("records"):
        assert all(float(row[name] or 0) < 1e-8 for name in ("terms", "gradients"))
        assert row["report"] in {"0", ""}
        if not row["method"].startswith(("MCMFH", "DDBH")):
            assert float(row["drift"]) < 2e-5

"""benchmarks/export_int8.py: P@20 of abnormal queries among other groups, and it runs on drawn films."""

from argparse import Namespace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from ..archive.phantom_archive import write_pairs
from ..encoders.conftest import image_weights, random_towers, text_tower  # noqa: F401  # fixtures
from ..export.tiny import build, checkpoint_of, two_towers, write_spec


@pytest.fixture(scope="module")
def export_int8(benchmark_file) -> ModuleType:
    return benchmark_file("export_int8")


def test_precision_is_that_of_abnormal_queries_among_other_groups(export_int8: ModuleType) -> None:
    """Two pairs of a group, 21 without the label of the first, then two that share it: one near, one far."""
    items = np.zeros((25, 4), dtype=np.bool_)
    items[2:23, 0] = items[24, 0] = True
    groups = np.array([0, 0, *range(1, 24)])
    searched = groups[:, None] != groups
    relevant = np.zeros_like(searched)
    relevant[0, [23, 24]] = True
    judged = export_int8.Judged(searched, relevant, relevant.any(axis=1), groups)
    # The near one comes first; the far one ties with 21 others for the next 19 places. There are two to be found.
    found = export_int8.precisions(items, items, judged)
    np.testing.assert_allclose(found, [(1 + 19 / 22) / 2])


def test_it_runs(
    export_int8: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    image_weights: Path,  # noqa: F811  # the fixture
    text_tower: Path,  # noqa: F811  # the fixture
) -> None:
    monkeypatch.setattr(export_int8, "FILMS", 10)
    pairs = write_pairs(tmp_path / "phantom", 24)
    spec = two_towers(image_weights, text_tower)
    checkpoint = checkpoint_of(tmp_path / "hasher.ckpt", build(spec))
    encoder = write_spec(tmp_path / "encoder.yaml", spec)
    given = Namespace(pairs=pairs, checkpoint=[checkpoint], encoder=encoder, split="train", items=None)
    rows = pd.DataFrame(export_int8.measure(given))
    codes, towers = (rows[rows["part"] == part] for part in ("codes", "towers"))
    assert set(codes["search"]) == {"i2t", "t2i", "i2i", "t2t", "i2case", "t2case"}
    assert codes["bits"].eq(codes["queries"] * 11).all()
    of_films = codes["tower"] == "image"
    assert codes.loc[of_films, "queries"].eq(10).all()
    assert codes.loc[~of_films, "queries"].gt(10).all()
    assert (codes["flips"] < codes["bits"] / 3).all()
    assert codes[["p@20", "p@20_int8"]].stack().between(0.01, 1).all()
    np.testing.assert_allclose(codes["p@20_int8"] - codes["p@20"], codes["difference"], atol=2e-6)
    sizes = towers.pivot_table(index="tower", columns="system", values=["cosine", "megabytes"])
    assert sizes["cosine"].stack().between(0.9, 1.0001).all()
    megabytes = sizes["megabytes"]  # rounded to a tenth: the small text tower has one in all
    assert megabytes.loc["image", "int8"] < megabytes.loc["image", "float32"]
    assert megabytes["int8"].le(megabytes["float32"]).all()
    assert all(table.count("\n") > 2 for table in export_int8.tables(rows).values())

"""benchmarks/search.py: its systems find the same, and its claims are those of the committed file."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import RealValued, TwoTower
from mcmfh_lightning.hashers.base import Hasher


@pytest.fixture(scope="module")
def bench(benchmark_file) -> SimpleNamespace:
    names = {"search": "search", "tables": "search_tables", "engines": "search_engines", "measurements": "measurements"}
    return SimpleNamespace(**{name: benchmark_file(file) for name, file in names.items()})


@pytest.fixture(scope="module")
def committed(repository: Path, bench: SimpleNamespace) -> pd.DataFrame:
    return bench.measurements.read(repository / "docs" / "results" / "search.csv")


@pytest.fixture(scope="module")
def checkpoints(features: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A real-valued method of 8 numbers and hashers of 16 and 64 bits, hardly trained."""
    data = FeatureDataModule(str(features))
    models: list[Hasher] = [RealValued(data.image_dim, data.text_dim, d_model=8)]
    models += [TwoTower(bits, data.image_dim, data.text_dim, d_model=16) for bits in (16, 64)]
    paths = []
    for model in models:
        trainer = Trainer(
            accelerator="cpu", max_epochs=1, limit_train_batches=1, limit_val_batches=0, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(model, datamodule=data)
        paths.append(tmp_path_factory.mktemp("fit") / "best.ckpt")
        trainer.save_checkpoint(paths[-1])
    return paths


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_figure_is_that_of_the_committed_file(repository: Path, bench, committed, tmp_path: Path) -> None:
    bench.tables.plot(tmp_path / "search.svg", committed)
    drawn = (repository / "docs" / "images" / "search.svg").read_text()
    assert "HashIndex" in drawn
    assert "one thread" in drawn


def test_search_is_as_fast_and_as_small_as_was_asked_for(bench, committed) -> None:
    """One query at a time, which is how an archive is searched; a batch is where embeddings catch up."""
    names, values = bench.tables, bench.tables.by_key(committed)
    for system in (names.FLAT, names.HASH):
        assert values[system, names.DRAWN, 1_000_000, 16, 1, names.RATIOS[names.ONE]] >= 50
        assert values[system, names.DRAWN, 1_000_000, 16, 1, names.RATIOS[names.BATCH]] >= 5
    sizes = {(system, width): values[system, names.DRAWN, 1_000_000, width, 0, names.BYTES] for system, width in (
        (names.REAL, 512), (names.FLAT, 16), (names.FLAT, 64)
    )}  # fmt: skip
    assert sizes[names.FLAT, 16] * 1024 == sizes[names.REAL, 512]
    assert sizes[names.FLAT, 16] * 4 == sizes[names.FLAT, 64]


def test_what_the_rule_of_the_archive_rests_on(bench, committed) -> None:
    """A scan takes less than encoding does up to a million items; from there a table wins at 16 bits."""
    names, values = bench.tables, bench.tables.by_key(committed)
    encoding = values[names.ENCODING, "", 0, 16, 1, names.ONE]
    for items in names.sizes(committed):
        for width in (16, 32, 64, 128):
            assert values[names.FLAT, names.DRAWN, items, width, 1, names.ONE] < encoding
    for data in (names.DRAWN, names.UNIFORM):
        flat, table = (values[system, data, 1_000_000, 16, 1, names.ONE] for system in (names.FLAT, names.HASH))
        assert table < flat


# --- the parts -----------------------------------------------------------------------------------------------------


def test_a_claim_is_confirmed_only_by_its_number(bench, committed) -> None:
    """The same file with codes as slow as the embeddings refutes what it confirmed."""
    slow = committed.copy()
    ratios = slow["metric"].isin(bench.tables.RATIOS.values()) & (slow["width"] == 16)
    slow.loc[ratios, "value"] = 1.0
    assert "refuted" not in bench.tables.claims(committed).splitlines()[2]
    assert "1.00 x | refuted" in bench.tables.claims(slow).splitlines()[2]
    assert "missed" in bench.tables.claims(slow)


def test_the_hash_index_of_several_tables_is_exact_here(bench, tmp_path: Path) -> None:
    """A rival that finds less would be faster than it is."""
    num_bits = bench.search.SEVERAL_TABLES
    rng = np.random.default_rng(0)
    codes = np.packbits(rng.random((3000, num_bits)) < 0.1, axis=1)
    np.save(tmp_path / "codes.npy", codes)
    engine = bench.engines.faiss_multi_hash(tmp_path / "codes.npy", num_bits, codes[:20])
    for number in range(20):
        distances, rows = engine.one(number)
        all_distances = (np.unpackbits(codes, axis=1) != np.unpackbits(codes[number])).sum(1)
        order = np.lexsort((np.arange(len(codes)), all_distances))[: bench.engines.K]
        np.testing.assert_array_equal(rows, order)
        np.testing.assert_array_equal(distances, all_distances[order])


def test_drawn_items_are_the_same_for_every_source_and_of_length_1_where_embedded(bench) -> None:
    rng = np.random.default_rng(1)
    relaxed, embedded = rng.normal(size=(2, 30, 4)).astype(np.float32)
    hashed = bench.search.Source(4, relaxed, relaxed, {})
    real = bench.search.Source(None, embedded, embedded, {})
    drawn = np.concatenate(list(hashed.draw(500, 0)))
    np.testing.assert_array_equal(drawn, np.concatenate(list(hashed.draw(500, 0))))
    norms = np.linalg.norm(np.concatenate(list(real.draw(500, 0))), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    # Each is between two of the collection, nearer to the first: the same pairs in both sources.
    first, second = np.random.default_rng(0).integers(30, size=(2, 500))
    to_first, to_second = (np.linalg.norm(drawn - relaxed[ends], axis=1) for ends in (first, second))
    between = np.linalg.norm(relaxed[first] - relaxed[second], axis=1)
    np.testing.assert_allclose(to_first + to_second, between, rtol=1e-4, atol=1e-4)
    assert np.all(to_first <= to_second + 1e-6)


def test_it_runs(
    bench, features: Path, checkpoints: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Once, on few items: every system has its times, every length its mAP."""
    page = tmp_path / "page.md"
    page.write_text("\n".join(f"<!-- search: {part} -->\n<!-- end -->" for part in bench.tables.PARTS))
    threads = torch.get_num_threads()
    arguments = [
        "search.py", "--features", str(features), "--real-valued", str(checkpoints[0]), "--checkpoints",
        *map(str, checkpoints[1:]), "--items", "2000", "3000", "--threads", "1", "--turns", "1", "--singles", "3",
        "--batch", "8", "--csv", str(tmp_path / "search.csv"), "--page", str(page),
        "--plot", str(tmp_path / "search.svg"),
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", arguments)
    try:
        bench.search.main()
    finally:
        torch.set_num_threads(threads)
    names, found = bench.tables, bench.measurements.read(tmp_path / "search.csv")
    values = names.by_key(found)
    long, short = (names.FLAT, names.FAISS_FLAT, names.MULTI_HASH), (names.FLAT, names.FAISS_FLAT, names.HASH)
    for data in (names.DRAWN, names.UNIFORM):
        for width, systems in ((64, long), (16, short)):
            assert all(values[system, data, 3000, width, 1, names.RATIOS[names.ONE]] > 0 for system in systems)
    assert set(found.loc[found["metric"] == names.QUALITY[0], "width"]) == {8, 16, 64}
    assert all("numpy" in where for where in found["machine"])
    rendered = names.tables(found)
    assert bench.measurements.fill(page.read_text(), "search", rendered) == page.read_text()
    assert rendered["speed"] in page.read_text()
    assert "1.73 x faster" in capsys.readouterr().out
    assert (tmp_path / "search.svg").stat().st_size > 1000

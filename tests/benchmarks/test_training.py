"""benchmarks/training.py: its systems compute the same, and its floor is complete."""

import sys
from functools import partial
from math import prod
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mcmfh_lightning.losses import nt_xent


@pytest.fixture(scope="module")
def bench(benchmark_file) -> SimpleNamespace:
    names = {"training": "training", "systems": "training_systems", "published": "published_ucmfh"}
    names |= {"products": "matrix_products", "measurements": "measurements"}
    return SimpleNamespace(**{name: benchmark_file(file) for name, file in names.items()})


def test_training_is_as_fast_as_was_asked_for(bench, repository: Path) -> None:
    rows = bench.measurements.read(repository / "docs" / "results" / "training.csv")
    names, rates = bench.systems, {part: bench.training.rates(of_part) for part, of_part in rows.groupby("part")}
    ucmfh, mcmfh, experts = (rates[part] for part in ("ucmfh", "mcmfh", "experts"))
    assert ucmfh.loc[names.OURS, 128] >= 5 * ucmfh.loc[names.LITERAL, 128]
    assert ucmfh.loc[names.OURS, 128] >= 0.9 * ucmfh.loc[names.PLAIN, 128]
    assert mcmfh.loc[[names.STEP, names.PRODUCTS], [1, 2, 4, 8, 16]].notna().all(axis=None)
    assert set(rows.loc[rows["part"] == "experts", "batch"]) == {4096}
    assert experts.loc[names.MIXTURE, 1] <= 1.5 * experts.loc[names.MIXTURE, 16]


# --- (a), (b), (c): the published step -----------------------------------------------------------------------------


def test_all_writings_of_the_loss_agree_with_ours(bench) -> None:
    """Values and gradients; ours agrees with its formula read scalar by scalar in tests/losses."""
    published = bench.published
    first, second = torch.randn(2, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = []
    for contrast in (published.literal_contrast, published.lean_contrast, published.plain_contrast):
        one, other = first.clone().requires_grad_(), second.clone().requires_grad_()
        loss = contrast(one, other)
        values.append((loss.detach(), *torch.autograd.grad(loss, (one, other))))
    one, other = first.clone().requires_grad_(), second.clone().requires_grad_()
    loss = nt_xent(one, other, published.TEMPERATURE)
    expected = (loss.detach(), *torch.autograd.grad(loss, (one, other)))
    for found in values:
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_the_published_network_has_the_published_size(bench) -> None:
    """16.80 M parameters in the fusion, and two MLPs of 512, 4096 and K units; each token sees only itself."""
    network = bench.published.PublishedUCMFH(16, bench.published.plain_contrast)
    assert round(sum(p.numel() for p in network.fusion.parameters()) / 1e6, 2) == 16.80
    assert sum(p.numel() for p in network.heads.parameters()) == 2 * (513 * 4096 + 4097 * 16)
    network.eval()
    with torch.no_grad():
        pairs = torch.randn(1, 3, 1024)
        torch.testing.assert_close(network.fusion(pairs)[0, :1], network.fusion(pairs[:, :1])[0], rtol=1e-4, atol=1e-5)


# --- (d): the floor ------------------------------------------------------------------------------------------------


def test_the_floor_has_every_matrix_product_of_a_step(bench) -> None:
    """As torch's own counter of operations has them, forward and backward; attention is left out, as the page says."""
    batch = bench.systems.random_batch(24)
    step = bench.systems.step_of(bench.systems.mcmfh(4, "cpu"), batch)
    with FlopCounterMode(display=False) as counter, bench.products.RecordProducts() as record:
        step()
    counts = counter.get_flop_counts()["Global"]
    expected = sum(flops for operator, flops in counts.items() if "attention" not in str(operator))
    # Two operations for each multiplication and addition.
    assert sum(2 * prod(first.size) * second.size[-1] for first, second in record.products) == expected > 0
    assert {first.dtype for first, _ in record.products} == {torch.float32, torch.float64}
    with bench.products.RecordProducts() as again:
        bench.products.replay(record.products)()
    assert again.products[-len(record.products) :] == record.products  # layouts too


def test_a_product_that_the_floor_does_not_know_is_an_error(bench) -> None:
    with bench.products.RecordProducts(), pytest.raises(NotImplementedError, match="convolution"):
        torch.nn.functional.conv1d(torch.randn(1, 2, 5), torch.randn(3, 2, 2))


# --- the whole -----------------------------------------------------------------------------------------------------


def test_every_part_runs(bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Once, at small sizes, the loss not compiled: every system has a figure, and a second run replaces its parts."""
    out, page = tmp_path / "training.csv", tmp_path / "page.md"
    page.write_text("\n".join(f"<!-- training: {part} -->\n<!-- end -->" for part in bench.training.TITLES))
    arguments = ["--turns", "1", "--steps", "1", "--batches", "4", "--pairs", "6", "--experts", "1", "2"]
    arguments += ["--tokens", "32", "--csv", str(out), "--page", str(page)]
    monkeypatch.setattr(bench.published, "WIDTH", 32)  # four networks of 21 M parameters take a gigabyte
    monkeypatch.setattr(bench.published, "HIDDEN", 64)
    for parts in (["ucmfh", "mcmfh", "experts"], ["experts"]):
        monkeypatch.setattr(sys, "argv", ["training.py", *arguments, "--parts", *parts])
        bench.training.main()
    rows = bench.measurements.read(out)
    assert rows["part"].to_list() == ["ucmfh"] * 4 + ["mcmfh"] * 6 + ["experts"] * 3
    assert (rows["value"] > 0).all()
    assert (rows["threads"] == torch.get_num_threads()).all()
    assert all("torch" in where for where in rows["machine"])
    assert "share of the floor (d)" in page.read_text()
    assert "Not measured." in page.read_text()  # compile
    assert page.read_text() == bench.measurements.fill(page.read_text(), "training", bench.training.tables(rows))
    assert "ours, times as fast as (a)" in capsys.readouterr().out


@pytest.mark.slow
def test_graph_breaks_are_counted(bench) -> None:
    """A step of Python in between is one break, nothing in between none; then those of MCMFH's layers."""

    def broken(values: torch.Tensor) -> torch.Tensor:
        total = values.sin().sum()
        torch._dynamo.graph_break()
        return total.cos()

    values = torch.ones(3)
    assert bench.systems.graph_breaks(lambda: torch.compile(torch.sin, backend="eager")(values)) == 0
    assert bench.systems.graph_breaks(lambda: torch.compile(broken, backend="eager")(values)) == 1
    found = set()
    for pairs in (8, 16):
        batch = bench.systems.random_batch(pairs)
        model = bench.systems.compile_layers(bench.systems.mcmfh(4, "cpu"), "eager")
        found.add(bench.systems.graph_breaks(partial(bench.systems.training_loss, model, batch)))
    assert len(found) == 1
    assert found != {0}  # the experts' shares of the tokens are numbers of Python

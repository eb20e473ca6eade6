"""benchmarks/training.py: its systems compute the same, its floor is whole, its tables are those of the page."""

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mcmfh_lightning.losses import nt_xent

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bench(benchmark_file) -> SimpleNamespace:
    names = ("published", "products", "mcmfh", "rows", "step", "compiled", "ucmfh")
    return SimpleNamespace(
        training=benchmark_file("training"), **{name: benchmark_file(f"throughput.{name}") for name in names}
    )


@pytest.fixture
def committed(repository: Path, bench: SimpleNamespace) -> list:
    path = repository / "docs" / "results" / "training.csv"
    if not path.exists():
        pytest.skip(f"{path.name} was not measured yet")
    return bench.rows.read_csv(path)


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_tables_of_the_page_are_those_of_the_committed_file(repository: Path, bench, committed) -> None:
    page = (repository / "docs" / "results" / "benchmarks.md").read_text()
    assert bench.rows.fill(page, committed) == page


def test_training_is_as_fast_as_was_asked_for(bench, committed) -> None:
    parts = {part: [row for row in committed if row.part == part] for part in bench.rows.TITLES}
    ratio = bench.rows.ratio
    assert ratio(parts["ucmfh"], bench.rows.OURS, bench.rows.LITERAL)[128] >= 5
    assert ratio(parts["ucmfh"], bench.rows.OURS, bench.rows.PLAIN)[128] >= 0.9
    assert set(ratio(parts["mcmfh"], bench.rows.STEP, bench.rows.PRODUCTS)) == {1, 2, 4, 8, 16}
    rates = {row.experts: row.value for row in parts["experts"] if row.system == bench.rows.MIXTURE}
    assert {row.batch for row in parts["experts"]} == {4096}
    assert rates[1] / rates[16] <= 1.5


def test_filling_a_page_twice_changes_nothing_and_keeps_its_text(bench) -> None:
    row = bench.rows.Row(
        part="ucmfh", system="ours", device="cpu", threads=2, batch=128, experts=0, value=9.0, unit="pairs/s"
    )
    comments = [f"<!-- training: {part} -->" for part in bench.rows.TITLES]
    page = "# Title\n\n" + "\n\nText.\n\n".join(comments) + "\n\nThe end.\n"
    once = bench.rows.fill(page, [row])
    assert bench.rows.fill(once, [row]) == once
    assert once.count("Text.") == 3
    assert once.endswith("Not measured.\n\nThe end.\n")
    assert "| UCMFH, training steps: cpu, 2 threads | 128 pairs |" in once
    with pytest.raises(ValueError, match="training: mcmfh"):
        bench.rows.fill(page.replace(comments[1], ""), [row])


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
    """16.80 M parameters in the fusion, and two MLPs of 512, 4096 and K units; its tokens see nobody else's."""
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
    batch = bench.step.random_batch(24, bench.mcmfh.IMAGE_DIM, bench.mcmfh.TEXT_DIM, CPU)
    model = bench.mcmfh.hasher(4, CPU)
    loss, optimizer = bench.step.training_step(model), model.make_optimizer()
    with FlopCounterMode(display=False) as counter, bench.products.RecordProducts() as record:
        bench.step.update(loss(batch), optimizer)
    counts = counter.get_flop_counts()["Global"]
    expected = sum(flops for operator, flops in counts.items() if "attention" not in str(operator))
    assert sum(product.flops for product in record.products) == expected > 0
    assert {product.first.dtype for product in record.products} == {torch.float32, torch.float64}
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
    page.write_text("\n".join(f"<!-- training: {part} -->\n" for part in bench.rows.TITLES))
    arguments = ["--turns", "1", "--steps", "1", "--batches", "4", "--pairs", "6", "--experts", "1", "2"]
    arguments += ["--tokens", "32", "--csv", str(out), "--page", str(page)]
    for module in (bench.published, bench.ucmfh):
        monkeypatch.setattr(module, "WIDTH", 32)  # four networks of 21 M parameters take a gigabyte
    monkeypatch.setattr(bench.published, "HIDDEN", 64)
    for parts in (["ucmfh", "mcmfh", "experts"], ["experts"]):
        monkeypatch.setattr(sys, "argv", ["training.py", *arguments, "--parts", *parts])
        bench.training.main()
    rows = bench.rows.read_csv(out)
    assert [row.part for row in rows] == ["ucmfh"] * 4 + ["mcmfh"] * 6 + ["experts"] * 3
    assert all(row.value > 0 and row.threads == torch.get_num_threads() for row in rows)
    assert "share of the floor (d)" in page.read_text()
    assert "Not measured." in page.read_text()  # compile
    assert page.read_text() == bench.rows.fill(page.read_text(), rows)
    assert "ours, times as fast as (a)" in capsys.readouterr().out


@pytest.mark.slow
def test_graph_breaks_are_counted(bench) -> None:
    """A step of Python in between is one break, and none is none; then those of MCMFH's layers, at any batch size."""

    def broken(values: torch.Tensor) -> torch.Tensor:
        total = values.sin().sum()
        torch._dynamo.graph_break()
        return total.cos()

    values = torch.ones(3)
    assert bench.compiled.graph_breaks(lambda: torch.compile(torch.sin, backend="eager")(values)) == 0
    assert bench.compiled.graph_breaks(lambda: torch.compile(broken, backend="eager")(values)) == 1
    found = set()
    for pairs in (8, 16):
        batch = bench.step.random_batch(pairs, bench.mcmfh.IMAGE_DIM, bench.mcmfh.TEXT_DIM, CPU)
        model = bench.compiled.compile_layers(bench.mcmfh.hasher(4, CPU), "eager")
        found.add(bench.compiled.graph_breaks(partial(bench.step.training_step(model), batch)))
    assert len(found) == 1
    assert found != {0}  # the experts' shares of the tokens are numbers of Python

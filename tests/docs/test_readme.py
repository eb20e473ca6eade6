"""What the README shows runs as written, and its figures are those of committed results.

``make test`` is what CI runs; the demo is run by tests/cli/test_demo.py.
"""

import re
import tomllib
from pathlib import Path

import pytest

LINES, ROWS = 150, 10
"""What a newcomer reads in a minute."""


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text()


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    """The rendered comparison of all systems; tests of the tables hold it to the committed results."""
    return (repository / "docs" / "results" / "comparison" / "table.md").read_text()


def test_is_short(readme: str) -> None:
    assert len(readme.splitlines()) <= LINES
    assert readme.count("![") == 1
    assert "Research use, not diagnosis" in readme


def test_every_command_is_known(readme: str, code_blocks) -> None:
    """Each shell block is one of those that a test or CI runs."""
    programs = [re.match(r"\S+(?: \S+)?", block)[0] for block in code_blocks(readme, "bash")]
    known = ["pip install", "mcmfh demo", "make demo", "mcmfh init"]  # the last: tests/docs/test_own_data.py
    assert programs == known


def test_install_line_names_extras_that_exist(readme: str, repository: Path) -> None:
    (named,) = re.findall(r"pip install 'mcmfh-lightning\[(.*)\]'", readme)
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(named.split(",")) <= set(extras)
    assert f"'.[{named}]'" in (repository / "Makefile").read_text()  # `make setup` installs the same


def test_training_example_runs(
    readme: str,
    code_blocks,
    make_features,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    training, *_ = code_blocks(readme, "python")
    make_features(tmp_path / "data" / "features", train=64, evaluated=20)
    monkeypatch.chdir(tmp_path)
    exec(compile(training, "README.md", "exec"), {"__name__": "__main__"})
    assert (tmp_path / "hasher.ckpt").is_file()
    assert "mAP@all" in capsys.readouterr().out


def _row(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_results_are_those_of_the_rendered_page(readme: str, page: str) -> None:
    """Every value of the one table of the README, the best null among them."""
    (table,) = re.findall(r"(?:^\|.*\n)+", readme, re.MULTILINE)
    lines = table.splitlines()[2:]
    assert len(lines) <= ROWS
    head = _row(table.splitlines()[0])
    assert head == ["system", "mean", "I→T", "T→I", "I→I", "I→case", "T→case"]
    shown = {cells[0].removesuffix(" (no codes)"): cells[1:] for cells in map(_row, lines)}
    assert len(shown) == len(lines)
    for at, collection in ((0, "openi"), (1, "roco")):
        (section,) = re.findall(rf"### {collection}, 16 bits: mAP@all, unseen\n\n.*\n\n((?:\|.*\n)+)", page)
        header, _, *systems = map(_row, section.splitlines())
        values = {cells[0]: [cells[header.index(name)] for name in head[1:]] for cells in systems}
        values = {name: [mean, *(cell.split(" ")[0] for cell in cells)] for name, (mean, *cells) in values.items()}
        nulls = [[cell.split(" ")[0] for cell in cells] for name, cells in values.items() if name.startswith("*")]
        values["*best null*"] = [max(column) for column in zip(*nulls, strict=True)]
        values["*chance*"][0] = values["*chance*"][0].split(" ")[0]
        for name, cells in shown.items():
            assert [cell.split(" / ")[at] for cell in cells] == values[name], (collection, name)


def test_speed_is_that_of_the_page(readme: str, repository: Path) -> None:
    """Of the row that `benchmarks/search.py` wrote, as is the memory."""
    page = (repository / "docs" / "results" / "benchmarks.md").read_text()
    milliseconds, times, share = re.search(
        r"in ([\d.]+) ms, (\d+) times as fast as with 512 floats and in (1/[\d,]+) of their memory", readme
    ).groups()
    row = r"\| N = 1,000,000, drawn around.*\n(?:\|.*\n)*?\| `FlatIndex` \| 16 bits \| ([^|]*) \|"
    speed = re.search(row, page)[1]  # the first table is that of times
    measured, ratio = re.fullmatch(r"([\d.]+) \((\d+) x\)", speed).groups()
    assert float(milliseconds) == round(float(measured), 1)
    assert (times, f"| `FlatIndex` | 16 bits | 2.00 | {share} |" in page) == (ratio, True)

"""The pages of docs/: their links, the navigation, and the code that they show."""

import re
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from mcmfh_lightning.datasets.phantom.studies import write_phantom

GROUPS = ["Start", "Guides", "Concepts", "Results", "Reference"]


def _anchors(page: Path) -> set[str]:
    """List the names of a page's headings, as MkDocs and the usual hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(repository: Path) -> None:
    pages = [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]
    assert len(pages) > 30
    for page in pages:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
            if "://" in target:
                continue
            path = page.parent / target if target else page
            assert path.exists(), (page, target)
            assert not anchor or anchor in _anchors(path), (page, target, anchor)


def _leaves(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    items = nav.values() if isinstance(nav, dict) else nav
    return [leaf for item in items for leaf in _leaves(item)]


def test_navigation_has_five_groups_and_every_page(repository: Path) -> None:
    nav = yaml.safe_load((repository / "mkdocs.yml").read_text())["nav"]
    assert [name for group in nav for name in group] == GROUPS
    docs = repository / "docs"
    assert sorted(_leaves(nav)) == sorted(str(page.relative_to(docs)) for page in docs.rglob("*.md"))


@pytest.mark.parametrize("name", ["openi_mcmfh_16.csv", "roco_mcmfh_16.csv"])
def test_detailed_table_is_that_of_the_committed_file(repository: Path, benchmark_file, name: str) -> None:
    """They hold the mAP rows of the ranking.csv that `make openi` and `make roco` wrote."""
    results = repository / "docs" / "results"
    assert benchmark_file("results_table").render(results / name) in (results / "rows.md").read_text()


def test_metrics_example_runs(repository: Path, code_blocks, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = code_blocks((repository / "docs" / "concepts" / "metrics.md").read_text(), "python")
    exec(compile(example, "metrics.md", "exec"), {"__name__": "__main__"})
    assert 0 < float(re.search(r"[\d.]+", capsys.readouterr().out)[0]) < 1


@pytest.mark.slow
def test_four_commands_run_as_written(repository: Path, run_as_written, tmp_path: Path) -> None:
    """On a phantom under the names of the Open-i files, in an empty folder."""
    page = (repository / "docs" / "start" / "openi.md").read_text()
    commands = re.findall(r"^    mcmfh(?:.*\\\n)*.*$", page, re.MULTILINE)
    assert [re.match(r" *(\S+ \S+)", command)[1] for command in commands] == [
        "mcmfh-data openi", "mcmfh predict", "mcmfh fit", "mcmfh test",
    ]  # fmt: skip
    write_phantom(tmp_path, 150, 0, Console(quiet=True))
    (tmp_path / "reports.tgz").rename(tmp_path / "NLMCXR_reports.tgz")
    run_as_written("\n".join(commands), tmp_path)
    assert (tmp_path / "runs" / "openi" / "test" / "ranking.csv").is_file()

"""The report of a run as a page: numbers with their nulls, figures, and pictures of patients only when asked for."""

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mcmfh_lightning.cli.bench import main
from mcmfh_lightning.evaluation.run_page import run_page
from tests.archive.browser import CHROMIUM, NEEDED

FIGURES = ["precision_recall", "precision_at_n", "recall_at_n", "code_statistics"]


@pytest.fixture(scope="module")
def report(run: Path) -> dict[str, Any]:
    return json.loads((run / "test" / "metrics.json").read_text())


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("page") / "report.html"
    main(["report", str(run), "--out", str(out)])
    return out.read_text()


class Links(HTMLParser):
    """Addresses that a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


def test_every_search_stands_with_its_numbers_and_nulls(page: str, report: dict[str, Any]) -> None:
    tables = re.findall(r"<table>(.*?)</table>", page, re.DOTALL)
    measured = [subsets["abnormal"] for databases in report["results"].values() for subsets in databases.values()]
    assert len(tables) == len(measured)
    for table, directions in zip(tables, measured, strict=True):
        rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]]
        for row, systems in zip(rows, directions.values(), strict=True):
            own = systems["model"]["mAP@all"]
            nulls = ("chance", "constant", "shuffled queries", "shuffled within", "hyperplanes")
            due = [own["value"], own["low"], own["high"], *(systems[null]["mAP@all"]["value"] for null in nulls)]
            due += [own["difference"], own["difference_low"], own["difference_high"]]
            shown = [float(number) for cell in row[1:] for number in re.findall(r"-?[\d.]+", cell)]
            assert shown == pytest.approx(due, abs=5e-4)


def test_it_has_figures_notes_settings_and_versions_and_loads_nothing(page: str, report: dict[str, Any]) -> None:
    links = Links()
    links.feed(page)
    assert len([link for link in links.found if link.startswith("data:image/png;base64,")]) == len(FIGURES)
    assert all(link.startswith("data:") for link in links.found)
    assert "<script" not in page
    assert "default-src 'none'; img-src data:" in page
    for text in (report["weights_sha256"], report["package"], report["data"]["fingerprint"], "num_bits 16"):
        assert text in page
    assert "Research use, not diagnosis" in page
    assert "global_batch_size: 32" in page


def test_pictures_are_shown_only_when_asked_for(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    with pytest.raises(SystemExit) as stop:
        main(["report", str(folder), "--out", str(tmp_path / "a.html"), "--pictures"])
    assert stop.value.code == 2
    assert "--log-examples true" in capsys.readouterr().err
    assert not (tmp_path / "a.html").exists()
    Image.new("RGB", (30, 20), "red").save(folder / "test" / "examples_i2t.png")
    assert "Films that search for texts" not in run_page(folder, pictures=False)
    assert "Films that search for texts" in run_page(folder, pictures=True)


def test_what_a_run_holds_is_shown_as_text(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    path = folder / "test" / "metrics.json"
    report = json.loads(path.read_text())
    report["data"]["name"] = report["notes"][0] = "<script>alert(1)</script>"
    path.write_text(json.dumps(report))
    page = run_page(folder, pictures=False)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


class TestInABrowser:
    pytestmark = NEEDED

    @pytest.fixture
    def browser(self) -> Iterator[Any]:
        sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            yield browser
            browser.close()

    def test_it_is_whole_and_asks_for_nothing(self, browser: Any, page: str, tmp_path: Path) -> None:
        (tmp_path / "report.html").write_text(page)
        tab, asked, complaints = browser.new_page(), [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.goto((tmp_path / "report.html").as_uri())
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert complaints == []
        widths = tab.locator("img").evaluate_all("(all) => all.map((image) => image.naturalWidth)")
        assert len(widths) == len(FIGURES)
        assert all(widths)

"""What a hospital does with the page: DICOM, filters from hits, files of hits, links, several cases as the query."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ..images.dicom_files import dicom
from .browser import NEEDED, Server, Watched
from .service import ODD_ID

pytestmark = NEEDED
TEXT = "enlarged heart with pleural effusion"
PAGE = 24


def dicom_bytes(film: bytes) -> bytes:
    """Inverse grays, as many films of radiography have them."""
    stream = io.BytesIO()
    grays = np.asarray(Image.open(io.BytesIO(film)).convert("L"))
    dicom(255 - grays, PhotometricInterpretation="MONOCHROME1").save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def mean_gray(page: Any) -> float:
    return page.locator("#preview").evaluate(
        """async (image) => {
            await image.decode();
            const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
            canvas.drawImage(image, 0, 0);
            const { data } = canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight);
            const grays = data.filter((value, place) => place % 4 === 0);
            return grays.reduce((sum, value) => sum + value, 0) / grays.length;
        }"""
    )


def test_a_dicom_film_is_dropped_and_chosen(watched: Watched, film: bytes) -> None:
    page = watched.page
    scan = dicom_bytes(film)
    page.evaluate(
        """() => {
            const append = FormData.prototype.append;
            window.sent = [];
            FormData.prototype.append = function (...given) {
                window.sent.push(given[2] ?? given[1].name ?? "");
                append.apply(this, given);
            };
        }"""
    )
    watched.drop(scan, "Mustermann.dcm", kind="application/dicom")
    assert watched.hits()[0] == ODD_ID  # it is in the archive, as PNG
    page.wait_for_selector("#preview")
    expected = float(np.asarray(Image.open(io.BytesIO(film)).convert("L")).mean())
    assert mean_gray(page) == pytest.approx(expected, abs=3)  # as it is read: not inverse
    assert set(page.evaluate("window.sent")) == {"film", ""}
    page.click("#unchoose")
    assert not page.locator("#preview").is_visible()
    watched.drop(scan, "IM000001", kind="")
    assert watched.hits()[0] == ODD_ID
    page.click("#unchoose")
    assert page.locator("#file").get_attribute("accept") is None  # files without an extension are offered, too
    page.set_input_files("#file", {"name": "IM000001", "mimeType": "", "buffer": scan})
    page.wait_for_selector("#preview")
    assert watched.hits()[0] == ODD_ID


def test_a_label_of_a_hit_becomes_a_filter(watched: Watched, shown_rows: dict[str, dict]) -> None:
    page = watched.page
    watched.search(TEXT)
    page.fill("#label-finder", "megaly")  # a part of it
    assert page.locator("#labels label:visible").all_inner_texts()[0].startswith("Cardiomegaly")
    chip = page.locator(".labels button", has_text="Cardiomegaly").first
    assert chip.get_attribute("aria-pressed") == "false"
    chip.click()
    watched.until("document.activeElement.id === 'results-title'")
    assert page.locator("#active").inner_text() == "(1 set)"
    hits = watched.hits()
    assert hits
    assert all("Cardiomegaly" in shown_rows[name]["labels"] for name in hits)
    chip = page.locator(".labels button", has_text="Cardiomegaly").first
    assert chip.get_attribute("aria-pressed") == "true"
    chip.click()
    watched.until("document.getElementById('active').textContent === ''")
    watched.settled()


def saved(page: Any, format: str) -> Any:  # noqa: A002  # as it is called everywhere
    with page.expect_download() as download:
        page.click(f"#save-{format}")
    assert download.value.suggested_filename == f"hits.{format}"
    return download.value


def all_hits(watched: Watched) -> list[str]:
    found = watched.hits()
    while watched.page.locator("#next").is_visible() and watched.page.locator("#next").is_enabled():
        watched.page.click("#next")
        found += watched.hits()
    return found


@pytest.mark.parametrize("kind", ["text", "film"])
def test_hits_are_saved_as_csv(watched: Watched, shown_rows: dict[str, dict], film: bytes, kind: str) -> None:
    page = watched.page
    if kind == "text":
        watched.search(TEXT)
    else:
        watched.drop(film)
    hits = all_hits(watched)
    assert len(hits) > PAGE
    content = Path(saved(page, "csv").path()).read_bytes()
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [row["id"] for row in rows] == hits  # of the whole ranking
    for row in rows:
        assert row["text"] == shown_rows[row["id"]].get("text", "")
        assert sorted(row["labels"].split("; ")) == shown_rows[row["id"]]["labels"]
    page.locator("#status", has_text="Saved as hits.csv.").wait_for()


def test_a_page_of_hits_is_saved_as_a_file_that_loads_nothing(
    watched: Watched, open_page: Callable[..., Watched], shown_rows: dict[str, dict], tmp_path: Path
) -> None:
    page = watched.page
    watched.search(TEXT)
    page.click("#next")
    hits = watched.hits()
    saved(page, "html").save_as(tmp_path / "hits.html")
    file = open_page((tmp_path / "hits.html").as_uri())
    titles = file.page.locator("li.hit h2").all_inner_texts()
    assert titles == [f"{place}. {name}" for place, name in enumerate(hits, PAGE + 1)]
    assert file.page.locator("img").count() == sum("image" in shown_rows[name] for name in hits)
    file.until("[...document.images].every((image) => image.naturalWidth > 0)")
    assert file.page.get_by_text("Research use, not diagnosis.", exact=True).is_visible()
    file.check()
    assert [url for url in file.requests if not url.startswith("data:")] == [file.url]


@pytest.fixture
def linked(watched: Watched) -> tuple[Watched, str, list[str]]:
    """A search by a case with filters, its link and its hits."""
    page = watched.page
    watched.search(TEXT)
    page.check("#labels input[value='Cardiomegaly']")
    page.select_option("#k", "24")
    page.uncheck("input[name=rerank]")
    watched.settled()
    page.locator(".similar").first.click()
    page.locator("#results-title", has_text="Cases like CXR").wait_for()
    hits = watched.hits()
    page.click("#link")
    link = page.locator("#link-value").input_value()
    page.get_by_role("dialog", name="Link to these filters").get_by_role("button", name="Close").click()
    return watched, link, hits


def test_a_link_brings_filters_and_case_back(
    linked: tuple[Watched, str, list[str]], open_page: Callable[..., Watched], server: Server
) -> None:
    watched, link, hits = linked
    title = watched.page.locator("#results-title").inner_text()
    assert watched.page.url == watched.url  # which shows no id by itself
    other = open_page(link)
    other.url = server.url
    other.page.locator("#results-title", has_text=title).wait_for()
    assert other.hits() == hits
    assert other.page.is_checked("#labels input[value='Cardiomegaly']")
    assert not other.page.is_checked("input[name=rerank]")
    assert other.page.url == server.url
    assert all("#" not in url for url in other.requests if url != link)
    # In a page that is open, and back.
    watched.search("pneumothorax")
    before = watched.hits()
    watched.page.evaluate("(link) => { location.href = link; }", link)
    watched.page.locator("#results-title", has_text=title).wait_for()
    assert watched.hits() == hits
    assert watched.page.url == watched.url
    watched.page.go_back()
    watched.page.locator("#results-title", has_text="pneumothorax").wait_for()
    assert watched.hits() == before
    other.check()


def test_a_link_holds_nothing_that_was_typed(watched: Watched, film: bytes) -> None:
    page = watched.page
    watched.search("Xanthippe effusion")
    page.click("#link")
    link = page.locator("#link-value").input_value()
    assert "#mode=labels" in link
    assert not {"Xanthippe", "effusion", "item"} & set(link.replace("&", "=").split("="))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy")
    assert page.evaluate("navigator.clipboard.readText()") == link
    page.keyboard.press("Escape")
    watched.drop(film, "Quickenborne.png")
    watched.hits()
    page.click("#link")
    assert page.locator("#link-value").input_value() == link


def test_a_link_of_filters_alone_searches_again_in_a_page_that_shows_hits(watched: Watched, server: Server) -> None:
    page = watched.page
    assert len(watched.search(TEXT)) > 1
    page.evaluate("(link) => { location.href = link; }", f"{server.url}#mode=labels&labels=Cardiomegaly&k=96&rerank=on")
    page.locator("#active", has_text="(1 set)").wait_for()
    assert watched.hits()
    for card in page.locator(".card").all():
        assert "Cardiomegaly" in card.inner_text()
    assert page.url == watched.url


def test_a_link_of_another_archive_says_what_is_left_out(open_page: Callable[..., Watched], server: Server) -> None:
    watched = open_page(f"{server.url}#mode=labels&labels=Cardiomegaly&labels=Unheard&k=96&radius=2&rerank=on")
    watched.url = server.url
    watched.page.locator("#problem", has_text="filters that this archive does not know").wait_for()
    assert watched.page.is_checked("#labels input[value='Cardiomegaly']")
    assert "The filters of the link are set." in watched.page.locator("#status").inner_text()
    assert watched.page.locator(".card").count() == 0
    assert watched.page.url == server.url
    assert watched.search(TEXT)
    assert watched.page.locator("#active").inner_text() == "(1 set)"
    watched.check()


def test_several_cases_are_searched_by(watched: Watched, shown_rows: dict[str, dict]) -> None:
    page = watched.page
    first = watched.search(TEXT)
    assert page.locator("#more").is_disabled()
    page.locator(".pick input").nth(0).check()
    page.click("#next")
    second = watched.hits()
    page.locator(".pick input").nth(2).check()
    page.click("#previous")
    watched.hits()
    assert page.locator(".pick input").nth(0).is_checked()
    assert page.locator("#more").inner_text() == "More like these (2 chosen)"
    page.click("#more")
    chosen = [first[0], second[2]]
    page.locator("#results-title", has_text=f"Cases like these 2: {', '.join(chosen)}").wait_for()
    hits = all_hits(watched)
    groups = {shown_rows[name]["group"] for name in chosen}
    assert not groups & {shown_rows[name]["group"] for name in hits}
    for card in page.locator(".card").all():
        assert all(f"likeness to {name} (Hamming distance" in card.inner_text() for name in chosen)
    assert "Searched by 2 cases" in page.locator("#facts").inner_text()
    assert page.locator("#more").is_disabled()  # nothing is chosen among these yet
    page.click("#link")
    assert page.locator("#link-value").input_value().count("item=") == 2
    page.keyboard.press("Escape")


def test_all_of_it_can_be_done_with_the_keyboard(watched: Watched) -> None:
    page, press = watched.page, watched.page.keyboard.press

    def tab_to(selector: str, key: str = "Tab") -> None:
        for _ in range(120):
            press(key)
            if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"{selector} is not reached")

    watched.search(TEXT)
    tab_to(".labels button")
    press("Enter")
    watched.until("document.activeElement.id === 'results-title'")
    assert page.locator("#active").inner_text() == "(1 set)"
    watched.settled()
    tab_to("#save-csv")
    with page.expect_download() as download:
        press("Enter")
    assert download.value.suggested_filename == "hits.csv"
    tab_to("#link")
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "link-value"
    press("Escape")
    tab_to(".pick input")
    press("Space")
    tab_to("#more", "Shift+Tab")
    press("Enter")
    page.locator("#results-title", has_text="Cases like CXR").wait_for()
    assert watched.hits()

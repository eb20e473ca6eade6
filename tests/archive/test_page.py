"""The page in a real browser, over a phantom archive that a hasher was fitted for."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from .browser import NEEDED, Server, Watched
from .service import ODD_ID, TOKEN

pytestmark = NEEDED
TEXT = "enlarged heart with pleural effusion"
ITEMS = 60
PAGE = 24


@pytest.fixture(scope="module")
def archive(shown_archive: Path) -> Path:
    return shown_archive


@pytest.fixture(scope="module")
def rows(shown_rows: dict[str, dict]) -> dict[str, dict]:
    return shown_rows


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots stay: MCMFH_TEST_ARTEFACTS, else the folder of this run."""
    folder = Path(os.environ.get("MCMFH_TEST_ARTEFACTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_text_that_is_cut_says_so(watched: Watched) -> None:
    cut = watched.page.get_by_text("the encoder read the first 256")
    watched.search(TEXT)
    assert cut.count() == 0
    watched.search("effusion " * 200)
    assert cut.is_visible()


def test_a_text_shows_cases_with_their_films(watched: Watched, rows: dict[str, dict]) -> None:
    page = watched.page
    assert page.locator("h1").inner_text() == "Find similar cases"
    assert page.get_by_text("Research use, not diagnosis", exact=True).is_visible()
    page.select_option("#match", "codes")
    page.select_option("#k", "24")
    hits = watched.search(TEXT)
    assert len(hits) == PAGE
    assert watched.all_pictures_come() == sum("image" in rows[name] for name in hits)
    assert page.get_by_text("Research use, not diagnosis", exact=True).is_visible()  # far down, too
    facts = page.locator("#facts").inner_text()
    assert f"16 bits = 2 bytes an item, {ITEMS} items, 120 bytes" in facts
    assert "encoded" in facts
    assert "as near as the last of the list" in facts or "the short codes of" in facts
    assert "1 to 24 shown" in page.locator("#status").inner_text()
    for card, name in zip(page.locator(".card").all(), hits, strict=True):
        shown = card.inner_text()
        assert "of 16 bits" in shown
        assert all(label in shown for label in rows[name]["labels"])
        shared = {text.removeprefix("✓ ").split("\n")[0] for text in card.locator(".shared").all_text_contents()}
        named = [label for label in rows[name]["labels"] if label in ("Cardiomegaly", "Pleural Effusion")]
        assert shared == {f"{label} (shared with the query)" for label in named}
    assert not page.url.removeprefix(watched.url)
    assert "effusion" not in page.evaluate("JSON.stringify([history.state, {...localStorage}, {...sessionStorage}])")


def test_words_and_codes_are_joined_and_each_case_says_why(watched: Watched) -> None:
    page = watched.page
    watched.search(TEXT)
    assert "words of the query. Codes of cases found others" in page.locator("#facts").inner_text()
    for card in page.locator(".card").all():
        shown = card.inner_text()
        assert "by words" in shown
        assert "by codes of cases (Hamming distance" in shown
    page.select_option("#match", "words")
    assert watched.hits()
    assert page.get_by_text("of 16 bits", exact=False).count() == 0
    page.select_option("#k", "")  # a radius is one of codes
    watched.settled()
    assert page.locator("#match").is_disabled()
    assert not page.locator(".card", has_text="by words").count()


def test_a_film_that_is_there_comes_first_and_is_said_to_be(watched: Watched, film: bytes) -> None:
    page = watched.page
    page.select_option("#match", "words")  # a film has none
    watched.drop(film)
    assert watched.hits()[0] == ODD_ID
    assert "same as yours or nearly" in page.locator("#facts").inner_text()
    assert "by picture, the same or nearly" in page.locator(".card").first.inner_text()


def test_a_film_is_dropped_chosen_and_removed(watched: Watched, film: bytes) -> None:
    page = watched.page
    page.select_option("#against", "image")
    watched.drop(film, "Quickenborne.png")
    dropped = watched.hits()
    assert dropped[0] == ODD_ID  # it is in the archive
    assert page.locator("#preview").evaluate("(image) => image.complete && image.naturalWidth > 0")
    assert page.locator("#chosen").inner_text() == "Quickenborne.png"
    page.click("#unchoose")
    assert page.evaluate("document.activeElement.id") == "file"
    assert not page.locator("#preview").is_visible()
    page.set_input_files("#file", {"name": "film.png", "mimeType": "image/png", "buffer": film})
    page.wait_for_selector("#preview")
    assert watched.hits() == dropped
    watched.search("nodule")  # takes the film's place
    assert not page.locator("#preview").is_visible()


def test_the_names_of_films_stay_here(watched: Watched, film: bytes) -> None:
    watched.page.evaluate(
        """() => {
            const append = FormData.prototype.append;
            window.sent = [];
            FormData.prototype.append = function (...given) {
                window.sent.push(given[2] ?? given[1].name ?? "");
                append.apply(this, given);
            };
        }"""
    )
    watched.drop(film, "Quickenborne.png")
    watched.hits()
    assert watched.page.evaluate("window.sent") == ["film", ""]


def test_filters_narrow_what_is_shown(watched: Watched, rows: dict[str, dict]) -> None:
    page = watched.page
    watched.search(TEXT)
    page.select_option("#k", "240")
    watched.settled()

    def shown() -> set[str]:
        found = set(watched.hits())
        while page.locator("#next").is_visible() and page.locator("#next").is_enabled():
            page.click("#next")
            found |= set(watched.hits())
        return found

    assert shown() == rows.keys()
    page.check("#labels input[value='Cardiomegaly']")
    assert shown() == {name for name, row in rows.items() if "Cardiomegaly" in row["labels"]}
    assert page.locator(".card").count() == page.locator(".card .shared", has_text="Cardiomegaly").count()
    page.check("#labels input[value='normal']")
    page.locator("#problem").get_by_text("No case passes these filters.").wait_for()
    page.check("input[value=any_labels]")
    assert shown() == {name for name, row in rows.items() if {"Cardiomegaly", "normal"} & set(row["labels"])}
    assert page.locator("#active").inner_text() == "(2 set)"
    page.click("text=Clear filters")
    page.select_option("#k", "240")
    assert shown() == rows.keys()
    page.check("#licences input[value='CC-BY-4.0']")
    page.check("#splits input[value='test']")
    assert shown() == {name for name, row in rows.items() if (row["licence"], row["split"]) == ("CC-BY-4.0", "test")}
    page.click("text=Clear filters")
    page.select_option("#present", "both")
    page.fill("input[name=since]", "2011-09-01")
    page.select_option("#k", "240")
    assert shown() == {
        name for name, row in rows.items() if {"image", "text"} <= row.keys() and row.get("date", "") >= "2011-09-01"
    }
    page.fill("#label-finder", "pneumo")
    assert page.locator("#labels label:visible").all_inner_texts()[0].startswith("Pneumothorax")
    page.select_option("#k", "")
    page.fill("#radius", "0")
    page.press("#radius", "Tab")
    watched.settled()
    assert all(measure.startswith("0 of") for measure in page.locator(".measures div:first-child dd").all_inner_texts())


def test_pages_turn_and_the_back_button_goes_back(watched: Watched) -> None:
    page = watched.page
    first = watched.search("pneumothorax")
    assert page.locator("#page").inner_text() == f"Page 1 of {-(-ITEMS // PAGE)}"
    assert page.locator("#previous").is_disabled()
    page.click("#next")
    second = watched.hits()
    assert not set(first) & set(second)
    assert page.evaluate("document.activeElement.id") == "results-title"
    ranks = [int(title.split(" ")[0]) for title in page.locator(".card h3").all_inner_texts()]
    assert ranks == list(range(PAGE + 1, 2 * PAGE + 1))
    page.click("#next")
    assert len(watched.hits()) == ITEMS - 2 * PAGE
    assert page.locator("#next").is_disabled()
    page.go_back()
    assert watched.hits() == second
    watched.search("scoliosis")
    page.go_back()
    assert watched.hits() == second
    assert page.locator("#query").input_value() == "pneumothorax"


def test_each_case_leads_to_its_like_and_opens(watched: Watched, rows: dict[str, dict]) -> None:
    page = watched.page
    page.locator("#examples button").first.click()
    hits = watched.hits()
    name = next(name for name in hits if {"image", "text"} <= rows[name].keys() and len(rows[name]["text"]) > 160)
    card = page.locator(".card", has=page.locator("h3", has_text=name))
    card.scroll_into_view_if_needed()
    short = card.locator(".report").bounding_box()["height"]
    card.get_by_role("button", name="Whole text").click()
    assert card.locator(".report").bounding_box()["height"] > short
    assert card.get_by_role("button", name="Less text").get_attribute("aria-expanded") == "true"
    card.locator("button.film").click()
    dialog = page.get_by_role("dialog", name=name)
    assert dialog.locator("img").evaluate("(image) => image.naturalWidth") > 100
    assert rows[name]["text"] in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    card.get_by_role("button", name="Find similar").click()
    page.locator("#results-title", has_text=name).wait_for()
    alike = watched.hits()
    assert name not in alike
    assert page.evaluate("document.activeElement.id") == "results-title"
    for card, other in zip(page.locator(".card").all(), alike, strict=True):
        assert card.locator(".shared").count() == len(set(rows[name]["labels"]) & set(rows[other]["labels"]))


def test_what_is_no_film_is_reported(open_page: Callable[..., Watched], server: Server, film: bytes) -> None:
    watched = open_page(server.url)
    page = watched.page
    page.wait_for_selector("#examples button")
    problem = page.locator("#problem")
    watched.drop(b"hello", "film.png")
    problem.get_by_text("not a JPEG, PNG or DICOM picture").wait_for()
    assert page.locator(".card").count() == 0
    watched.drop(film[: len(film) // 2])
    problem.get_by_text("damaged or incomplete").wait_for()
    stream = io.BytesIO()
    Image.new("1", (7000, 6000)).save(stream, "PNG")
    watched.drop(stream.getvalue())
    problem.get_by_text("42,000,000 pixels").wait_for()
    watched.drop(film, padding=21 * 1024**2)
    problem.get_by_text("the most is 20 MB").wait_for()
    watched.drop(None)
    problem.get_by_text("not a file").wait_for()
    page.get_by_role("button", name="Search", exact=True).click()
    page.select_option("#against", "image")
    watched.drop(film)
    assert watched.hits()[0] == ODD_ID
    assert problem.inner_text() == ""
    watched.check(expected=r"status of (413|415|422)")


def test_the_server_waits_for_its_archive_stops_and_asks_for_a_token(
    open_page: Callable[..., Watched],
    archive: Path,
    shown_model: Path,
    rows: dict[str, dict],
    tmp_path: Path,
    artifacts: Path,
) -> None:
    place, log, by = tmp_path / "archive", tmp_path / "log", ("--model", str(shown_model))
    server = Server(place, log, *by)
    watched = open_page(server.url)
    page, problem = watched.page, watched.page.locator("#problem")

    # There is no archive yet.
    problem.get_by_text("mcmfh-archive build").wait_for()
    assert str(place) in problem.inner_text()
    page.screenshot(path=artifacts / "page-missing-archive.png")
    page.get_by_role("button", name="Try again").focus()
    page.wait_for_timeout(6000)  # it looks again by itself after 5 s
    assert page.evaluate("document.activeElement.textContent") == "Try again"
    shutil.copytree(archive, place)
    page.wait_for_selector("#examples button")
    assert problem.inner_text() == ""
    hits = watched.search(TEXT)
    assert len(hits) == PAGE

    # The server stops.
    assert server.stop() == 0
    page.press("#query", "Enter")
    problem.get_by_text("does not answer").wait_for()
    assert page.locator(".card").count() == 0
    page.screenshot(path=artifacts / "page-no-server.png")

    # It comes again, with a token.
    server = Server(place, log, *by, port=server.port, MCMFH_ARCHIVE_TOKEN=TOKEN)
    page.click("text=Try again")
    dialog = page.get_by_role("dialog", name="This archive asks for its token")
    dialog.wait_for()
    page.keyboard.press("Escape")
    assert dialog.is_visible()
    page.screenshot(path=artifacts / "page-token.png")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    dialog.get_by_text("not the right one").wait_for()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector(".card")
    assert watched.hits() == hits
    assert watched.all_pictures_come() == sum("image" in rows[name] for name in hits)
    sources = page.locator(".film img").evaluate_all("(all) => all.map((image) => image.src)")
    assert all(source.startswith("blob:") for source in sources)

    assert server.stop() == 0
    watched.check(expected="status of (401|503)|ERR_CONNECTION_REFUSED")
    assert TOKEN not in log.read_text()


def test_everything_can_be_done_with_the_keyboard(watched: Watched) -> None:
    page, press = watched.page, watched.page.keyboard.press

    def focused() -> dict:
        return page.evaluate(
            """() => {
                const at = document.activeElement;
                const { outlineStyle, outlineWidth } = getComputedStyle(at.id === "file" ? at.nextElementSibling : at);
                return { id: at.id, text: at.textContent, outline: outlineStyle, width: parseFloat(outlineWidth) };
            }"""
        )

    press("Tab")
    assert focused()["text"] == "Skip to the search"
    press("Enter")
    assert focused()["id"] == "query"
    page.keyboard.type(TEXT)
    press("Shift+Enter")
    assert page.locator("#query").input_value() == f"{TEXT}\n"
    press("Enter")
    assert len(watched.hits()) == PAGE
    assert focused()["id"] == "query"
    press("Escape")
    assert page.locator("#query").input_value() == ""
    seen = []
    while not seen or not seen[-1]["text"].startswith("Find similar"):
        press("Tab")
        seen.append(focused())
        assert (seen[-1]["outline"], seen[-1]["width"] >= 2) == ("solid", True) or seen[-1]["outline"] == "auto", seen[
            -1
        ]
        assert len(seen) < 80
    order = [entry["id"] for entry in seen if entry["id"]]
    assert order[:2] == ["file", "label-finder"] or order[:1] == ["file"]
    assert [name for name in order if name in ("present", "against", "k")] == ["present", "against", "k"]
    press("Enter")
    watched.until("document.activeElement.id === 'results-title'")
    assert page.locator("#results-title").inner_text().startswith("Cases like CXR")


def test_escape_cancels_a_search(watched: Watched) -> None:
    page = watched.page
    page.route("**/api/search", lambda route: None)  # never answered
    page.fill("#query", TEXT)
    page.press("#query", "Enter")
    page.wait_for_selector("body.busy")
    assert page.locator("#results").get_attribute("aria-busy") == "true"
    page.keyboard.press("Escape")
    assert page.locator("#status").inner_text() == "Canceled."
    assert page.locator("#results").get_attribute("aria-busy") == "false"
    assert page.locator("#query").input_value() == TEXT
    page.unroute_all(behavior="ignoreErrors")


CHECKS = (Path(__file__).parent / "page_checks.js").read_text()


@pytest.mark.parametrize(
    ("name", "dark", "width"),
    [("light", False, 1400), ("dark", True, 1400), ("narrow", False, 390), ("tiny", True, 320)],
)
def test_the_page_can_be_read(
    open_page: Callable[..., Watched], server: Server, artifacts: Path, name: str, dark: bool, width: int
) -> None:
    watched = open_page(server.url, dark=dark, width=width)
    page = watched.page
    page.wait_for_selector("#examples button")
    page.screenshot(path=artifacts / f"page-{name}-empty.png")
    watched.search(TEXT)
    if page.locator("#options").get_attribute("open") is None:
        page.click("summary")
    watched.all_pictures_come()
    page.evaluate("scrollTo(0, 0)")
    wrong, measured = page.evaluate(CHECKS)
    assert not wrong
    assert measured > 150
    page.screenshot(path=artifacts / f"page-{name}.png")
    page.screenshot(path=artifacts / f"page-{name}-whole.png", full_page=True)
    page.locator("button.film").first.click()
    page.screenshot(path=artifacts / f"page-{name}-case.png")
    watched.check()


def test_nothing_of_it_was_logged(watched: Watched, server: Server, film: bytes) -> None:
    watched.search("Xanthippe")
    watched.drop(film, "Quickenborne.png")
    watched.hits()
    logged = server.log.read_text()
    for word in ("Xanthippe", "Quickenborne", "effusion", "CXR", "api/"):
        assert word not in logged

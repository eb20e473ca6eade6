"""Hits as files: a page, JSON and CSV, from the command and the service."""

import csv
import io
import json
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.archive.exporting import result_csv, result_json, result_page
from mcmfh_lightning.archive.results import Reason
from mcmfh_lightning.cli.archive import main as command

from .service import ODD_ID, png
from .test_search_show import ITEM, NASTY, NOTICE, RESULT, with_item


class Parsed(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_a_page_loads_nothing_and_runs_nothing():
    page = Parsed(result_page(RESULT, {ITEM.id: b"\xff\xd8jpeg"}.get))
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "form", "a"})
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name, value in attributes.items():
            if name in ("src", "href", "srcset", "background", "action"):
                assert (tag, name) == ("img", "src")
                assert value.startswith("data:image/jpeg;base64,")
    policy = next(attributes for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "url(" not in "".join(page.texts)


def test_a_page_says_what_was_found_as_it_is():
    page = Parsed(result_page(RESULT, {ITEM.id: b"\xff\xd8jpeg"}.get))
    shown = " ".join(" ".join(page.texts).split())
    assert NASTY in shown
    for what in (f"id {NASTY}", f"text {NASTY}", f"label {NASTY}", f"licence {NASTY}", f"query {NASTY}", NOTICE):
        assert what in shown
    for what in (
        "Hamming distance 2, cosine 0.500",
        "Effusion (shared)",
        "no image",
        "text not at hand",
        "36 more cases",
    ):
        assert what in shown
    [image] = [attributes for tag, attributes in page.tags if tag == "img"]
    assert b64decode(image["src"].partition(",")[2]) == b"\xff\xd8jpeg"
    assert image["alt"] == f"Image of {ITEM.id}"
    assert "Nothing found." in result_page(replace(RESULT, hits=(), total=0, tie_distance=None), {}.get)


def test_json_has_all_that_the_result_has():
    content = json.loads(result_json(RESULT))
    assert content["notice"] == NOTICE
    assert content["timing"]["total"] == pytest.approx(0.0163)
    assert (content["ties"], content["tie_distance"], content["tied_shown"]) == (37, 3, 1)
    assert content["hits"][0]["item"]["text"] == ITEM.text
    assert content["hits"][1]["similarity"] is None


def table(written: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written, newline="")))


def test_csv_has_a_row_a_hit_and_every_value_as_it_is():
    first, second = table(result_csv(RESULT))
    assert (first["rank"], first["id"], first["distance"], first["similarity"]) == ("1", ITEM.id, "2", "0.5")
    assert first["labels"] == "; ".join(ITEM.labels)
    assert (first["text"], first["group"], first["licence"]) == (ITEM.text, ITEM.group, ITEM.licence)
    assert (second["similarity"], second["text"], second["has_image"]) == ("", "", "False")
    text = 'says "no",\r\nthen\nmore; ä'
    [row] = table(result_csv(with_item(text=text, labels=())))
    assert (row["text"], row["labels"]) == (text, "")
    assert table(result_csv(replace(RESULT, hits=()))) == []
    assert result_csv(replace(RESULT, hits=())).startswith("rank,id,distance,similarity,")


def test_csv_has_the_columns_of_the_table_in_python():
    pd = pytest.importorskip("pandas")
    reasons = (Reason("words", 3, None, None), Reason("case", None, 4, None))
    result = replace(RESULT, hits=(replace(RESULT.hits[0], reasons=reasons), RESULT.hits[1]))
    written = pd.read_csv(io.StringIO(result_csv(result)), keep_default_na=False)
    assert set(written.columns) == set(result.to_pandas().columns)
    assert written["rank_by_words"].tolist() == ["3", ""]
    assert written["distance_by_case"].tolist() == ["4", ""]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", *map(chr, (0xFF1D, 0xFF0B, 0xFF0D, 0xFF20))])
def test_a_spreadsheet_takes_no_text_for_a_formula(start):
    formula = f"{start}HYPERLINK(0)"
    result = with_item(id=formula, text=formula, labels=(formula, "b"), group=formula, licence=formula, source=formula)
    result = replace(result, hits=(replace(result.hits[0], shared_labels=(formula,), similarity=-0.5),))
    [row] = table(result_csv(result))
    for name in ("id", "text", "group", "licence", "source", "shared_labels"):
        assert row[name] == f"'{formula}"
    assert row["labels"] == f"'{formula}; b"
    assert float(row["similarity"]) == -0.5  # a number


def test_the_command_prints_csv_and_writes_it_for_spreadsheets(
    phantom_archive: Path, archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = archive.search(id=ODD_ID, k=5)
    asked = ["search", str(phantom_archive), "--id", ODD_ID, "--k", "5", "--format", "csv"]
    command(asked)
    printed = capsys.readouterr().out
    assert [row["id"] for row in table(printed)] == [hit.item.id for hit in found.hits]
    command([*asked, "--out", str(tmp_path / "a")])
    written = (tmp_path / "a").read_bytes()
    assert written.startswith(b"\xef\xbb\xbf")  # Excel takes it for UTF-8
    assert table(written.decode("utf-8-sig")) == table(printed)


def test_the_service_writes_the_files_of_the_command(client: TestClient, archive: Archive) -> None:
    body = {"id": ODD_ID, "k": 24}
    answer = client.post("/api/search", json={**body, "format": "csv", "limit": 1000})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")
    hits = archive.search(**body).hits
    assert [row["id"] for row in table(answer.content.decode("utf-8-sig"))] == [hit.item.id for hit in hits]
    answer = client.post("/api/search", json={**body, "format": "html", "limit": 5, "offset": 2})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Parsed(answer.text)
    shown = archive.search(**body, limit=5, offset=2).hits
    assert [text for text in page.texts if text.endswith(f". {shown[0].item.id}")] == [f"3. {shown[0].item.id}"]
    pictures = [b64decode(found["src"].partition(",")[2]) for tag, found in page.tags if tag == "img"]
    assert pictures == [archive.picture(hit.item.id) for hit in shown if hit.item.has_image]


def test_a_film_is_searched_by_into_a_file_too(client: TestClient) -> None:
    files = {"image": ("film", png(40, 50))}
    options = json.dumps({"format": "csv", "k": 7})
    answer = client.post("/api/search/image", files=files, data={"options": options})
    assert len(table(answer.content.decode("utf-8-sig"))) == 7


def test_more_rows_are_for_csv_alone(client: TestClient) -> None:
    for kind in ("json", "html"):
        answer = client.post("/api/search", json={"id": ODD_ID, "format": kind, "limit": 101})
        assert answer.status_code == 422
        assert "limit" in answer.json()["detail"]
    assert client.post("/api/search", json={"id": ODD_ID, "format": "csv", "limit": 1001}).status_code == 422

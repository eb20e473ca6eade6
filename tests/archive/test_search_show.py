"""What people and programs are shown, and the command that shows it."""

import json
from dataclasses import replace

import pytest
from rich.cells import cell_len

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.archive.explaining import explain
from mcmfh_lightning.archive.results import Hit, Item, SearchResult, Timing
from mcmfh_lightning.archive.show import result_table, sentences
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.tables import as_text

NASTY = "</p><script src='https://example.org/x.js'>alert(1)</script>[bold]&amp;{{ 7 * 7 }}"
ITEM = Item(
    id=f"id {NASTY}",
    group=f"group {NASTY}",
    split="test",
    has_image=True,
    has_text=True,
    labels=("Effusion", f"label {NASTY}"),
    date="2012-01-02",
    licence=f"licence {NASTY}",
    source="made up",
    text=f"text {NASTY}",
)
RESULT = SearchResult(
    query=f"query {NASTY}",
    query_modality="text",
    against="case",
    hits=(Hit(1, ITEM, 2, 0.5, ("Effusion",)), Hit(2, replace(ITEM, id="b", text=None, has_image=False), 3, None, ())),
    total=2,
    candidates=1234,
    tie_distance=3,
    ties=37,
    tied_shown=1,
    reranked=1,
    num_bits=16,
    code_bytes=2,
    index="flat",
    timing=Timing(0.01, 0.002, 0.0003, 0.004),
)
NOTICE = "Research use, not diagnosis."


def printed(result) -> str:
    return as_text(result_table(result))


def test_what_is_printed_shows_ties_time_and_notice_and_reads_no_markup():
    shown = " ".join(printed(RESULT).split())
    assert "[bold]" in shown
    assert "Effusion*" in shown
    assert "(* label that the query has or asks for)" in shown
    assert "text not at hand" in " ".join(printed(with_item(text=None)).split())
    assert "2 of 1,234 items by 16-bit codes of cases." in shown
    assert "36 more cases are as near as the last of the list" in shown
    assert f"Order: by the cosine of relaxed codes. 16 ms. {NOTICE}" in shown
    assert "as near as" not in " ".join(printed(replace(RESULT, ties=1)).split())
    assert "Order: by distance, then id." in " ".join(printed(replace(RESULT, reranked=0)).split())
    assert "Nothing found." in printed(replace(RESULT, hits=(), total=0, tie_distance=None))
    colors = f"\x1b[2J{NASTY}\x07\x9b5m"
    shown = printed(replace(with_item(id=colors, labels=(colors,), text=colors), query=colors))
    assert "�[2J" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)


def with_item(**entries):
    return replace(RESULT, hits=(replace(RESULT.hits[0], item=replace(ITEM, **entries)),))


def test_a_hit_takes_two_lines_of_a_hundred_columns_and_its_id_is_whole():
    item = {"id": "short", "labels": ("Pleural Effusion",) * 30, "text": "word " * 100}
    lines = printed(with_item(**item)).splitlines()
    assert [len(line) for line in lines[1:3]] == [pytest.approx(98, abs=4)] * 2
    assert [line[-4:] for line in lines[1:3]] == [" ..."] * 2
    assert len(lines) <= 1 + 2 + 3
    assert max(map(len, lines)) <= 100
    name = "x" * 120
    assert name in printed(with_item(**item | {"id": name}))
    wide = printed(with_item(**item | {"text": "骨" * 100})).splitlines()[2]  # each is two columns wide
    assert cell_len(wide) <= 100


def test_sentences_have_the_details():
    said = sentences(RESULT)
    assert said[0] == "2 found among 1,234 items, by codes of cases: 16 bits (2 bytes) each, flat index."
    assert said[1].startswith("Order: the 1 nearest by the cosine of their relaxed codes, the others by Hamming")
    assert said[2] == "Time after load: 16.3 ms (encode 10.0, search 2.0, rerank 0.3, fetch 4.0)."
    assert said[3:] == list(explain(RESULT))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (
            {},
            "36 more cases are as near as the last of the list (3 of 16 bits differ). Short codes cannot tell them "
            "apart: their ids decide which are listed.",
        ),
        (
            {"ties": 2, "tie_distance": 1},
            "1 more case is as near as the last of the list (1 of 16 bits differs). Short codes cannot tell them "
            "apart: their ids decide which are listed.",
        ),
        (
            {"reranked": 300, "tied_reranked": 37},
            "Where the list ends, the short codes of 37 cases are equally near (3 of 16 bits differ). A finer "
            "comparison, of embeddings, chose the 1 of them in the list.",
        ),
        (
            {"reranked": 4096, "ties": 9000, "tied_reranked": 4000, "tied_shown": 20},
            "Where the list ends, the short codes of 9,000 cases are equally near (3 of 16 bits differ). A finer "
            "comparison, of embeddings, of the 4,000 with the first ids chose the 20 of them in the list.",
        ),
        ({"ties": 1}, None),
        ({"tie_distance": None, "ties": 0}, None),
    ],
)
def test_ties_are_said_in_words(entries, said):
    assert explain(replace(RESULT, **entries)) == (() if said is None else (said,))


@pytest.fixture
def run(phantom_archive, capsys):
    """The command over the phantom archive; what it prints."""

    def call(*options: str) -> str:
        main(["search", str(phantom_archive), *options])
        return capsys.readouterr().out

    return call


def test_the_command_finds_what_the_api_finds(run, phantom_archive):
    archive = Archive.open(phantom_archive)
    found = json.loads(run("--text", "pleural effusion", "--k", "5", "--format", "json"))
    expected = archive.search(text="pleural effusion", k=5)
    assert [(hit["item"]["id"], hit["distance"]) for hit in found["hits"]] == [
        (hit.item.id, hit.distance) for hit in expected.hits
    ]
    name = found["hits"][0]["item"]["id"]
    label = found["hits"][0]["item"]["labels"][0]
    options = [
        "--id",
        name,
        "--labels",
        label,
        "--splits",
        "train",
        "--splits",
        "test",
        "--radius",
        "16",
        "--rerank",
        "0",
    ]
    found = json.loads(run(*options, "--against", "image", "--has-image", "true", "--limit", "3", "--format", "json"))
    assert found["total"] == found["candidates"] >= len(found["hits"])
    for hit in found["hits"]:
        assert label in hit["item"]["labels"]
        assert label in hit["shared_labels"]
        assert hit["item"]["split"] in ("train", "test")
        assert hit["item"]["id"] != name


def test_the_command_prints_a_table_and_writes_files(run, tmp_path):
    printed_table = run("--text", "pleural effusion", "--k", "3")
    assert "3 of " in printed_table
    assert NOTICE in printed_table
    assert max(map(len, printed_table.splitlines())) <= 100
    as_page = ["--text", "pleural effusion", "--format", "html", "--out", str(tmp_path / "page.html")]
    assert run(*as_page, "--k", "3") == f"{tmp_path / 'page.html'}: 3 hits written\n"
    assert run(*as_page) == f"{tmp_path / 'page.html'}: 20 hits written, in place of the file that was there\n"
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") > 10
    assert NOTICE in page
    run("--text", "pleural effusion", "--out", str(tmp_path / "table.txt"))
    assert (tmp_path / "table.txt").read_text().startswith("text query: pleural effusion")


def test_a_page_beyond_the_end_of_the_ranking_is_said_to_be(run, phantom_archive, tmp_path):
    name = Archive.open(phantom_archive).search(text="effusion", k=1).hits[0].item.id
    beyond = ["--id", name, "--k", "7", "--limit", "2", "--offset", "30"]
    shown = run(*beyond)
    assert "Nothing here: the ranking ends at 7, before the offset." in shown
    assert "Nothing found" not in shown
    run(*beyond, "--format", "html", "--out", str(tmp_path / "page.html"))
    assert "Nothing here: the ranking ends at 7, before the offset." in (tmp_path / "page.html").read_text()


def test_filters_that_leave_nothing_are_named(run, phantom_archive, rows, capsys):
    name, dates = rows[0]["id"], sorted(row["date"] for row in rows if "date" in row)
    main(["search", str(phantom_archive), "--id", name, "--since", "2130-01-01", "--has-text", "true"])
    said = capsys.readouterr()
    texts, others = sum("text" in row for row in rows), sum(row["group"] != rows[0]["group"] for row in rows)
    assert said.err.endswith(
        f"warning: the search leaves 0 of {len(rows)} items to rank; each alone leaves: --since 0, --has-text {texts}, "
        f"--id {others}; dates are {dates[0]} to {dates[-1]}\n"
    )
    assert "Nothing found." in said.out
    run("--id", name, "--labels", rows[0]["labels"][0])
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "pass one of --text, --image and --id"),
        (["--text", "effusion", "--format", "html"], "name it by --out"),
        (["--text", ""], "text is empty"),
        (["--image", "missing.png"], "missing.png: image file that cannot be read"),
        (["--id", "nobody"], "no item 'nobody'"),
        (["--text", "effusion", "--labels", "Efusion"], "'Efusion' is unknown"),
        (["--text", "effusion", "--since", "2012"], "--since '2012' is not a date"),
        (["--text", "effusion", "--k", "0"], "--k 0 is less than 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        run(*options)
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("mcmfh-archive: error: ")
    assert message in error

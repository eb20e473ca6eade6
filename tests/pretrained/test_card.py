"""The card of a run: every number of its test, chance and all nulls next to it, and nothing of this machine."""

import json
import re
import shutil
from math import nan
from pathlib import Path

import pytest
import torch
import yaml

from mcmfh_lightning import load
from mcmfh_lightning.cli.bench import main
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.card import read_report, render_card

from .planted import Planted


@pytest.fixture(scope="module")
def report(run: Path) -> dict:
    return json.loads((run / "test" / "metrics.json").read_text())


@pytest.fixture(scope="module")
def card(report: dict) -> str:
    return render_card(report)


def number(text: str) -> float:
    return nan if text == "-" else float(text)


def test_each_number_stands_next_to_chance_and_every_null(card: str, report: dict) -> None:
    sections = re.findall(r'### Protocol (\S+), database "(.*)"\n\n(.*)\n\n((?:\|.*\n)+)', card)
    assert {(protocol, database) for protocol, database, *_ in sections} == {
        (protocol, database) for protocol, databases in report["results"].items() for database in databases
    }
    for protocol, database, about, table in sections:
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        assert head[:4] == ["search", "mAP@all", "95 % interval", "chance"]
        measured = report["results"][protocol][database]["abnormal"]
        assert [row[0] for row in rows] == list(measured)
        size = report["databases"][database]
        assert f"{size['size']['text']} items" in about
        assert f"{size['queries']['abnormal']['number']} abnormal queries" in about
        for row in rows:
            systems = measured[row[0]]
            own = systems["model"]["mAP@all"]
            shown = dict(zip(head, row, strict=True))
            assert number(shown["mAP@all"]) == pytest.approx(own["value"], abs=5e-4)
            ends = [float(end) for end in shown["95 % interval"].strip("[]").split(", ")]
            assert ends == pytest.approx([own["low"], own["high"]], abs=5e-4)
            for null in ("chance", "constant", "shuffled queries", "shuffled within", "hyperplanes"):
                assert number(shown[null]) == pytest.approx(systems[null]["mAP@all"]["value"], abs=5e-4)
            lead, low, high = map(float, re.findall(r"-?[\d.]+", shown["above the best null by"]))
            due = [own["difference"], own["difference_low"], own["difference_high"]]
            assert [lead, low, high] == pytest.approx(due, abs=5e-4)


def test_says_what_it_is_and_what_it_is_not_for(card: str, report: dict, run: Path) -> None:
    metadata, text = re.fullmatch(r"---\n(.*?)---\n(.*)", card, re.DOTALL).groups()
    assert yaml.safe_load(metadata)["library_name"] == "mcmfh-lightning"
    for words in (
        "# TwoTower, 16 bits",
        "Research use, not diagnosis.",
        "Encoder: planted.",
        "Collection: planted",
        "Licence of the collection: CC0",
        "pairs: 128 train, 40 val, 40 test",
        "Not for diagnosis, triage",
        report["weights_sha256"],
        *report["notes"],
    ):
        assert words in text
    assert str(run.parent) not in card
    assert "best.ckpt" not in card


def test_a_fit_that_has_not_ended_is_said_without_its_path(report: dict) -> None:
    notes = ["the fit of these weights has not ended: it still runs, or was cut; to resume it: mcmfh fit --config /a/b"]
    card = render_card(report | {"notes": notes})
    assert "has not ended: it still runs, or was cut" in card
    assert "/a/b" not in card


def test_collections_that_a_tower_was_tuned_on_are_named(report: dict) -> None:
    tuned = {"data": "second", "shards": "1", "before": {"data": "first", "shards": "2"}}
    card = render_card(report | {"encoder": {"name": "tuned", "image": {"tuned_on": tuned}}})
    assert card.index("tuned on the training split of second") < card.index("tuned on the training split of first")


def test_the_command_prints_or_writes_it(
    run: Path, card: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["card", str(run)])
    assert capsys.readouterr().out == card
    main(["card", str(run / "test" / "metrics.json"), "--out", str(tmp_path / "README.md")])
    assert (tmp_path / "README.md").read_text() == card


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("{}", "is not a report of"),
        ('{"hasher": {}, "results": {}}', "cannot be used"),
        ('{"hasher": {"hasher": "X"}, "results": {}, "num_bits": 8, "encoder": [1]}', "cannot be used"),
    ],
)
def test_what_is_not_a_report_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    (tmp_path / "test").mkdir()
    if content is not None:
        (tmp_path / "test" / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=message):
        render_card(read_report(tmp_path))


def test_weights_carry_the_card_of_their_own_test_alone(run: Path, card: str, tmp_path: Path) -> None:
    own = load(run, encoder=Planted())
    own.save_pretrained(tmp_path / "a")
    assert (tmp_path / "a" / "README.md").read_text() == card
    edited = card + "\nOur remarks.\n"
    (tmp_path / "a" / "README.md").write_text(edited)
    own.save_pretrained(tmp_path / "a")  # the same weights: what was written by hand stays
    assert (tmp_path / "a" / "README.md").read_text() == edited
    load(tmp_path / "a", encoder=Planted()).save_pretrained(tmp_path / "b")
    assert (tmp_path / "b" / "README.md").read_text() == edited

    other = Path(shutil.copytree(run, tmp_path / "run"))
    best = other / "fit" / "checkpoints" / "best.ckpt"
    stored = torch.load(best, weights_only=True)
    next(iter(stored["state_dict"].values())).add_(1)
    torch.save(stored, best)
    load(other, encoder=Planted()).save_pretrained(tmp_path / "a")
    replaced = (tmp_path / "a" / "README.md").read_text()
    assert "nothing is claimed" in replaced
    assert "mAP@all |" not in replaced
    assert "Collection: planted" not in replaced

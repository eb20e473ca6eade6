"""Tables of other people for tests of ``mcmfh init``, and what became of them."""

import csv
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mcmfh_lightning.cli.data import main as data
from mcmfh_lightning.cli.main import main as mcmfh
from mcmfh_lightning.shards import DatasetInfo, PairShardReader

FILMS = ("0.png", "1.png", "2.png", "3.png", "4.png", "5.png")


def make_films(folder: Path) -> None:
    """Six films in ``films``."""
    (folder / "films").mkdir()
    for number, name in enumerate(FILMS):
        Image.new("L", (16, 16), 20 + 30 * number).save(folder / "films" / name)


class Item(NamedTuple):
    """What an item is, as the author of the table says it."""

    image: bool
    text: str | None
    labels: tuple[str, ...]
    group: str
    date: str | None = None
    split: str | None = None


def run(program, *words: str) -> int:
    """The exit code of a command."""
    try:
        program(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def init(table: str, images: str = "films", *options: str) -> int:
    return run(mcmfh, "init", "--manifest", table, "--images", images, *options)


def proposed() -> Mapping[str, object]:
    return tomllib.loads(Path("mcmfh.toml").read_text(encoding="utf-8"))["mcmfh-data"]["manifest"]


def converted() -> dict[str, Item]:
    """Convert by the project file alone, and return what came out, the splits where the table gives them."""
    assert run(data, "manifest") == 0
    given = proposed().get("split-by") == "given"
    items = {}
    for split in DatasetInfo.load(Path("data/pairs")).splits:
        reader = PairShardReader(Path("data/pairs"), split)
        for pair in (reader[i] for i in range(len(reader))):
            has = pair.image is not None
            items[pair.id] = Item(has, pair.text, pair.labels, pair.group_name, pair.date, split if given else None)
    return items


def choose(line: str) -> None:
    """Remove the # before a proposed line, as a user does in an editor."""
    text = Path("mcmfh.toml").read_text(encoding="utf-8")
    found = re.findall(rf"^# ({re.escape(line)}.*)$", text, re.MULTILINE)
    assert len(found) == 1, (line, text)
    Path("mcmfh.toml").write_text(text.replace(f"# {found[0]}", found[0]), encoding="utf-8")


def texts(rows: Sequence[Sequence[str]], encoding: str = "utf-8", delimiter: str = ",", name: str = "pairs.csv") -> str:
    with Path(name).open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return name


def without(rows: Sequence[Sequence[str]], *columns: str) -> list[list[str]]:
    keep = [at for at, name in enumerate(rows[0]) if name not in columns]
    return [[row[at] for at in keep] for row in rows]


def asks(capsys, option: str) -> None:
    """The command that needs a choice refuses until it is made, and names it."""
    capsys.readouterr()
    assert run(data, "manifest") == 2
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0
    assert "Traceback" not in message
    assert message.startswith("mcmfh-data: error: mcmfh.toml, [mcmfh-data.manifest]: ")
    assert option in message
    assert not Path("data/pairs").exists()


BASE = [
    ("id", "image", "text", "labels", "group", "date"),
    ("1", "0.png", "The lungs are clear.", "normal", "p1", "01/02/2011"),
    ("2", "1.png", "The heart is large.", "Cardiomegaly", "p1", "03/04/2011"),
    ("3", "2.png", "A small effusion there.", "Effusion", "p2", "05/06/2011"),
]
PLAIN = {
    "1": Item(True, "The lungs are clear.", ("normal",), "p1"),
    "2": Item(True, "The heart is large.", ("Cardiomegaly",), "p1"),
    "3": Item(True, "A small effusion there.", ("Effusion",), "p2"),
}

"""A project file from elsewhere: it imports nothing, writes nothing outside of its folder, and controls no terminal."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from mcmfh_lightning.cli import archive, data, main
from mcmfh_lightning.cli.options import ACCELERATORS
from mcmfh_lightning.cli.project import read_project
from mcmfh_lightning.cli.project_keys import TABLES
from mcmfh_lightning.errors import ConfigError

OF_CLASSES = ("{class_path: evil.E}", "evil.yaml", "[{class_path: evil.E}]", "class_path: evil.E", "- evil.E", "!!evil")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module that leaves a file where it is imported."""
    made = tmp_path / "project"
    made.mkdir()
    (made / "evil.py").write_text("import pathlib\npathlib.Path('ran').touch()\nclass E: ...\n")
    (made / "evil.yaml").write_text("class_path: evil.E\n")
    monkeypatch.chdir(made)
    monkeypatch.syspath_prepend(made)
    return made


def refused(capsys: pytest.CaptureFixture[str], program, *words: str) -> str:
    """The one line of a command that fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        program.main(list(words))
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


TEXTS = [key for key, kind in TABLES["mcmfh"]["fit"].items() if kind not in ("number", "switch")]


@pytest.mark.parametrize("key", [*TEXTS, "model.output-dir"])
@pytest.mark.parametrize("value", OF_CLASSES)
def test_no_value_names_a_class(folder, capsys, key, value):
    """The trainer reads values as YAML, and some from a file."""
    command = "predict" if key == "model.output-dir" else "fit"
    config = "" if key == "config" else 'config = "experiments/mcmfh.yaml"\n'
    Path("mcmfh.toml").write_text(f"[mcmfh.{command}]\n{config}{key} = {json.dumps(value)}\n")
    line = refused(capsys, main, command)
    assert line.startswith(f"mcmfh: error: mcmfh.toml, [mcmfh.{command}] {key} = {value!r}: ")
    assert not Path("ran").exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize("name", ACCELERATORS)
def test_names_of_accelerators_are_read(folder, name):
    Path("mcmfh.toml").write_text(f'[mcmfh.fit]\ntrainer.accelerator = "{name}"\n')
    assert read_project("mcmfh", "fit").options == {"trainer.accelerator": name}


def test_others_are_corrected(folder, capsys):
    Path("mcmfh.toml").write_text('[mcmfh.fit]\ntrainer.accelerator = "cdua"\n')
    assert "one of auto, cpu, gpu, cuda, mps, tpu is expected; did you mean 'cuda'?" in refused(capsys, main, "fit")


@pytest.mark.parametrize("name", ["registry", "Registry:owner/model"])
def test_no_weights_come_from_a_registry(folder, name):
    Path("mcmfh.toml").write_text(f'[mcmfh.fit]\nckpt-path = "{name}"\n')
    with pytest.raises(ConfigError, match="a plain path is expected"):
        read_project("mcmfh", "fit")


@pytest.mark.parametrize("place", [".", "data", "data/pairs", "inside/../..", "", "inside/../../project"])
def test_links_and_dots_lead_nowhere(folder, capsys, place):
    """Problems of a table are listed next to the folder that is written, so that has to be below the file's."""
    (folder.parent / "elsewhere").mkdir()
    (folder / "inside").mkdir()
    (folder / "data").symlink_to(folder.parent / "elsewhere")
    (folder / "own.csv").write_text("id,image,text,labels,group\n1,none.png,a,b,c\n")
    before = sorted(folder.parent.rglob("*"))
    table = f'manifest = "own.csv"\nimages = "."\nout = "{place}"\n'
    text = (
        f'[mcmfh-data.manifest]\n{table}[mcmfh-archive.search]\narchive = "{place}"\n[mcmfh.fit]\nrun-dir = "{place}"\n'
    )
    (folder / "mcmfh.toml").write_text(text)
    for program, words in ((data, ["manifest"]), (archive, ["search", "--id", "x"]), (main, ["fit"])):
        assert "not below the folder of the file, once links are followed; pass it by" in refused(
            capsys, program, *words
        )
    assert sorted({*folder.parent.rglob("*")} - {*before, folder / "mcmfh.toml"}) == []


def test_links_within_the_folder_are_followed(folder):
    (folder / "disk").mkdir()
    (folder / "data").symlink_to("disk")
    (folder / "mcmfh.toml").write_text('[mcmfh-data.stats]\nout = "data/new/stats"\n')
    assert read_project("mcmfh-data", "stats").options == {"out": "data/new/stats"}


@pytest.mark.parametrize("control", ["\x1b]0;PWNED\x07", "\x1b[2J", "\n", "\r", "\t", "\x00", "\x7f", "\x9b", "\u2028"])
@pytest.mark.parametrize(
    ("program", "command", "key"),
    [
        ("mcmfh-data", "verify", "folder"),
        ("mcmfh-data", "manifest", "no-column"),
        ("mcmfh-archive", "search", "device"),
        ("mcmfh", "fit", "config"),
        ("mcmfh", "fit", "data.root"),
    ],
)
def test_control_characters_are_refused(folder, capsys, control, program, command, key):
    value = f"a{control}{program}: error: forged"
    written = "".join(f"\\u{ord(c):04x}" if not c.isprintable() else c for c in value)
    Path("mcmfh.toml").write_text(f'[{program}.{command}]\n{key} = "{written}"\n')
    line = refused(capsys, {"mcmfh-data": data, "mcmfh-archive": archive, "mcmfh": main}[program], command)
    assert line.startswith(f"{program}: error: mcmfh.toml, [{program}.{command}] {key} = {value[:40]!r}: control")
    assert line.isprintable()


@pytest.mark.parametrize(
    "text", ['[mcmfh-data."\\u001b[2J\\n"]', '["\\u001b[2J\\n".x]', '[mcmfh-data.verify]\n"\\u001b[2J\\n" = 1', "a\x1b"]
)
def test_names_of_tables_and_keys_control_nothing(folder, capsys, text):
    Path("mcmfh.toml").write_text(text)
    assert refused(capsys, data, "verify").replace("\ufffd", "").isprintable()


def test_what_tables_hold_may_have_line_breaks_and_tabs(folder):
    """Spreadsheets write names of columns with line breaks."""
    Image.new("L", (8, 8)).save("a.png")
    rows = '"id"\t"image"\t"Be\nfund"\t"labels"\t"group"\n' + "".join(f"{n}\ta.png\tx\tz\t1\n" for n in range(3))
    Path("own.csv").write_text(rows)
    Path("mcmfh.toml").write_text(
        '[mcmfh-data.manifest]\nmanifest = "own.csv"\nimages = "."\nout = "new"\ndelimiter = "\\t"\n'
        'text-column = "Be\\nfund"\n'
    )
    data.main(["manifest"])
    assert json.loads(Path("new/dataset.json").read_text())["settings"]["columns"]["text"] == "Be\nfund"

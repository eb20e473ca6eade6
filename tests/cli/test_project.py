"""The project file: what is read from it, what is refused, and what wins."""

import tomllib
from pathlib import Path

import pytest

from mcmfh_lightning.cli import archive, data, train
from mcmfh_lightning.cli.command_line import build_app
from mcmfh_lightning.cli.init import comment, table, toml_value
from mcmfh_lightning.cli.project import arguments_of, read_project, with_project
from mcmfh_lightning.cli.project_keys import TABLES
from mcmfh_lightning.datasets.table.guess.columns import Answer, Choice
from mcmfh_lightning.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def project(text: str) -> None:
    Path("mcmfh.toml").write_text(text, encoding="utf-8")


def run(program, *words: str) -> int:
    """The exit code of a command."""
    try:
        program(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


# --- reading ---------------------------------------------------------------------------------------------------------


def test_keys_with_points_hyphens_and_underscores(folder):
    project(
        '[mcmfh.fit]\ndata.root = "f"\n"run-dir" = "r"\ndata.global_batch_size = 8\n[mcmfh.test]\nckpt-path = "best"\n'
    )
    found = read_project("mcmfh", "fit")
    assert found is not None
    assert found.options == {"data.root": "f", "run-dir": "r", "data.global-batch-size": 8}
    assert read_project("mcmfh", "validate") is None
    assert read_project("mcmfh-data", "phantom") is None


def test_folders_above_are_not_looked_at(folder, monkeypatch):
    project('[mcmfh-data.verify]\nfolder = "pairs"\n')
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert read_project("mcmfh-data", "verify") is None


REFUSED = {
    "not TOML": ("[mcmfh.fit\n", "not a project file"),
    "twice": ("[mcmfh.fit]\n[mcmfh.fit]\n", "not a project file"),
    "not UTF-8": (b"\xff\xfe[\x00", "not a project file, for it is not UTF-8; save it as UTF-8"),
    "deep": ("a = " + "[" * 100_000, "not a project file"),
    "program": ("[mcmfh-dta.manifest]\n", "unknown table 'mcmfh-dta'; did you mean 'mcmfh-data'"),
    "key alone": ("manifest = 1\n", "unknown key 'manifest'"),
    "command": ("[mcmfh.fitt]\n", "unknown table [mcmfh.fitt]; did you mean 'fit'?"),
    "other table": ("[mcmfh-archive.serch]\n", "unknown table [mcmfh-archive.serch]; did you mean 'search'?"),
    "config outside": ('[mcmfh.fit]\nconfig = "model/../../../x/evil.yaml"\n', "the package has no such config"),
    "writes outside": ('[mcmfh.fit]\nrun-dir = "../elsewhere"\n', "not below the folder of the file"),
    "key": ('[mcmfh.fit]\nrun-dirr = "x"\n', "[mcmfh.fit]: unknown key 'run-dirr'; did you mean 'run-dir'?"),
    "class": ('[mcmfh.fit]\nmodel = "os.system"\n', "[mcmfh.fit]: unknown key 'model'"),
    "class path": ('[mcmfh.fit]\nmodel.class_path = "os.system"\n', "unknown key 'model.class_path'"),
    "callbacks": ('[mcmfh.fit]\ntrainer.callbacks = ["evil"]\n', "unknown key 'trainer.callbacks'"),
    "text": ("[mcmfh.fit]\nrun-dir = 3\n", "[mcmfh.fit] run-dir = '3': a text in quotes"),
    "number": ('[mcmfh.fit]\nmodel.num-bits = "16"\n', "[mcmfh.fit] model.num-bits = '16': a whole number"),
    "number, not true": ("[mcmfh.fit]\nmodel.num-bits = true\n", "a whole number is expected"),
    "undecided": ("[mcmfh.fit]\nundecided = 3\n", "[mcmfh.fit] undecided: a list of options"),
    "undecided of nobody": (
        '[mcmfh.fit]\nundecided = ["run-dir or x; rm"]\n',
        "[mcmfh.fit] undecided: a list of options",
    ),
    "large number": (f"[mcmfh.fit]\nmodel.num-bits = {10**18}\n", "too large a number"),
    "config of the folder": ('[mcmfh.fit]\nconfig = "evil.yaml"\n', "a file of this folder"),
    "config of nobody": ('[mcmfh.fit]\nconfig = "experiments/mcmhf.yaml"\n', "the package has no such config"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_names_the_file_and_the_key(folder, name):
    content, message = REFUSED[name]
    Path("evil.yaml").write_text("model: os.system\n")
    Path("mcmfh.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        with_project(["fit"])
    assert str(caught.value).startswith("mcmfh.toml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_types_of_lists_and_switches(folder):
    project('[mcmfh-data.manifest]\nno-labels = "yes"\n')
    with pytest.raises(ConfigError, match=r"no-labels = 'yes': true or false is expected"):
        read_project("mcmfh-data", "manifest")
    project("[mcmfh-data.manifest]\ndate-format = [1]\n")
    with pytest.raises(ConfigError, match="a list of texts"):
        read_project("mcmfh-data", "manifest")
    project('[mcmfh-data.manifest]\ndate-format = "%Y"\n')  # one needs no list
    assert read_project("mcmfh-data", "manifest").options == {"date-format": ["%Y"]}


@pytest.mark.parametrize("place", ["s3://x/y", "/home/x", "a/../../x"])
def test_nothing_is_written_outside_of_the_folder(folder, place):
    project(f'[mcmfh-archive.add]\narchive = "{place}"\n')
    with pytest.raises(
        ConfigError, match="not below the folder of the file, once links are followed; pass it by --archive"
    ):
        read_project("mcmfh-archive", "add")


def test_values_are_not_taken_for_options(folder):
    project('[mcmfh.fit]\nconfig = "experiments/mcmfh.yaml"\ndata.root = "features"\nckpt-path = "last"\n')
    words = " ".join(with_project(["fit", "--run_dir", "config"])).replace("=", " ")
    assert (
        words == "fit --config experiments/mcmfh.yaml --data.root features --run_dir config"
    )  # the weights are elsewhere
    assert with_project(["fit", "-c", "mine.yaml"]) == ["fit", "-c", "mine.yaml"]


def test_a_file_of_notepad_is_read(folder):
    Path("mcmfh.toml").write_bytes(b"\xef\xbb\xbf[mcmfh.fit]\nrun-dir = 'x'\n")
    assert read_project("mcmfh", "fit").options == {"run-dir": "x"}


def test_no_table_can_delete_overwrite_or_open_a_port_to_others():
    """A folder may come from elsewhere: what is dangerous is typed."""
    assert TABLES["mcmfh-archive"]["delete"].keys() == {"archive"}
    assert "out" not in TABLES["mcmfh-archive"]["search"]
    assert not {"host", "token-file"} & TABLES["mcmfh-archive"]["serve"].keys()
    named = {key for commands in TABLES["mcmfh"].values() for key in commands}
    assert not {
        key for key in named if key.split(".")[-1] in ("class-path", "callbacks", "logger", "plugins", "encoder")
    }


@pytest.mark.parametrize("program", ["mcmfh-data", "mcmfh-archive"])
def test_every_key_is_an_option_of_its_command(program):
    commands = data.COMMANDS if program == "mcmfh-data" else archive.COMMANDS
    app = build_app(program, commands)
    for command, keys in TABLES[program].items():
        names = {name for option in app[command].assemble_argument_collection() for name in option.names}
        assert {f"--{key}" for key in keys} - names == set(), command


def test_every_option_of_the_converter_can_be_in_the_file_but_two():
    """`problems` writes over a file, and a range is two numbers."""
    app = build_app("mcmfh-data", data.COMMANDS)
    options = app["manifest"].assemble_argument_collection()
    names = {option.name.removeprefix("--") for option in options if not option.children}  # not a group of them
    assert names - TABLES["mcmfh-data"]["manifest"].keys() <= {"problems", "value-range"}


# --- what wins -------------------------------------------------------------------------------------------------------


def test_the_command_line_wins(folder, capsys):
    project('[mcmfh-data.verify]\nfolder = "one"\n')
    assert run(data.main, "verify") == 2
    shown = capsys.readouterr().err
    assert shown.splitlines()[0] == "mcmfh.toml: --folder one"
    assert "one is not a folder" in shown
    for words in (["two"], ["--folder", "two"], ["--folder=two"]):
        assert run(data.main, "verify", *words) == 2
        shown = capsys.readouterr().err
        assert "two is not a folder" in shown
        assert "mcmfh.toml" not in shown  # nothing was taken from it


def test_train_takes_them_in_front_and_only_without_a_config(folder, capsys):
    project('[mcmfh.fit]\nrun-dir = "r"\ndata.root = "f"\nconfig = "experiments/mcmfh.yaml"\n')
    taken = ["--config", "experiments/mcmfh.yaml", "--run_dir", "r", "--data.root", "f"]
    assert with_project(["fit", "--model.num_bits", "32"]) == ["fit", *taken, "--model.num_bits", "32"]
    assert capsys.readouterr().err == "mcmfh.toml: --config experiments/mcmfh.yaml --run-dir r --data.root f\n"
    assert with_project(["fit", "--data.root", "g"]) == ["fit", *taken[:4], "--data.root", "g"]
    assert with_project(["fit", "--run_dir=q"]) == ["fit", *taken[:2], *taken[4:], "--run_dir=q"]
    capsys.readouterr()
    for words in (["fit", "--config", "x.yaml"], ["fit", "--config=x.yaml"], ["fit", "--help"], ["test"], []):
        assert with_project(words) == words
    assert capsys.readouterr().err == ""


def test_a_choice_is_asked_until_it_is_made(folder):
    project('[mcmfh-data.manifest]\nundecided = ["group-column", "labels-column or no-labels"]\nno-labels = true\n')
    found = read_project("mcmfh-data", "manifest")
    with pytest.raises(ConfigError, match=r"\[mcmfh-data.manifest\]: group-column has to be chosen.*--group-column"):
        found.check_decided({})
    found.check_decided({"group-column": ["x"]})


def test_a_file_of_the_folder_with_the_name_of_a_shipped_config_is_refused(folder):
    """It would be taken in the place of the shipped one."""
    Path("experiments").mkdir()
    Path("experiments/mcmfh.yaml").write_text("model: os.system\n")
    project('[mcmfh.fit]\nconfig = "experiments/mcmfh.yaml"\n')
    with pytest.raises(ConfigError, match="a file of this folder"):
        with_project(["fit"])


def test_an_encoder_of_the_folder_is_refused(folder, capsys):
    Path("mine.yaml").write_text("class_path: x\n")
    project('[mcmfh-archive.build]\narchive = "a"\ncheckpoint = "c"\nencoder = "mine.yaml"\n')
    assert run(archive.main, "build") == 2
    assert "a file of this folder" in capsys.readouterr().err


def test_help_and_other_commands_do_not_need_the_file(folder, capsys):
    project("this is not TOML")
    assert run(data.main, "manifest", "--help") == 0
    assert run(data.main, "phantom", "--out", "ph", "--studies", "1") == 0
    assert run(data.main, "verify", "ph") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("mcmfh-data: error: mcmfh.toml: not a project file")


# --- writing ---------------------------------------------------------------------------------------------------------

ODD = [
    '"',
    "\\",
    "a\nb",
    "\t",
    "\r",
    "\x00",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "Größe",
    "日本",
    "😀",
    "\u2028",
    "'''",
    '"""',
    "# x",
    "",
]


@pytest.mark.parametrize("text", [*ODD, "".join(ODD)], ids=ascii)
def test_any_text_comes_back_as_it_was(text):
    written = table("mcmfh-data.manifest", {"manifest": text, "normal-label": [text, "b", text, "c"], "seed": 3})
    found = tomllib.loads(written)["mcmfh-data"]["manifest"]
    assert found == {"manifest": text, "normal-label": [text, "b", text, "c"], "seed": 3}


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_a_proposed_line_is_valid_once_its_mark_is_removed(text):
    choice = Choice(f"is it {text}", (Answer("text-column", text, f"as {text}"),), ("text-column",))
    written = table("mcmfh-data.manifest", {}, note=text, choices=[choice])
    assert tomllib.loads(written) == {"mcmfh-data": {"manifest": {"undecided": ["text-column"]}}}
    chosen = tomllib.loads(written.replace("# text-column = ", "text-column = "))
    assert chosen["mcmfh-data"]["manifest"]["text-column"] == text


def test_half_of_a_character_is_refused():
    with pytest.raises(ConfigError, match="not UTF-8"):
        toml_value("\udcff")


@pytest.mark.parametrize("reason", ["short", "long " * 40, *ODD], ids=ascii)
def test_reasons_change_no_value(reason):
    options = {"text-column": "a # b", "normal-label": ["a", "b", "c", "d"]}
    written = table("mcmfh-data.manifest", options, reasons=dict.fromkeys(options, reason))
    assert tomllib.loads(written)["mcmfh-data"]["manifest"] == options
    assert all(len(line) <= 100 for line in written.splitlines())


def test_comments_fit_a_screen():
    lines = comment("word " * 100).splitlines()
    assert all(line.startswith("# ") and len(line) <= 100 for line in lines)


def test_arguments_that_begin_with_hyphens_stay_values():
    assert arguments_of({"a": "-x", "b": ["--y", "z"]}) == ["--a=-x", "--b=--y", "--b", "z"]


# --- with the trainer ------------------------------------------------------------------------------------------------


def test_the_trainer_takes_each_of_its_keys(folder, capsys):
    """The options as LightningCLI reads them."""
    project(
        "[mcmfh.fit]\n"
        'config = "experiments/mcmfh.yaml"\ndata.root = "f"\nrun-dir = "r"\nseed-everything = 7\nckpt-path = "last"\n'
        'trainer.accelerator = "cpu"\ntrainer.devices = 1\ntrainer.max-epochs = 2\ndata.global-batch-size = 8\n'
        'data.num-workers = 0\nmodel.num-bits = 32\nmodel.supervision = "pairs"\n'
    )
    assert run(train.main, "fit", "--model.num_bits=64") == 2
    said = capsys.readouterr().err
    assert said.splitlines()[0].startswith("mcmfh.toml: --config experiments/mcmfh.yaml --data.root f")
    assert "f/dataset.json does not exist" in said  # all options were accepted; there is no data

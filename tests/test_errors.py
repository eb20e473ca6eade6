"""Which errors end in one line."""

import errno
from pathlib import Path

import pytest

from mcmfh_lightning.errors import DataError, one_line_errors


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("shard 3 is cut: write it again"), "shard 3 is cut: write it again"),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs/x/ranking.csv"),
            "runs/x/ranking.csv: Permission denied",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device: make room, or write elsewhere"),
    ],
)
def test_errors_of_the_user_and_of_the_machine(error, line, capsys):
    with pytest.raises(SystemExit) as stop, one_line_errors("mcmfh"):
        raise error
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"mcmfh: error: {line}\n"


def test_an_error_behind_another_is_found(capsys):
    def fail():
        try:
            raise DataError("the cause")
        finally:
            Path("/nowhere").stat()  # clearing up fails as well

    with pytest.raises(SystemExit), one_line_errors("mcmfh"):
        fail()
    assert capsys.readouterr().err == "mcmfh: error: the cause\n"


@pytest.mark.parametrize("error", [ValueError("a mistake of ours"), OSError("without number"), KeyError("x")])
def test_mistakes_of_ours_keep_their_traceback(error):
    with pytest.raises(type(error)), one_line_errors("mcmfh"):
        raise error


def test_traceback_when_asked_for(monkeypatch):
    monkeypatch.setenv("MCMFH_TRACEBACK", "1")
    with pytest.raises(DataError), one_line_errors("mcmfh"):
        raise DataError("shard 3 is cut")


def _error_of(module: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop, one_line_errors("mcmfh"):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "extra"),
    [("lightning.pytorch", "train"), ("faiss", "archive"), ("pydicom", "dicom"), ("open_clip", "train")],
)
def test_a_missing_extra_is_named_with_its_command(
    module: str, extra: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcmfh_lightning.errors.find_spec", lambda name: None)  # here all extras are installed
    name = module.partition(".")[0]
    expected = f"mcmfh: error: {name} is not installed: pip install 'mcmfh-lightning[{extra}]'\n"
    assert _error_of(module, capsys) == expected


@pytest.mark.parametrize("module", ["nothing_of_ours", "rich.absent", "torch._absent"])
def test_a_broken_installation_shows_its_traceback(module: str) -> None:
    with pytest.raises(ModuleNotFoundError), one_line_errors("mcmfh"):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

"""Warnings: what the commands hide has a reason, and no filter hides a whole category."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from mcmfh_lightning.errors import QUIET

from .images.dicom_files import write_dicom

_SHORTEST = 15
"""Letters that a message needs to say which warning it is."""
_FILTERS = {"filterwarnings": 1, "simplefilter": None}
"""Position of the message in the calls that hide warnings; `simplefilter` takes none."""


def _letters(message: str) -> int:
    return len(re.findall(r"\w", message))


def _is_specific(filter_line: str) -> bool:
    """Whether a filter of pytest hides one kind of warning, or hides nothing."""
    action, message, *_ = [*filter_line.split(":"), ""]
    return action in ("error", "default", "always") or _letters(message) >= _SHORTEST


def _hides_a_category(call: ast.Call) -> bool:
    """Whether a call hides warnings of any message: ``simplefilter("ignore")`` or a mark without one."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in _FILTERS or not call.args or not isinstance(call.args[0], ast.Constant):
        return False
    action = call.args[0].value
    if ":" in action:  # a mark of pytest
        return not _is_specific(action)
    given = {keyword.arg for keyword in call.keywords}
    return action in ("ignore", "once") and (name == "simplefilter" or (len(call.args) < 2 and "message" not in given))


def test_every_filter_of_the_tests_has_a_message(repository: Path, pytestconfig: pytest.Config) -> None:
    declared = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert [line for line in declared["filterwarnings"] if not _is_specific(line)] == []
    assert [line for line in pytestconfig.getini("filterwarnings") if not _is_specific(line)] == []
    assert len(pytestconfig.getini("filterwarnings")) == len(declared["filterwarnings"]) + len(QUIET)


def test_no_call_or_mark_hides_a_category(repository: Path) -> None:
    folders = ("src", "datamodules", "lightning_configs", "tests", "benchmarks", "examples")
    found = [
        f"{path.relative_to(repository)}:{node.lineno}"
        for folder in folders
        for path in sorted((repository / folder).rglob("*.py"))
        if any(name in (code := path.read_text()) for name in _FILTERS)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and _hides_a_category(node)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "hides"),
    [
        ('warnings.simplefilter("ignore")', True),
        ('warnings.filterwarnings("ignore", category=UserWarning)', True),
        ('pytest.mark.filterwarnings("ignore::UserWarning")', True),
        ('pytest.mark.filterwarnings("ignore:.*:UserWarning")', True),
        ('warnings.filterwarnings("ignore", message=message)', False),
        ('pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")', False),
        ('warnings.simplefilter("error")', False),
    ],
)
def test_a_filter_by_category_alone_is_found(code: str, hides: bool) -> None:
    (call,) = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    assert _hides_a_category(call) is hides


def test_what_is_hidden_is_named() -> None:
    assert [message for message, _ in QUIET if _letters(message) < _SHORTEST] == []


def test_a_damaged_dicom_header_is_reported_without_warnings_of_pydicom(tmp_path: Path) -> None:
    """The warnings would name no file, and could show what stands in the header."""
    content = write_dicom(tmp_path / "a.dcm", np.zeros((16, 16), np.uint8)).read_bytes()
    (tmp_path / "a.dcm").write_bytes(content.replace(b"1.2.840.10008.1.2.1\x00", b"1.2.8N0.10008.1.2.1\x00"))
    (tmp_path / "table.csv").write_text("id,image,text,labels,group,split\na,a.dcm,Clear.,normal,1,train\n")
    code = "from mcmfh_lightning.cli.data import main; main()"
    paths = ("--manifest", tmp_path / "table.csv", "--images", tmp_path, "--out", tmp_path / "out")
    done = subprocess.run([sys.executable, "-c", code, "manifest", *paths], capture_output=True, text=True)
    assert done.returncode == 2
    assert "1.2.8N0.10008.1.2.1" in done.stderr.splitlines()[-1]
    assert "Warning" not in done.stderr

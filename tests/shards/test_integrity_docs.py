"""docs/guides/integrity.md says what the code does."""

import re
from pathlib import Path

from mcmfh_lightning.shards.verify.report import FEATURE_CHECKS, PAIR_CHECKS


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_every_check_is_documented_with_its_severity_and_folders(repository):
    documented = {
        row[0]: row[1:3] for row in rows((repository / "docs" / "guides" / "integrity.md").read_text()) if len(row) == 4
    }
    del documented["check"], documented["---"]
    assert documented.keys() == {check.name for check in (*PAIR_CHECKS, *FEATURE_CHECKS)}
    for check in (*PAIR_CHECKS, *FEATURE_CHECKS):
        folders = {(True, True): "both", (True, False): "pairs", (False, True): "features"}
        assert documented[check.name] == [folders[check in PAIR_CHECKS, check in FEATURE_CHECKS], check.severity]


def test_every_test_that_is_named_exists(repository):
    named = set(re.findall(r"`(test_\w+)`", (repository / "docs" / "guides" / "integrity.md").read_text()))
    sources = [path.read_text() for path in Path(repository / "tests").rglob("test_*.py")]
    defined = {name for source in sources for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}
    assert len(named) > 10
    assert named <= defined

"""The files for contributors fit the tool chain: what a host runs is what a developer runs."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_workflow_runs_ci_on_every_python_of_the_classifiers(repository: Path, project: dict[str, Any]) -> None:
    job = _yaml(repository / ".github" / "workflows" / "ci.yml")["jobs"]["test"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert job["strategy"]["matrix"]["python"] == named
    assert {"run": ".ci/run"} in job["steps"]


def test_hooks_are_the_checks_of_make_check(repository: Path) -> None:
    (local,) = _yaml(repository / ".pre-commit-config.yaml")["repos"]
    hooks = {hook["id"]: hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]}
    assert hooks.pop("check") == "make check"
    recipe = (repository / "Makefile").read_text().partition("\ncheck:")[2].partition("\n\n")[0]
    assert all(f"$(BIN)/{entry}" in recipe for entry in hooks.values())


def test_dev_brings_every_extra(project: dict[str, Any]) -> None:
    """Tests run with all of them; `docs` is a tool of its own."""
    extras = project["optional-dependencies"]
    (own,) = [line for line in extras["dev"] if line.startswith(project["name"])]
    assert set(re.search(r"\[(.*)\]", own)[1].split(",")) == {*extras} - {"dev", "docs"}


def test_install_page_lists_every_extra(repository: Path, project: dict[str, Any]) -> None:
    page = (repository / "docs" / "start" / "install.md").read_text()
    rows = re.findall(r"^\| (`[^|]*) \|", page.partition("## Extras")[2].partition("\n## ")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(.*?)`", row)} == set(project["optional-dependencies"])


def test_templates_ask_for_no_patient_data(repository: Path) -> None:
    folder = repository / ".github"
    for path in (folder / "ISSUE_TEMPLATE" / "bug.yml", folder / "pull_request_template.md"):
        assert re.search("patient data", path.read_text(), re.IGNORECASE), path
    for path in folder.glob("ISSUE_TEMPLATE/*.yml"):
        assert _yaml(path), path

"""The language of sources and documentation: plain words, docstrings that begin with a verb, ``Raises:`` with "If"."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

# Words of the first versions of this project that readers had to learn, each with what to write instead.
PHRASES = {
    r"anew": "again",
    r"mend(?:s|ed|ing)?": "fix",
    r"told|tells": "reported, says",
    r"beside": "next to, with",
    r"lies": "is stored, is",
    r"go(?:es)? on|went on|going on": "continues, resumes",
    r"the like of": "similar to",
    r"so many": "that number of",
    r"(?<!there )(?:is|are|was|were) no(?! longer\b| more than\b)": "is not a",
    r"as (?:it|they) stands?": "as it is",
    r"^\s*\"{3}Of a\b": "a verb and its object",
}
_PHRASE = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b", re.IGNORECASE | re.MULTILINE)
# Sentences of drawn reports are data: other words are other data. The changelog quotes what was.
QUOTATIONS = {"CHANGELOG.md", "tests/test_language.py", ".codespell-words"}
_SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".js", ".html", ".sbatch"}
# A function does something: its docstring says what, as a command.
_NOT_A_VERB = re.compile(r"(?:The|A|An|What|Whether|Of|How|Which|Where|Who|Why|When|If|All|Each|Every|Two|Some|Its)\b")


def _tracked(repository: Path) -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (repository / name).is_file()]


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[str]:
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout: the list of sources comes from git")
    return _tracked(repository)


def test_plain_words(repository: Path, tracked: list[str]) -> None:
    found = []
    for name in tracked:
        path = repository / name
        if name in QUOTATIONS or "phantom/" in name or not (path.suffix in _SUFFIXES or path.name == "Makefile"):
            continue
        text = path.read_text(encoding="utf-8")
        found += [f"{name}:{text.count(chr(10), 0, m.start()) + 1}: {m.group()}" for m in _PHRASE.finditer(text)]
    assert found == []


@pytest.fixture(scope="module")
def documented(repository: Path, tracked: list[str]) -> list[tuple[str, ast.AST, str]]:
    """Functions and classes with their place and their docstring."""
    return [
        (f"{name}:{node.lineno} {node.name}", node, text)
        for name in tracked
        if name.endswith(".py") and not name.startswith("tests/")
        for node in ast.walk(ast.parse((repository / name).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node))
    ]


def test_docstrings_of_functions_begin_with_a_verb(documented: list[tuple[str, ast.AST, str]]) -> None:
    # A property is a noun.
    functions = (
        (place, text)
        for place, node, text in documented
        if isinstance(node, ast.FunctionDef) and not any("property" in ast.unparse(d) for d in node.decorator_list)
    )
    assert [place for place, text in functions if _NOT_A_VERB.match(text)] == []


def test_raises_entries_begin_with_if(documented: list[tuple[str, ast.AST, str]]) -> None:
    entries = (
        (place, entry)
        for place, _, text in documented
        for section in re.findall(r"^Raises:\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
        for entry in re.findall(r"^    \w+: (.*)", section, re.MULTILINE)
    )
    assert [f"{place}: {entry}" for place, entry in entries if not entry.startswith(("If ", "See "))] == []

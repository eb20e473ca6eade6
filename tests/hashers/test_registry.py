"""The registry of methods, and what reads it: classes, pages and the index of the docs."""

import re

import pytest

from mcmfh_lightning import hashers
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.hashers import Hasher, get_method, list_methods

NOT_METHODS = {"EndToEnd", "HashTowers", "Hasher", "Towers"}


def test_every_exported_hasher_is_registered_once():
    exported = {name for name in hashers.__all__ if isinstance(getattr(hashers, name), type)}
    exported = {name for name in exported if issubclass(getattr(hashers, name), Hasher)}
    assert sorted(method.hasher.__name__ for method in list_methods()) == sorted(exported - NOT_METHODS)


def test_a_method_is_found_by_its_name():
    assert [get_method(method.name) for method in list_methods()] == list(list_methods())
    with pytest.raises(ConfigError, match=r"^unknown method 'dbh'; did you mean 'ddbh'\?$"):
        get_method("dbh")
    with pytest.raises(ConfigError, match="unknown method 'x'; choose one of mcmfh, two_tower, ucmfh, dscph, ddbh,"):
        get_method("x")


def test_entries_are_true_of_their_classes(make_any):
    hasher = make_any()
    (method,) = (method for method in list_methods() if method.hasher is type(hasher))
    assert hasher.automatic_optimization is method.by_gradients
    assert ("num_bits" in hasher.architecture) is method.hashes
    assert ("supervision" in hasher.hparams) is (method.learns_from == "labels or pairs")
    assert hasher.supervision == method.learns_from.split(" ")[0]


def test_the_index_of_the_docs_lists_the_methods(repository):
    folder = repository / "docs" / "reference" / "methods"
    rows = [
        f"| [{one.title}]({one.name}.md) | `{one.hasher.__name__}` | {one.learns_from} | {one.codes_see} |"
        for one in list_methods()
    ]
    table = re.search(r"<!-- methods.*?-->\n(.*)<!-- /methods -->", (folder / "index.md").read_text(), re.DOTALL)[1]
    assert table.splitlines() == ["| method | class | trained on | codes see |", "|---|---|---|---|", *rows]
    assert {page.stem for page in folder.glob("*.md")} == {"index", *(method.name for method in list_methods())}

"""Fixtures of archives that another process has made: for tests where torch is not installed.

`test_serve_environment` runs tests of search and service so. Its process builds the archives by the fixtures of
``making.py``; the variable says where they are, as JSON.
"""

import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import mcmfh_lightning
from mcmfh_lightning.archive import Archive
from mcmfh_lightning.portable.description import Description

from .without_torch import HEAVY

VARIABLE = "MCMFH_TEST_ARCHIVES"
PHANTOM, FILMS, WORDS = (Path(place) for place in json.loads(os.environ[VARIABLE]))

assert not any(find_spec(name) for name in HEAVY)
assert Path(mcmfh_lightning.__file__).is_relative_to(sys.prefix), "the package is not that of this environment"


@pytest.fixture(scope="session")
def phantom_pairs() -> Path:
    return PHANTOM / "pairs"


@pytest.fixture(scope="session")
def phantom_archive() -> Path:
    return PHANTOM / "archive"


@pytest.fixture(scope="session")
def film_archives() -> Path:
    return FILMS


@pytest.fixture(scope="session")
def word_archives() -> Path:
    return WORDS


@pytest.fixture(scope="session")
def model_flags() -> list[str]:
    """What commands need for queries of ``phantom_archive``."""
    return ["--model", str(PHANTOM / "model")]


@pytest.fixture(scope="session", autouse=True)
def models() -> Iterator[None]:
    """Open each archive with the exported model of its hasher, as a user does by ``model=`` and ``--model``."""
    of = {Description.load(model).weights_sha256: model for model in (PHANTOM / "model", FILMS / "model")}
    init = Archive.__init__

    def init_with_model(archive, location, info, device, kind, synonyms, model):
        init(archive, location, info, device, kind, synonyms, model or of.get(info.weights_sha256))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Archive, "__init__", init_with_model)
        loaded = Archive.open(PHANTOM / "archive").load()  # while it is there, archives that are opened share its model
        yield
        del loaded

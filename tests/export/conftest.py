"""Models that were exported once, for all tests of a module."""

from pathlib import Path

import pytest

from mcmfh_lightning.cli.main import main

from ..encoders.conftest import (  # noqa: F401  # fixtures
    biomedclip,
    image_weights,
    picture,
    random_towers,
    text_tower,
)
from .tiny import build, checkpoint_of, open_clip_model, two_towers, write_spec


@pytest.fixture(scope="session", params=["two towers", "open_clip"])
def exported(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    image_weights: Path,  # noqa: F811  # the fixture
    text_tower: Path,  # noqa: F811  # the fixture
) -> Path:
    """Folder with ``model``, and the ``run`` and ``encoder.yaml`` that it was exported from."""
    folder = tmp_path_factory.mktemp("exported")
    if request.param == "two towers":
        spec = two_towers(image_weights, text_tower)
    else:
        spec = open_clip_model(request.getfixturevalue("biomedclip"))
    write_spec(folder / "encoder.yaml", spec)
    checkpoint_of(folder / "run" / "fit" / "checkpoints" / "best.ckpt", build(spec))
    options = ["--out", str(folder / "model"), "--encoder", str(folder / "encoder.yaml")]
    main(["export", str(folder / "run"), *options])
    return folder

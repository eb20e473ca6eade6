"""Figures as files and as pictures of loggers."""

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib.figure import Figure
from matplotlib.image import imread

from mcmfh_lightning.callbacks import log_figure

pytestmark = pytest.mark.usefixtures("drawn_figures")


@pytest.fixture
def figure():
    made = Figure(figsize=(3, 2), dpi=50)
    made.subplots().plot([0, 1], [1, 0])
    return made


def test_a_figure_is_a_file_with_any_logger(world, figure):
    log_figure(world.trainer(logger=CSVLogger(world.folder)), world.folder / "new" / "curve.png", figure)
    assert imread(world.folder / "new" / "curve.png").shape == (100, 150, 4)


def test_tensorboard_gets_the_same_picture(world, figure):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = TensorBoardLogger(world.folder, name="", version="run")
    log_figure(world.trainer(logger=logger), world.folder / "curve.png", figure)
    logger.experiment.close()
    events = accumulator.EventAccumulator(str(world.folder / "run"))
    events.Reload()
    assert events.Tags()["images"] == ["curve"]
    (picture,) = events.Images("curve")
    (world.folder / "logged.png").write_bytes(picture.encoded_image_string)
    np.testing.assert_array_equal(imread(world.folder / "logged.png"), imread(world.folder / "curve.png"))

"""One folder a run, whatever the logger."""

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from mcmfh_lightning.trainer.run_files import RunFolder, run_folder

LOGGERS = {
    "none": lambda folder: False,
    "csv": lambda folder: CSVLogger(folder, name="", version="fit"),
    "tensorboard": lambda folder: TensorBoardLogger(folder, name="", version="fit"),
    "wandb": lambda folder: WandbLogger(project="p", save_dir=folder, version="abc", offline=True),
}


@pytest.fixture(params=LOGGERS)
def logger(request, tmp_path):
    if request.param in ("tensorboard", "wandb"):
        pytest.importorskip(request.param)
    return request.param, LOGGERS[request.param](tmp_path)


def test_the_loggers_own_folder_and_never_one_that_runs_share(logger, world):
    name, made = logger
    expected = {"none": "", "csv": "fit", "tensorboard": "fit", "wandb": "p/abc"}[name]
    assert run_folder(world.trainer(logger=made)) == world.folder / expected


def test_the_callback_decides_if_there_is_one(logger, world):
    assert run_folder(world.trainer(RunFolder(world.folder / "mine"), logger=logger[1])) == world.folder / "mine"


def test_checkpoints_go_to_the_run_folder_unless_they_name_another(world):
    keepers = [
        ModelCheckpoint(filename="one"),
        ModelCheckpoint(world.folder / "other", filename="two", every_n_train_steps=2),
    ]
    trainer = world.trainer(
        RunFolder(world.folder / "mine"), *keepers, enable_checkpointing=True, max_epochs=1, limit_val_batches=0
    )
    trainer.fit(world.Module(), world.Data(world.splits))
    assert (world.folder / "mine" / "checkpoints" / "one.ckpt").is_file()
    assert (world.folder / "other" / "two.ckpt").is_file()


def test_two_processes_agree_on_the_folder(world):
    """The second one of a logger that names runs by itself would come to another version."""
    seen = world.folder / "seen"
    seen.mkdir()
    (world.folder / "version_0").mkdir()
    trainer = world.trainer(Noting(seen), strategy="ddp_fork", devices=2, logger=CSVLogger(world.folder, name=""))
    trainer.validate(world.Module(), world.Data(world.splits), verbose=False)
    assert {path.read_text() for path in seen.iterdir()} == {str(world.folder / "version_1")}


class Noting(Callback):
    def __init__(self, folder):
        self.folder = folder

    def on_validation_end(self, trainer, pl_module):
        (self.folder / str(trainer.global_rank)).write_text(str(run_folder(trainer)))

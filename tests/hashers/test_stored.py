from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.hashers import MCMFH, DScPH, Hasher, TwoTower
from mcmfh_lightning.hashers.stored import load_hasher, slim_checkpoint


def saved(hasher: Hasher, features: Path, folder: Path) -> Path:
    seed_everything(3, verbose=False)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=2,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(hasher, datamodule=FeatureDataModule(str(features), global_batch_size=64))
    trainer.save_checkpoint(folder / "some.ckpt")
    return folder / "some.ckpt"


@pytest.mark.parametrize(
    "make",
    [
        lambda data: MCMFH(12, data.image_dim, data.text_dim, d_model=16, num_experts=2, fusion="concat"),
        lambda data: TwoTower(16, data.image_dim, data.text_dim, d_model=16),
        lambda data: DScPH(8, data.image_dim, data.text_dim, len(data.label_vocabulary), d_model=16),
    ],
    ids=["MCMFH", "TwoTower", "DScPH"],
)
def test_a_checkpoint_says_all_that_its_hasher_needs(make, features: Path, tmp_path: Path) -> None:
    data = FeatureDataModule(str(features))
    hasher = make(data)
    path = saved(hasher, features, tmp_path)
    slim = tmp_path / "slim.ckpt"
    torch.save(slim_checkpoint(path), slim)
    assert slim.stat().st_size < path.stat().st_size / 2
    batch = next(iter(data.test_dataloader()[0]))
    with torch.inference_mode():
        due = hasher.eval().evaluate(batch)
        for file in (path, slim):
            stored = load_hasher(file)
            assert stored.encoder == {"name": "planted"}
            assert stored.label_vocabulary == tuple(data.label_vocabulary)
            found = stored.hasher.evaluate(batch)
            assert all(torch.equal(found[name], due[name]) for name in ("image", "text", "case"))


def test_files_that_are_not_checkpoints_are_named(features: Path, tmp_path: Path) -> None:
    missing, text, other, foreign = (tmp_path / name for name in ("missing", "text", "other", "foreign"))
    text.write_text("not a checkpoint")
    torch.save({"state_dict": {}}, other)
    path = saved(TwoTower(16, 24, 16, d_model=16), features, tmp_path)
    stored = torch.load(path, weights_only=True)
    stored["mcmfh"]["architecture"]["hasher"] = "EndToEnd(TwoTower)"
    torch.save(stored, foreign)
    for file, message in (
        (missing, "no such"),
        (text, "cannot be read"),
        (other, "not written"),
        (foreign, "EndToEnd"),
    ):
        with pytest.raises(CheckpointError, match=f"{file}.*{message}"):
            load_hasher(file)


class _Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_nothing_is_unpickled(tmp_path: Path, capsys) -> None:
    torch.save({"mcmfh": _Evil(), "state_dict": {}}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="evil"):
        load_hasher(tmp_path / "evil.ckpt")
    assert "unpickled" not in capsys.readouterr().out

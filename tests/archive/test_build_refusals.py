"""What ``mcmfh-archive`` refuses: other hashers, encoders, formats and folders, and damaged files."""

import json
import shutil
from contextlib import suppress

import pytest
import torch

from mcmfh_lightning.archive.model import identity_of
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.encoders.spec import build_encoder
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.hashers import LabelClassifier, RealValued
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY

from .collection import IMAGE_DIM, TEXT_DIM, write_checkpoint, write_features
from .commands import refused, rows

COUNT = 70


@pytest.mark.parametrize("device", ["cuda:77", "no such"])
def test_a_device_that_is_not_there_is_refused(collection, build, tmp_path, capsys, device):
    archive = build()
    shards = ["--features", collection / "features", "--device", device]
    said = refused(capsys, "build", tmp_path / "new", "--checkpoint", collection / "hasher.ckpt", *shards)
    assert f"--device {device} cannot be used here" in said
    assert not (tmp_path / "new").exists()
    for command in (["add", archive, *shards], ["serve", archive, "--device", device, "--port", "0"]):
        assert f"--device {device} cannot be used here" in refused(capsys, *command)
    assert f"--device {device}" in refused(capsys, "search", archive, "--text", "x", "--device", device)


def test_other_hashers_and_encoders_are_refused(collection, build, tmp_path, capsys):
    archive = build()
    add = ["add", archive, "--features", collection / "features", "--checkpoint"]
    bits = refused(capsys, *add, write_checkpoint(tmp_path / "64.ckpt", num_bits=64))
    assert f"{tmp_path / '64.ckpt'} has num_bits 64, {archive} 16" in bits
    weights = refused(capsys, *add, write_checkpoint(tmp_path / "seed.ckpt", seed=1))
    assert "has weights_sha256" in weights
    encoder = refused(capsys, *add, write_checkpoint(tmp_path / "encoder.ckpt", encoder={"name": "another"}))
    assert f"has encoder 'another', {archive} 'planted'" in encoder
    foreign = write_features(tmp_path / "foreign", range(5), encoder={"name": "planted", "precision": "fp16"})
    said = refused(capsys, "add", archive, "--features", foreign)
    assert "holds features of the encoder 'planted' with precision fp16" in said
    assert refused(
        capsys, "build", archive, "--checkpoint", tmp_path / "64.ckpt", "--features", collection / "features"
    ).startswith(f"mcmfh-archive: error: {tmp_path / '64.ckpt'} has num_bits 64")
    said = refused(capsys, "build", tmp_path / "new", "--checkpoint", collection / "hasher.ckpt", "--features", foreign)
    assert "holds features of the encoder" in said
    assert not (tmp_path / "new").exists()
    assert len(rows(archive)) == COUNT


@pytest.mark.parametrize(
    ("hasher", "says"),
    [
        (RealValued(IMAGE_DIM, TEXT_DIM, d_model=8), "RealValued, which ranks by cosine and has no codes"),
        (LabelClassifier(IMAGE_DIM, TEXT_DIM, num_labels=3), "LabelClassifier, which ranks by cosine"),
    ],
)
def test_methods_without_codes_of_their_own_are_refused(collection, tmp_path, capsys, hasher, says):
    checkpoint = write_checkpoint(tmp_path / "other.ckpt", hasher=hasher)
    flags = ["--checkpoint", checkpoint, "--features", collection / "features"]
    assert says in refused(capsys, "build", tmp_path / "archive", *flags)
    assert not (tmp_path / "archive").exists()


def test_wrong_folders_are_refused(collection, build, tmp_path, capsys):
    archive = build()
    assert "nothing to add" in refused(capsys, "add", archive)
    assert "holds mcmfh-pairs, not mcmfh-features" in refused(
        capsys, "add", archive, "--features", collection / "pairs"
    )
    assert "has no pairs in val" in refused(
        capsys, "add", archive, "--features", collection / "features", "--splits", "val"
    )
    assert "has no pair pair 060" in refused(
        capsys,
        "upsert",
        archive,
        "--features",
        collection / "more" / "features",
        "--pairs",
        collection / "pairs",
        "--splits",
        "test",
    ).replace("pair 084", "pair 060")
    assert "holds no archive" in refused(capsys, "info", tmp_path / "none")
    assert "an archive is in a local folder or at s3://" in refused(capsys, "info", "https://example.org/archive")
    assert "was built with keep_relaxed=True, this command has False" in refused(
        capsys,
        "build",
        archive,
        "--checkpoint",
        collection / "hasher.ckpt",
        "--features",
        collection / "features",
        "--without-relaxed",
    )


def test_damaged_features_are_reported_and_nothing_of_them_is_added(collection, build, tmp_path, capsys):
    archive = build("--splits", "test")
    damaged = tmp_path / "damaged"
    shutil.copytree(collection / "features", damaged)
    shard = damaged / "train-000-00000.tar"
    content = bytearray(shard.read_bytes())
    content[content.index(b"NUMPY", content.index(b"image.npy")) + 200] ^= 0xFF
    shard.write_bytes(content)
    assert str(shard) in refused(capsys, "add", archive, "--features", damaged)
    assert len(rows(archive)) == COUNT // 5


def test_archives_of_another_format_or_without_their_files_are_refused(build, capsys):
    archive = build()
    info = json.loads((archive / "archive.json").read_text())
    (archive / "archive.json").write_text(json.dumps(info | {"format_version": 99}))
    assert "format_version 99, this release reads 1, 2 and 3" in refused(capsys, "info", archive)
    (archive / "archive.json").write_text(json.dumps(info | {"surprise": 1}))
    assert "an entry is missing or unknown" in refused(capsys, "info", archive)
    (archive / "archive.json").write_text("{")
    assert "archive.json is damaged" in refused(capsys, "info", archive)
    for name in info.keys() - {"format_version"}:
        (archive / "archive.json").write_text(json.dumps(info | {name: [3]}))
        for command in (["info", archive], ["search", archive, "--id", "pair 001"]):
            assert "copy the archive again" in refused(capsys, *command)


def test_a_hasher_that_is_not_the_archives_is_found(collection, build, tmp_path, capsys):
    archive = build()
    write_checkpoint(archive / "hasher.ckpt", seed=5)
    said = refused(capsys, "add", archive, "--features", collection / "more" / "features")
    assert "weights_sha256" in said
    with pytest.raises(SystemExit):
        main(["verify", str(archive)])
    assert "hasher.ckpt is the hasher of archive.json" in capsys.readouterr().out


def _without_label_vocabulary(stored):
    del stored[CHECKPOINT_KEY]["label_vocabulary"]


@pytest.mark.parametrize(
    "change",
    [
        _without_label_vocabulary,
        lambda stored: stored[CHECKPOINT_KEY].update(architecture=None),
        lambda stored: stored[CHECKPOINT_KEY]["architecture"].update(option_of_tomorrow=1),
        lambda stored: stored["state_dict"].popitem(),
        lambda stored: stored.update(state_dict=3),
    ],
)
def test_a_hasher_of_another_release_is_reported_in_one_line(collection, build, capsys, change):
    archive = build()
    stored = torch.load(archive / "hasher.ckpt", weights_only=True)
    change(stored)
    torch.save(stored, archive / "hasher.ckpt")
    info = json.loads((archive / "archive.json").read_text())
    with suppress(TypeError, AttributeError):  # as one that was written together with it
        info["weights_sha256"] = identity_of(archive / "hasher.ckpt").weights_sha256
    (archive / "archive.json").write_text(json.dumps(info))
    said = refused(capsys, "add", archive, "--features", collection / "more" / "features")
    assert f"{archive}/hasher.ckpt does not fit this release" in said


def test_an_encoder_of_another_package_is_never_built():
    for path in ("os.system", "mcmfh_lightning.encoders.base.Encoder", "mcmfh_lightning.encoders.Encoder", 3, None):
        with pytest.raises(ConfigError, match="is none of mcmfh_lightning"):
            build_encoder({"class_path": path, "init_args": {"command": "true"}}, {})
    for arguments in ({"surprise": 1}, {"image_weights": 3, "text_model": 3}, 3):
        with pytest.raises(ConfigError, match="cannot be built"):
            build_encoder({"class_path": "mcmfh_lightning.encoders.TwoTowerEncoder", "init_args": arguments}, {})


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("mcmfh_lightning.cli.archive.find_spec", lambda name: None if name == "lancedb" else True)
    assert "lancedb missing: pip install 'mcmfh-lightning[archive]'" in refused(capsys, "info", "archive")

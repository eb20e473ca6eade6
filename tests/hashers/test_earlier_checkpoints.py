"""Checkpoints of the version before, which is commit e781032: they load, and give the same codes.

``tests/data/earlier_checkpoints.tgz`` holds a checkpoint of every method, trained from Python on 64 planted pairs, one
of DDBH from the command line (``ddbh_cli``), and ``codes.pt``: a batch with the codes that e781032 made of it.
"""

import tarfile

import pytest
import torch

from mcmfh_lightning.cli import train_parser
from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.hashers import DDBH, TwoTower, get_method, list_methods
from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.searches import SEARCHES
from mcmfh_lightning.trainer.checkpoint_io import weights_sha256

LATER = {"dchmt", "tripah"}
"""Methods that the version before did not have."""
FILES = [*(method.name for method in list_methods() if method.name not in LATER), "ddbh_cli"]


@pytest.fixture(scope="module")
def earlier(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(repository / "tests" / "data" / "earlier_checkpoints.tgz") as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", FILES)
def test_they_give_the_same_codes(earlier, name):
    stored = torch.load(earlier / "codes.pt", weights_only=True)
    path = earlier / f"{name}.ckpt"
    method = get_method(name.removesuffix("_cli"))
    for hasher in (method.hasher.load_from_checkpoint(path, weights_only=True), load_hasher(path).hasher):
        with torch.no_grad():
            found = hasher.eval().evaluate(stored["batch"])
        for kind, codes in stored["codes"][name].items():
            torch.testing.assert_close(found[kind], codes, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["mcmfh", "two_tower", "ddbh", "ddbh_cli"])
def test_renamed_arguments_keep_their_values(earlier, name):
    """They had ``quantisation_weight=0.2``, and 0.1 is the default."""
    hasher = get_method(name.removesuffix("_cli")).hasher.load_from_checkpoint(earlier / f"{name}.ckpt")
    assert hasher.hparams["quantization_weight"] == 0.2
    assert (hasher if name.startswith("ddbh") else hasher.loss).quantization_weight == 0.2


def test_a_resumed_run_is_refused_another_value_of_a_renamed_argument(earlier, make_data, make_trainer):
    sizes = {"num_bits": 4, "image_dim": 6, "text_dim": 5, "d_model": 4}
    model, data = DDBH(**sizes, quantization_weight=0.3), make_data()
    data.encoder, data.label_vocabulary = None, None
    with pytest.raises(CheckpointError, match=r"quantization_weight 0\.2, this one 0\.3"):
        make_trainer(max_epochs=3).fit(model, data, ckpt_path=earlier / "ddbh.ckpt", weights_only=True)


@pytest.mark.parametrize("hasher", [DDBH, TwoTower, get_method("mcmfh").hasher])
def test_former_names_are_accepted_with_a_warning(hasher):
    with pytest.warns(FutureWarning, match="quantisation_weight is now quantization_weight"):
        model = hasher(8, 10, 6, d_model=8, quantisation_weight=0.7)
    assert model.hparams["quantization_weight"] == 0.7


def test_queries_have_the_codes_of_items_as_they_had(earlier):
    stored = torch.load(earlier / "codes.pt", weights_only=True)
    batch, codes = stored["batch"], stored["codes"]
    for name in ("mcmfh", "two_tower", "ddbh", "dscph"):
        hasher = load_hasher(earlier / f"{name}.ckpt").hasher
        assert "query_heads" not in hasher.architecture
        with torch.no_grad():
            found = {search: hasher.encode_query(search, batch[one.query]) for search, one in SEARCHES.items()}
        for search, code in found.items():
            torch.testing.assert_close(code, codes[name][SEARCHES[search].query], rtol=0, atol=1e-6)


def test_a_model_of_the_present_default_says_how_to_test_an_earlier_checkpoint(earlier, make_data, make_trainer):
    architecture = torch.load(earlier / "mcmfh.ckpt", weights_only=True)["mcmfh"]["architecture"]
    sizes = {name: value for name, value in architecture.items() if name != "hasher"}
    model, data, trainer = get_method("mcmfh").hasher(**sizes), make_data(), make_trainer()
    data.encoder = None
    with pytest.raises(CheckpointError, match=r"pass query_heads=False \(--model\.query-heads false\) or train again"):
        trainer.test(model, data, ckpt_path=earlier / "mcmfh.ckpt", weights_only=True)


@pytest.mark.parametrize("name", ["mcmfh", "two_tower"])
def test_a_run_of_an_earlier_objective_is_not_resumed(earlier, name, make_data, make_trainer):
    model, data = get_method(name).hasher.load_from_checkpoint(earlier / f"{name}.ckpt"), make_data()
    data.encoder, data.label_vocabulary = None, None
    with pytest.raises(CheckpointError, match="begun by an earlier version, whose objective was another one"):
        make_trainer(max_epochs=3).fit(model, data, ckpt_path=earlier / f"{name}.ckpt", weights_only=True)


def test_an_earlier_model_keeps_the_hash_of_its_weights(earlier):
    """By it, results and archives know whose they are."""
    for name in ("mcmfh", "two_tower", "ddbh", "dscph"):
        stored = torch.load(earlier / f"{name}.ckpt", weights_only=True)
        hasher = load_hasher(earlier / f"{name}.ckpt").hasher
        before = weights_sha256(stored["mcmfh"]["architecture"], stored["state_dict"])
        assert weights_sha256(hasher.architecture, hasher.state_dict()) == before


def test_a_config_of_an_earlier_run_is_read():
    read = train_parser.get_loader("yaml")
    with pytest.warns(UserWarning, match="consistency_weight is no longer an option and is left out"):
        assert read("model: {consistency_weight: 0.5, num_bits: 8}") == {"model": {"num_bits": 8}}

"""Checkpoints of the version before, which is commit e781032: they load, and give the same codes.

``tests/data/earlier_checkpoints.tgz`` holds a checkpoint of every method, trained from Python on 64 planted pairs, one
of DDBH from the command line (``ddbh_cli``), and ``codes.pt``: a batch with the codes that e781032 made of it.
"""

import tarfile

import pytest
import torch

from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.hashers import DDBH, TwoTower, get_method, list_methods
from mcmfh_lightning.hashers.stored import load_hasher

FILES = [*(method.name for method in list_methods()), "ddbh_cli"]


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

import importlib
import pickle
import sys

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.datamodules.streams import Parcel

TYPES = (torch.float32, torch.bool, torch.uint8, torch.int64, torch.float16)
SHAPES = st.lists(st.integers(0, 5), max_size=3)


@given(tensors=st.lists(st.tuples(st.sampled_from(TYPES), SHAPES), max_size=6), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_batch_arrives_as_it_was(tensors, seed):
    torch.manual_seed(seed)
    batch = {str(i): (torch.randn(shape) * 9).to(dtype) for i, (dtype, shape) in enumerate(tensors)}
    nested = batch | {"text": {"ids": torch.arange(3), "words": ["a", "b"]}}
    number, arrived = pickle.loads(pickle.dumps(Parcel(7, nested)))
    assert number == 7
    text = arrived.pop("text")
    assert text["words"] == ["a", "b"]
    assert torch.equal(text["ids"], torch.arange(3))
    assert type(arrived) is dict
    assert list(arrived) == list(batch)
    for name, tensor in batch.items():
        assert arrived[name].dtype == tensor.dtype
        assert arrived[name].shape == tensor.shape
        assert torch.equal(arrived[name], tensor)


def test_a_batch_of_a_worker_comes_in_one_piece(write_features, tmp_path):
    data = FeatureDataModule(str(write_features(tmp_path, {"train": 40})), 16)
    here = list(data.train_dataloader())
    data.num_workers = 1
    sent = list(data.train_dataloader())
    assert len({tensor.untyped_storage().data_ptr() for tensor in sent[0].values()}) == 1
    torch.testing.assert_close(sent, here, rtol=0, atol=0)
    # Written to like any other batch, without a word to the others.
    sent[0]["image"].zero_()
    np.testing.assert_array_equal(sent[0]["labels"], here[0]["labels"])


def test_a_worker_that_is_spawned_does_without_lightning(monkeypatch):
    """It takes seconds to import, in each worker."""
    heavy = {"lightning", "pandas"}
    for name in [name for name in sys.modules if name.partition(".")[0] in {*heavy, "mcmfh_lightning"}]:
        monkeypatch.delitem(sys.modules, name)
    importlib.import_module("mcmfh_lightning.datamodules.streams")
    assert not heavy & sys.modules.keys()

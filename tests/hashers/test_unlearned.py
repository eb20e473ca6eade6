"""No loss trains the head of a search of weight 0 to find anything: its queries have the codes of items."""

import warnings
from functools import partial

import pytest
import torch

from mcmfh_lightning.hashers import EndToEnd, TwoTower
from mcmfh_lightning.hashers.registry import get_method
from mcmfh_lightning.hashers.stored import load_hasher, slim_checkpoint
from mcmfh_lightning.searches import SEARCHES
from tests.hashers.conftest import small
from tests.hashers.end_to_end_pairs import Tiny


@pytest.fixture(params=["mcmfh", "two_tower"])
def make(request):
    """Maker of each method whose objective weighs the searches, with query heads."""
    return partial(small, request.param, query_heads=True)


@pytest.fixture
def tested(make_data, make_trainer, tmp_path):
    """Weights that one model was trained to, in another one."""

    def test(trained, other):
        trainer, data = make_trainer(max_steps=1, accelerator="cpu"), make_data()
        trainer.fit(trained, data)
        trainer.save_checkpoint(tmp_path / "trained.ckpt")
        make_trainer(accelerator="cpu").test(other, data, ckpt_path=tmp_path / "trained.ckpt", weights_only=True)
        return tmp_path / "trained.ckpt"

    return test


def check_codes(model, batch, unlearned):
    with torch.inference_mode():
        output = model.eval().evaluate(batch)
        for search, (query, _) in SEARCHES.items():
            code = output["queries"][search]
            assert torch.equal(code, output[query]) == (search in unlearned), search
            assert torch.equal(model.encode_query(search, batch[query]), code)


@pytest.mark.parametrize("unlearned", [(), ("t2i",), ("i2i", "t2case")])
def test_queries_of_such_a_search_have_the_codes_of_items(make, make_batch, unlearned):
    model, batch = make(**{f"{search}_weight": 0.0 for search in unlearned}), make_batch(32)
    check_codes(model, batch, unlearned)


@pytest.mark.filterwarnings("ignore:t2i is not learned")
def test_a_test_goes_by_the_objective_of_the_weights_and_not_by_its_own(make, make_batch, tested):
    other = make()
    path = tested(make(t2i_weight=0.0), other)
    check_codes(other, make_batch(32, seed=9), ("t2i",))
    stored = torch.load(path, weights_only=True)
    del stored["mcmfh"]["unlearned"]  # as of an earlier version, which had the weights of the objective alone
    torch.save(stored, path)
    torch.save(slim_checkpoint(path), path.with_name("slim.ckpt"))
    for name in ("trained.ckpt", "slim.ckpt"):  # the latter is what an archive keeps
        check_codes(load_hasher(path.with_name(name)).hasher, make_batch(32, seed=9), ("t2i",))
    other = make(t2i_weight=0.0)
    tested(make(), other)
    check_codes(other, make_batch(32, seed=9), ())


def test_a_fit_says_which_search_is_not_learned(make, make_data, make_trainer):
    with pytest.warns(UserWarning, match="t2i is not learned: t2i_weight is 0, and its queries have the codes of"):
        make_trainer(max_steps=1).fit(make(t2i_weight=0.0), make_data())
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*is not learned")
        make_trainer(max_steps=1).fit(make(), make_data())


@pytest.mark.filterwarnings("ignore:t2i is not learned")
def test_processes_that_train_together_wait_for_no_gradient_that_never_comes(make, make_data, make_trainer):
    model = make(t2i_weight=0.0)
    trainer = make_trainer(max_steps=2, strategy="ddp_fork", devices=2, use_distributed_sampler=False)
    trainer.fit(model, make_data(num_batches=3))
    assert trainer.state.finished


def test_a_hasher_within_an_end_to_end_model_is_asked():
    made = partial(TwoTower, num_bits=8, d_model=16, query_heads=True, t2i_weight=0.0)
    model = EndToEnd(made, Tiny(), [])
    assert model.unlearned == ("t2i",)
    model.unlearned = ("i2i",)
    assert model.hasher.unlearned == ("i2i",)


def test_methods_without_weights_of_searches_learn_all(make_batch):
    for name in ("ddbh", "dscph", "dchmt"):
        assert get_method(name).hasher.unlearned == ()
        check_codes(small(name, query_heads=True), make_batch(32), ())

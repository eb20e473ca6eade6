from copy import deepcopy

import pytest
import torch

from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.losses import average_precision_loss, bit_balance, find_positives, info_nce, quantization
from mcmfh_lightning.searches import SEARCHES
from tests.hashers.conftest import flat
from tests.hashers.searches_by_hand import average_precision_of_searches, info_nce_of_searches
from tests.layers.plain_fusion import PlainFusion

TERMS = {"hashing", "quantisation", "bit_balance", "fusion", "importance", "load_balance", "router_z"}
VARIANTS = [
    {},
    {"fusion": "concat"},
    {"num_experts": 16, "top_k": 1},
    {"num_experts": 4, "top_k": 3},
    {"vote": "majority", "eval_votes": "none"},
    {"hashing_loss": "average_precision"},
    {"hashing_loss": "both", "image_dropout": 0.3, "text_dropout": 0.3},
    {"supervision": "pairs"},
    {"query_heads": False},
    {"i2i_weight": 0.0, "t2t_weight": 0.0},
]


def at_step(monkeypatch, step):
    monkeypatch.setattr(MCMFH, "global_step", step)


def train(model, batches, steps, lr=5e-3, watch=lambda: None):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for step in range(steps):
        loss = sum(model.objective(batches[step % len(batches)]).terms.values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        watch()
        optimizer.step()


@pytest.mark.parametrize("options", VARIANTS)
def test_every_parameter_gets_a_gradient_every_step(make_mcmfh, make_batch, options):
    model = make_mcmfh(**options)

    def all_have_one():
        assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []

    train(model, [make_batch(rows=4, seed=seed) for seed in range(3)], steps=3, watch=all_have_one)


def test_training_leaves_the_voting_network_as_it_was(make_mcmfh, make_batch):
    model = make_mcmfh()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, [make_batch()], steps=3)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    frozen = {name for name in before if name.startswith("voting.")}
    assert frozen == {"voting.weight_in", "voting.weight_out", "voting.eval_masks"}
    assert changed.isdisjoint(frozen)
    assert {"image_projection.linear.weight", "transformer.placeholder"} <= changed


@pytest.mark.parametrize("options", [{}, {"query_heads": False}], ids=["query heads", "one code"])
def test_terms_are_the_losses_between_the_views(make_mcmfh, make_batch, options):
    # Without dropout the training pass and evaluate see the same.
    model, batch = make_mcmfh(dropout_rate=0.0, temperature=0.3, fusion_weight=0.2, **options), make_batch()
    terms = model.objective(batch).terms
    assert set(terms) == TERMS
    codes, relations = flat(model.evaluate(batch)), find_positives(batch["labels"], batch["group"], "labels")
    items = [codes[name] for name in ("image", "text", "case")]
    queries = [codes.get(f"query/{name}", codes[search.query]) for name, search in SEARCHES.items()]

    def mean(term):
        return (sum(map(term, items)) / 3 + sum(map(term, queries)) / 6) / 2

    (fused_image, fused_text), _ = model._fuse(model._tokens(batch["image"], batch["text"]), (True, True))
    losses = info_nce_of_searches(codes, relations, 0.3)
    expected = {
        "hashing": torch.stack(list(losses.values())).mean(),
        "fusion": 0.2 * info_nce(fused_image, fused_text, relations.positives, 0.3, relations.ignored),
        "quantisation": 0.1 * mean(quantization),
        "bit_balance": 0.1 * mean(bit_balance),
    }
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fusion", ["tokens", "concat"])
@pytest.mark.parametrize(("num_layers", "top_k"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_what_views_share_changes_no_loss_gradient_or_code(make_mcmfh, make_batch, fusion, num_layers, top_k):
    model = make_mcmfh(fusion=fusion, num_layers=num_layers, top_k=top_k, hashing_loss="both").double()
    plain, batch = deepcopy(model), make_batch(dtype=torch.float64)
    plain.transformer = PlainFusion(plain.transformer)
    outcomes = []
    for each in (model, plain):
        terms, statistics = each.objective(batch)
        sum(terms.values()).backward()
        gradients = [parameter.grad for parameter in each.parameters()]
        outcomes.append((terms, statistics, gradients, flat(each.evaluate(batch))))
    torch.testing.assert_close(*outcomes, atol=1e-9, rtol=1e-9)


def test_gating_terms_look_at_real_tokens_only(make_mcmfh, make_batch):
    model, batch = make_mcmfh(num_layers=1, router_z_weight=1.0), make_batch()
    router = model.transformer.blocks[0].experts.router
    with torch.no_grad():
        router.weight.zero_()  # uniform: logsumexp is log 4 for every token
    terms = model.objective(batch).terms
    assert terms["router_z"].item() == pytest.approx(torch.tensor(4.0).log().item() ** 2, rel=1e-5)
    assert terms["load_balance"].item() == pytest.approx(0.01 * 1.0, rel=1e-5)
    assert terms["importance"].item() == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("name", ["fusion", "quantization", "bit_balance", "importance", "load_balance", "router_z"])
def test_each_weight_scales_its_own_term(make_mcmfh, make_batch, name):
    batch = make_batch()
    plain = make_mcmfh(**{f"{name}_weight": 1.0}).objective(batch).terms
    scaled = make_mcmfh(**{f"{name}_weight": 3.0}).objective(batch).terms
    for term in TERMS:
        weighted = "quantisation" if name == "quantization" else name  # a name on disk keeps its spelling
        torch.testing.assert_close(scaled[term], plain[term] * (3.0 if term == weighted else 1.0), msg=term)


def test_hashing_loss_average_precision_minimizes_that_of_all_searches(make_mcmfh, make_batch):
    model, batch = make_mcmfh(hashing_loss="average_precision", dropout_rate=0.0), make_batch()
    codes, relations = flat(model.evaluate(batch)), find_positives(batch["labels"], batch["group"], "labels")
    expected = torch.stack(list(average_precision_of_searches(codes, relations).values())).mean()
    torch.testing.assert_close(model.objective(batch).terms["hashing"], expected, atol=1e-5, rtol=1e-4)


def test_supervision_pairs_does_not_read_labels(make_mcmfh, make_batch):
    batch = make_batch()
    unlabeled = batch | {"labels": torch.zeros_like(batch["labels"])}
    for supervision, reads in (("pairs", False), ("labels", True)):
        model = make_mcmfh(supervision=supervision)
        terms, without = model.objective(batch).terms, model.objective(unlabeled).terms
        assert torch.equal(terms["hashing"], without["hashing"]) != reads


def test_the_votes_of_training_depend_on_seed_step_and_sample_alone(make_mcmfh, make_batch, monkeypatch):
    batch = make_batch()

    def loss(step, seed=0, batch=batch):
        at_step(monkeypatch, step)
        model = make_mcmfh(seed=seed)
        model.voting.load_state_dict(make_mcmfh(seed=0).voting.state_dict())  # seeds differ in the masks alone
        torch.manual_seed(torch.seed())  # no global generator may matter
        return model.objective(batch).terms["hashing"].item()

    assert loss(3) == loss(3)
    assert loss(3) != loss(4)
    assert loss(3) != loss(3, seed=1)
    assert loss(3) != loss(3, batch=batch | {"index": batch["index"] + 1})
    backwards = {name: value.flip(0) for name, value in batch.items()}
    assert loss(3, batch=backwards) == pytest.approx(loss(3), rel=1e-5)


def test_options_reach_the_layers(make_mcmfh):
    model = make_mcmfh(
        d_model=12,
        num_layers=3,
        num_heads=3,
        num_experts=5,
        top_k=2,
        ffn_multiplier=4,
        votes=6,
        dropout_rate=0.3,
        vote="majority",
        num_bits=24,
    )
    assert len(model.transformer.blocks) == 3
    assert model.transformer.blocks[0].num_heads == 3
    assert model.transformer.blocks[0].experts.weight_in.shape == (5, 12, 48)
    assert model.transformer.blocks[0].experts.top_k == 2
    assert model.voting.eval_masks.shape == (6, 24)
    assert model.voting.keep == pytest.approx(0.7)
    assert model.voting.vote == "majority"
    assert model.image_head.code.out_features == model.text_head.code.out_features == 24
    assert make_mcmfh(eval_votes="none").voting.eval_masks is None
    assert make_mcmfh(fusion="concat").transformer.num_tokens == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "sum"}, "'tokens', 'concat'"),
        ({"supervision": "none"}, "'pairs', 'labels'"),
        ({"hashing_loss": "triplet"}, "'info_nce', 'average_precision'"),
        ({"temperature": 0.0}, r"temperature=0\.0"),
    ],
)
def test_wrong_arguments_are_refused(make_mcmfh, options, message):
    with pytest.raises(ValueError, match=message):
        make_mcmfh(**options)


def busiest_share_after_training(make_mcmfh, make_batch, **weights):
    """Collapse the router, train, and return the share of tokens that go to the busiest expert."""
    # One code for all searches: the heads of several pull the tokens, and with them the router, apart by themselves.
    model = make_mcmfh(num_layers=1, query_heads=False, **weights)
    experts = model.transformer.blocks[0].experts
    norm = model.transformer.blocks[0].experts_norm
    with torch.no_grad():
        # Every token has one large entry in common, and the router sends that to expert 0.
        norm.weight[0], norm.bias[0] = 0.0, 3.0
        experts.router.weight.zero_()
        experts.router.weight[0, 0] = 1.0
    batches = [make_batch(rows=24, seed=seed) for seed in range(4)]
    assert count_tokens(model, batches[0])[..., 1:].sum() == 0
    train(model, batches, steps=80, lr=1e-2)
    counts = count_tokens(model, make_batch(rows=96, seed=9)).sum(dim=(0, 1)).double()
    return (counts.max() / counts.sum()).item()


def count_tokens(model, batch):
    with torch.inference_mode():
        return model.evaluate(batch)["routing"]


def test_collapsed_routers_recover_under_the_gating_loss_and_not_without(make_mcmfh, make_batch):
    on = {"importance_weight": 0.1, "load_balance_weight": 0.1, "router_z_weight": 0.001}
    assert busiest_share_after_training(make_mcmfh, make_batch, **on) < 0.5
    off = dict.fromkeys(on, 0.0)
    assert busiest_share_after_training(make_mcmfh, make_batch, **off) > 0.9


@pytest.mark.parametrize(
    ("options", "steps"),  # untrained, the lead over chance is 0.1 at most
    [
        ({}, 60),
        ({"query_heads": False}, 20),
        ({"fusion": "concat"}, 35),
        ({"hashing_loss": "average_precision"}, 60),
        ({"hashing_loss": "both", "image_dropout": 0.3, "text_dropout": 0.3}, 60),
    ],
)
def test_training_teaches_every_search(make_mcmfh, make_batch, options, steps):
    model, unseen = make_mcmfh(**options), make_batch(rows=100, seed=1000)
    train(model, [make_batch(rows=32, seed=seed) for seed in range(8)], steps=steps)
    with torch.inference_mode():
        output = flat(model.evaluate(unseen))
    related, _ = find_positives(unseen["labels"], unseen["group"], "labels")
    chance = related.double().mean().item()
    codes = {name: torch.where(value >= 0, 1.0, -1.0) for name, value in output.items() if name != "routing"}
    itself = torch.eye(len(related), dtype=torch.bool)
    for search, (query, target) in SEARCHES.items():
        queries = codes.get(f"query/{search}", codes[query])
        found = (related & ~itself, itself) if query == target else (related, None)
        assert 1 - average_precision_loss(queries, codes[target], *found).item() > chance + 0.3, search

"""Losses with published settings against the published formulas, row by row in float64, at batch sizes 2 to 256.

The formulas are written down here from the papers and repositories and share no code with the package. Gradients are
compared for every parameter of the model.
"""

from math import ceil, log, sqrt
from pathlib import Path

import pytest
import torch
import yaml

from mcmfh_lightning.hashers import DCHMT, DDBH, UCMFH, DScPH, TriPAH
from mcmfh_lightning.lightning_configs import find_config
from mcmfh_lightning.losses.supervised import _mean_of_highest
from mcmfh_lightning.randomness import keyed_mask

SIZES = [2, 3, 7, 11, 16, 99, 256]
CLASSES, IMAGE_DIM, TEXT_DIM = 5, 10, 6


def published(hasher, name, **sizes):
    """The model of a published config, small, in float64 and without dropout."""
    settings = yaml.safe_load(Path(find_config(f"model/{name}_published.yaml")).read_text())["init_args"]
    settings = {key: value for key, value in settings.items() if key not in ("optimizer", "lr_scheduler")}
    torch.manual_seed(0)
    return hasher(**settings | {"image_dim": IMAGE_DIM, "text_dim": TEXT_DIM, "d_model": 8} | sizes).double().eval()


def batch_of(rows):
    """Several labels a row, some rows without any; the second and third row are of one group."""
    generator = torch.Generator().manual_seed(rows)
    dense = torch.rand(rows, CLASSES, generator=generator) < 0.25
    dense[0], dense[1] = torch.arange(CLASSES) == 0, torch.arange(CLASSES) == 1  # dissimilar, so that no loss is empty
    weights = torch.tensor([128, 64, 32, 16, 8], dtype=torch.uint8)
    return dense.tolist(), {
        "image": torch.randn(rows, IMAGE_DIM, generator=generator, dtype=torch.float64),
        "text": torch.randn(rows, TEXT_DIM, generator=generator, dtype=torch.float64),
        "labels": (dense * weights).sum(1, keepdim=True, dtype=torch.uint8),
        "group": torch.tensor([0, 1, 1, *range(3, rows)][:rows]),
        "index": torch.arange(rows),
    }


def relations(labels, group):
    """Similar and dissimilar columns of each row; between rows without labels and those of other groups neither."""
    rows, group = range(len(labels)), group.tolist()
    shared = [[group[i] == group[j] or any(map(min, labels[i], labels[j])) for j in rows] for i in rows]
    known = [any(row) for row in labels]
    similar = [[j for j in rows if shared[i][j]] for i in rows]
    return similar, [[j for j in rows if not shared[i][j] and known[i] and known[j]] for i in rows]


def agree(model, found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    ours, theirs = (torch.autograd.grad(loss, weights, allow_unused=True) for loss in (found, expected))
    assert any(gradient is not None and gradient.any() for gradient in theirs)
    for our_gradient, their_gradient in zip(ours, theirs, strict=True):
        assert (our_gradient is None) == (their_gradient is None)
        if our_gradient is not None:
            torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-9, atol=1e-12)


def mean(values):
    return sum(values) / len(values)


def softplus(x):
    return x.clamp(min=0) + torch.log1p((-x.abs()).exp())


def boundary_points(first, second, similar, dissimilar):
    bits = first.shape[1]
    bound, easy = bits / 4, log(99) * 6 / bits
    rows = []
    for code, mine, others in zip(first, similar, dissimilar, strict=True):
        if not mine or not others:
            continue
        near, far = second[mine] @ code, second[others] @ code
        near_mean = min(max(mean(near.tolist()), 0.0), bound)
        far_mean = min(max(mean(far.tolist()), 0.0), bound)
        highest = mean(sorted(far.tolist())[int(0.9 * len(far)) :])
        lowest = mean(sorted(near.tolist(), reverse=True)[int(0.9 * len(near)) :])
        near_point = near_mean - (bound - near_mean) / bound * abs(near_mean - highest)
        far_point = far_mean - far_mean / bound * abs(far_mean - lowest)
        near_slope = torch.tensor([easy if x > near_point else 2 * easy for x in near.tolist()], dtype=torch.float64)
        far_slope = torch.tensor([easy if x < far_point else 2 * easy for x in far.tolist()], dtype=torch.float64)
        attraction, repulsion = softplus(-near_slope * (near - near_point)), softplus(far_slope * (far - far_point))
        rows.append(attraction.sum() / len(mine) + repulsion.sum() / len(others))
    return mean(rows) if rows else first.sum() * 0


@pytest.mark.parametrize("rows", SIZES)
def test_ddbh(rows):
    model = published(DDBH, "ddbh")
    labels, batch = batch_of(rows)
    similar, dissimilar = relations(labels, batch["group"])
    image, text = model.encode(batch["image"], batch["text"])
    expected = sum(
        boundary_points(*pair, similar, dissimilar) for pair in ((image, image), (text, text), (image, text))
    )
    for codes in (image, text):
        error = [len(mine) * ((code - code.sign()) ** 2).sum() for code, mine in zip(codes, similar, strict=True)]
        expected = expected + 0.1 * sum(error) / (rows * 16)
    agree(model, sum(model.objective(batch).terms.values()), expected)


def test_a_tenth_is_what_the_authors_slice_off():
    """Rounding 0.9 n in floating point or in integers takes the same number of n values in descending order."""
    assert all(n - 9 * n // 10 == n - int(0.9 * n) == ceil(n / 10) for n in range(1, 10_001))
    numbers = torch.arange(1, 1001)
    values = -torch.arange(1000.0).double().expand(1000, -1)
    found = _mean_of_highest(values, torch.arange(1000) < numbers[:, None])
    assert found.tolist() == [-mean(range(n - int(0.9 * n))) for n in numbers.tolist()]


def class_proxies(codes, proxies, labels):
    """With the constants of the authors' collection, over rows that have a label."""
    hits, missed, false = 2.0, 0.0, 0.0
    for code, row in zip(codes, labels, strict=True):
        if not any(row):
            continue
        for proxy, is_mine in zip(proxies, row, strict=True):
            cosine = code @ proxy / (code.norm() * proxy.norm())
            if is_mine:
                hits = hits + 2 * cosine.clamp(min=0)
                missed = missed + (1 - cosine) * (1.3 * (1 - cosine)).exp().detach()
            elif cosine > 0.9:
                false = false + (cosine - 0.7) * (1.3 * (cosine - 1)).exp().detach()
    return 1 - hits / (hits + missed + false)


def bit_variance(codes, vectors):
    """Of codes that are reflected at each vector, the last one first."""
    for vector in reversed(list(vectors)):
        codes = codes - 2 * torch.outer(codes @ vector, vector) / (vector @ vector)
    chances = [1 / (1 + (-code / code.norm()).exp()) for code in codes]
    return mean([mean(chance * (1 - chance)) for chance in chances])


@pytest.mark.parametrize("rows", SIZES)
def test_dscph(rows):
    model = published(DScPH, "dscph", num_labels=CLASSES)
    labels, batch = batch_of(rows)
    with torch.no_grad():  # a code that coincides with the proxy of another class: negatives cost only above 0.9
        model.proxies[1] = model.encode(batch["image"], None).image[0]
    expected = 0
    for codes in model.encode(batch["image"], batch["text"]):
        expected = expected + class_proxies(codes, model.proxies, labels)
        expected = expected + bit_variance(codes, model.rotation.vectors)
    agree(model, sum(model.objective(batch).terms.values()), expected)


def test_dscph_leaves_out_rows_without_labels():
    """They are not negatives of every class; a batch of them alone has a proxy loss of 0."""
    model = published(DScPH, "dscph", num_labels=CLASSES)
    labels, batch = batch_of(64)
    known = torch.tensor([any(row) for row in labels])
    assert 3 < known.sum() < 61
    part = {name: value[known] for name, value in batch.items()}
    proxy = model.objective(batch).terms["proxy"]
    torch.testing.assert_close(proxy, model.objective(part).terms["proxy"], rtol=1e-12, atol=0)
    nothing = {name: value[~known] for name, value in batch.items()}
    assert model.objective(nothing).terms["proxy"].item() == 0


def test_dscph_refuses_limits_that_would_pay_for_negatives():
    with pytest.raises(ValueError, match=r"negative_offset=0\.7 is greater than negative_threshold=0\.3"):
        published(DScPH, "dscph", num_labels=CLASSES, negative_threshold=0.3)


def selected(tower, embedding):
    """The softmax of both outputs of each bit, all pairs of a row next to each other: (B, 2 K)."""
    projection, head = tower
    hidden = (projection(embedding) @ head.hidden.weight.T + head.hidden.bias).clamp(min=0)
    outputs = [hidden @ weight + bias for weight, bias in zip(head.pairs.weight, head.pairs.bias, strict=True)]
    pairs = [torch.stack(outputs[bit : bit + 2]).exp() for bit in range(0, len(outputs), 2)]
    return torch.cat([pair / pair.sum(0) for pair in pairs]).T


def bounded_distances(first, second, similar, dissimilar):
    """At the published margin: three quarters of the bits."""
    margin, total = sqrt(first.shape[1] * 0.75), 0
    for row, mine, others in zip(first, similar, dissimilar, strict=True):
        squares = ((second - row) ** 2).sum(1)
        total = total + squares[mine].sum() + ((margin - squares[others].sqrt()).clamp(min=0) ** 2).sum()
    return total / sum(map(len, similar + dissimilar))


@pytest.mark.parametrize("rows", SIZES)
def test_dchmt(rows):
    model = published(DCHMT, "dchmt")
    labels, batch = batch_of(rows)
    similar, dissimilar = relations(labels, batch["group"])
    image, text = selected(model.image_tower, batch["image"]), selected(model.text_tower, batch["text"])
    expected = sum(
        bounded_distances(*pair, similar, dissimilar) for pair in ((image, image), (text, text), (image, text))
    )
    for pairs in (image, text):
        expected = expected + 0.001 / 2 * (1 - ((2 * pairs - 1) ** 2).mean())
    agree(model, sum(model.objective(batch).terms.values()), expected)
    with torch.no_grad():
        chosen = image.reshape(rows, 16, 2).argmax(2) == 1
        assert torch.equal(model.encode(batch["image"], None).image >= 0, chosen)


def cross_entropy_of_labels(logits, dense, weight):
    """Over pairs with labels; positives weigh more the rarer their label is among all items."""
    chances = [1 / (1 + (-row).exp()) for row in logits]
    costs = [
        -(weight[c] * chance[c].log() if row[c] else (1 - chance[c]).log())
        for chance, row in zip(chances, dense, strict=True)
        if any(row)
        for c in range(CLASSES)
    ]
    return mean(costs) if costs else logits.sum() * 0


def one_of_a_pair(first, second, group):
    """Cross entropy of the pair of each row among all rows of other groups, at a temperature of 0.07."""
    total = 0
    for one, other in ((first, second), (second, first)):
        for i, row in enumerate(one):
            logits = other @ row / (other.norm(dim=1) * row.norm()) / 0.07
            counted = [j for j in range(len(one)) if j == i or group[j] != group[i]]
            total = total - (logits[i] - logits[counted].exp().sum().log()) / len(one) / 2
    return total


def codes_of(model, batch):
    """Features, and the codes and auxiliary codes of them, next to each other, of images and of texts."""
    features, codes = [], []
    for projection, name in ((model.image_projection, "image"), (model.text_projection, "text")):
        one = projection(batch[name])
        for block in model.blocks:
            centered = one - one.mean(1, keepdim=True)
            normal = (
                centered / (centered.square().mean(1, keepdim=True) + 1e-5).sqrt() * block.norm.weight + block.norm.bias
            )
            hidden = normal @ block.hidden.weight.T + block.hidden.bias
            hidden = hidden * (1 + torch.erf(hidden / sqrt(2))) / 2
            one = one + hidden @ block.out.weight.T + block.out.bias
        features.append(one)
        both = [one @ layer.weight.T + layer.bias for layer in (model.code, model.auxiliary)]
        codes.append(torch.cat([x.tanh() for x in both], dim=1))
    return features, codes


def likelihood(old, new, shared, known):
    total = 0
    for row, mine, counted in zip(old, shared, known, strict=True):
        logits = (new @ row).clamp(-64, 64) / 2
        total = total + (softplus(logits) - logits * mine)[counted].sum()
    return total / known.sum()


def tripah(model, batch, dense, memory, target, ratio):
    """The objective of the authors' code for one length, without prompts: the memory has codes, labels and groups."""
    features, codes = codes_of(model, batch)
    old, old_dense, old_group = memory
    group = batch["group"].tolist()
    same = torch.tensor([[a == b for b in group] for a in old_group])
    shared = same | torch.tensor([[any(map(min, a, b)) for b in dense] for a in old_dense])
    known = same | torch.tensor([[any(a) and any(b) for b in dense] for a in old_dense])
    total = 0
    for part, weight in ((slice(0, 16), 1), (slice(16, None), 20)):
        (old_image, old_text), (image, text) = ([one[:, part] for one in both] for both in (old, codes))
        for a, b, scale in (
            (old_image, image, 0.005),
            (old_text, text, 0.005),
            (old_image, text, 5),
            (old_text, image, 5),
        ):
            total = total + weight * scale * likelihood(a, b, shared, known)
        for one, times in ((image, ratio), (text, 1)):
            total = total + weight * 0.8 * times * ((one - target[:, part]) ** 2).sum() / one.numel()
    carriers = [sum(row[c] for row in old_dense) for c in range(CLASSES)]
    labeled = sum(any(row) for row in old_dense)
    weights = [(labeled - n) / (n + 1e-6) for n in carriers]
    for one, classifier in zip(features, (model.image_classifier, model.text_classifier), strict=True):
        total = total + 0.3 * cross_entropy_of_labels(one @ classifier.weight.T + classifier.bias, dense, weights)
    total = total + 5 * one_of_a_pair(*features, group)
    first, _, last = model.decoder
    for one in codes:
        hidden = (one[:, :16] @ first.weight.T + first.bias).clamp(min=0)
        decoded = (hidden @ last.weight.T + last.bias).tanh()
        total = total + 20 * 0.005 * ((decoded - target[:, 16:]) ** 2).sum() / len(one)
    return total


def random_signs(index):
    drawn = keyed_mask(0.5, seed=0, step=-1, ids=index, shape=(16 + 256,))
    return torch.where(drawn, 1.0, -1.0).double()


@pytest.mark.parametrize("rows", [size for size in SIZES if size < 100])
def test_tripah_in_the_first_step(rows):
    model = published(TriPAH, "tripah", num_labels=CLASSES)
    dense, batch = batch_of(rows)
    own = [one.detach() for one in codes_of(model, batch)[1]]
    memory = own, dense, batch["group"].tolist()
    expected = tripah(model, batch, dense, memory, random_signs(batch["index"]), 1)
    agree(model, sum(model.objective(batch).terms.values()), expected)
    again = model.objective(batch).terms.values()
    torch.testing.assert_close(sum(again), expected, rtol=1e-12, atol=0)  # as often as it is asked for


def test_tripah_remembers_the_items_of_earlier_steps(monkeypatch):
    """Of ten items, the last five come back, with five others: their targets are the signs that they had."""
    model = published(TriPAH, "tripah", num_labels=CLASSES)
    dense, batch = batch_of(15)
    parts = [({name: value[rows] for name, value in batch.items()}, dense[rows]) for rows in (slice(10), slice(5, 15))]
    model.objective(parts[0][0])
    before = [one.detach() for one in codes_of(model, parts[0][0])[1]]
    with torch.no_grad():
        model.code.weight.mul_(-0.7)
        model.auxiliary.weight.mul_(-0.7)
    monkeypatch.setattr(model, "_batch_number", lambda: 1)
    monkeypatch.setattr(model, "_progress", lambda: 0.2)
    now = [one.detach() for one in codes_of(model, parts[1][0])[1]]
    memory = [torch.cat([old[:5], new]) for old, new in zip(before, now, strict=True)], dense, batch["group"].tolist()
    target = torch.cat([(before[0] + before[1]).sign()[5:], random_signs(torch.arange(10, 15))])
    expected = tripah(model, *parts[1], memory, target, 1.6)
    agree(model, sum(model.objective(parts[1][0]).terms.values()), expected)


def nt_xent(first, second):
    """At the published temperature of 0.5."""
    views = torch.cat([first, second])
    views = views / views.norm(dim=1, keepdim=True)
    total = 0
    for i, view in enumerate(views):
        logits = views @ view / 0.5
        others = torch.cat([logits[:i], logits[i + 1 :]])
        total = total - (logits[(i + len(first)) % len(views)] - others.exp().sum().log())
    return total / len(views)


@pytest.mark.parametrize("rows", SIZES)
def test_ucmfh(rows):
    model = published(UCMFH, "ucmfh")
    _, batch = batch_of(rows)
    fused = model.fusion(model.image_projection(batch["image"]), model.text_projection(batch["text"]))
    expected = nt_xent(*fused) + 0.5 * nt_xent(*model.encode(batch["image"], batch["text"]))
    agree(model, sum(model.objective(batch).terms.values()), expected)

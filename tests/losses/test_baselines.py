"""The losses of the baselines against their formulas read scalar by scalar: values and gradients, in float64."""

from math import log, sqrt

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcmfh_lightning import losses
from mcmfh_lightning.layers import HouseholderRotation


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a).sqrt() * sum(y * y for y in b).sqrt())


def zero(tensor):
    """A zero that has a gradient."""
    return (tensor * 0).sum()


def slow_nt_xent(first, second, temperature):
    views = [*first, *second]
    rows = len(first)
    total = zero(first)
    for i in range(2 * rows):
        partner = (i + rows) % (2 * rows)
        exponentials = {k: (cosine(views[i], views[k]) / temperature).exp() for k in range(2 * rows) if k != i}
        total = total - (exponentials[partner] / sum(exponentials.values())).log()
    return total / (2 * rows)


def slow_class_proxy_loss(codes, proxies, labels, tau, psi, b=2.0, s_p=1.3, s_n=1.3, mu=1.0):
    true, missed, false = b + zero(codes), zero(codes), zero(codes)
    for i, code in enumerate(codes):
        for c, proxy in enumerate(proxies):
            similarity = cosine(code, proxy)
            if labels[i][c]:
                true = true + 2 * max(similarity, torch.zeros(()).double())
                missed = missed + (1 - similarity) * (s_p * (1 - similarity)).exp().detach()
            elif similarity > tau:
                false = false + (similarity - psi) * (s_n * (similarity - mu)).exp().detach()
    return 1 - true / (true + missed + false)


def slow_bit_variance(rotated):
    total = zero(rotated)
    for row in rotated:
        length = sum(x * x for x in row).sqrt()
        for x in row:
            chance = 1 / (1 + (-x / length).exp())
            total = total + chance * (1 - chance)
    return total / rotated.numel()


def rotate(code, vectors):
    """Reflections one after the other: R = H_1 ... H_K, so the last one comes first."""
    for vector in reversed(list(vectors)):
        unit = vector / sum(x * x for x in vector).sqrt()
        along = sum(x * y for x, y in zip(unit, code, strict=True))
        code = torch.stack([y - 2 * along * x for x, y in zip(unit, code, strict=True)])
    return code


def slow_semi_hard_triplet(codes, similar, dissimilar, margin):
    total, number = zero(codes), 0
    for a in range(len(codes)):
        for p in range(len(codes)):
            for n in range(len(codes)):
                if p == a or not similar[a][p] or not dissimilar[a][n]:
                    continue
                to_positive, to_negative = 1 - cosine(codes[a], codes[p]), 1 - cosine(codes[a], codes[n])
                if to_positive < to_negative < to_positive + margin:
                    total, number = total + to_positive - to_negative + margin, number + 1
    return total / max(number, 1)


def softplus(x):
    return (1 + x.exp()).log()


def slow_boundary_point_loss(first, second, similar, dissimilar):
    num_bits = len(first[0])
    ub, easy = num_bits / 4, log(99) * 6 / num_bits
    total, number = zero(first) + zero(second), 0
    for i, row in enumerate(first):
        products = [sum(x * y for x, y in zip(row, column, strict=True)) for column in second]
        mine = [x for j, x in enumerate(products) if similar[i][j]]
        others = [x for j, x in enumerate(products) if dissimilar[i][j]]
        if not mine or not others:
            continue
        mean_s = min(max(sum(mine).item() / len(mine), 0), ub)
        mean_d = min(max(sum(others).item() / len(others), 0), ub)
        top = sorted(x.item() for x in others)[int(0.9 * len(others)) :]  # as published: a tenth is rounded up
        low = sorted((x.item() for x in mine), reverse=True)[int(0.9 * len(mine)) :]
        d_hat, s_hat = sum(top) / len(top), sum(low) / len(low)
        bp_s = mean_s - (ub - mean_s) / ub * abs(mean_s - d_hat)
        bp_d = mean_d - mean_d / ub * abs(mean_d - s_hat)
        for x in mine:
            total = total + softplus(-(easy if x > bp_s else 2 * easy) * (x - bp_s)) / len(mine)
        for x in others:
            total = total + softplus((easy if x < bp_d else 2 * easy) * (x - bp_d)) / len(others)
        number += 1
    return total / max(number, 1)


def slow_similarity_quantization(codes, similar):
    total = zero(codes)
    for j, code in enumerate(codes):
        alike = sum(bool(similar[i][j]) for i in range(len(codes)))
        total = total + alike * sum((x - (1 if x >= 0 else -1)) ** 2 for x in code)
    return total / (len(codes) * len(codes[0]))


def slow_bounded_distance_loss(first, second, similar, dissimilar, share):
    """Of the pairs that a softmax selects between, concatenated over the bits."""
    margin, total, number = sqrt(len(first[0]) * 2 * share), zero(first) + zero(second), 0
    for i, row in enumerate(first):
        for j, column in enumerate(second):
            squares = [
                (x - y) ** 2
                for u, v in zip(row, column, strict=True)
                for x, y in (((1 - u) / 2, (1 - v) / 2), ((1 + u) / 2, (1 + v) / 2))
            ]
            if similar[i][j]:
                total, number = total + sum(squares), number + 1
            elif dissimilar[i][j]:
                lacking = margin - sum(squares).sqrt()
                total, number = total + (lacking**2 if lacking > 0 else 0), number + 1
    return total / max(number, 1)


def slow_similarity_likelihood(first, second, similar, ignored):
    total, number = zero(first) + zero(second), 0
    for i, row in enumerate(first):
        for j, column in enumerate(second):
            if not ignored[i][j]:
                logit = sum(x * y for x, y in zip(row, column, strict=True)).clamp(-64, 64) / 2
                total, number = total + softplus(logit) - (logit if similar[i][j] else 0), number + 1
    return total / max(number, 1)


batches = st.tuples(st.integers(1, 7), st.integers(2, 6), st.integers(0, 10**6))
densities = st.sampled_from([0.0, 0.3, 0.7, 1.0])
examples = settings(max_examples=25, deadline=None)


def drawn(rows, width, seed):
    """Relaxed codes; saturated ones among them."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(rows, width, generator=generator, dtype=torch.float64)).tanh().requires_grad_()


def mask(rows, columns, seed, density):
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < density


def agree(found, expected, *inputs):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    theirs = torch.autograd.grad(expected, inputs, allow_unused=True, materialize_grads=True)
    ours = torch.autograd.grad(found, inputs, allow_unused=True, materialize_grads=True)
    for our_gradient, their_gradient in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-8, atol=1e-10)


@examples
@given(batch=batches, temperature=st.sampled_from([0.1, 0.5, 2.0]))
def test_nt_xent(batch, temperature):
    rows, width, seed = batch
    first, second = drawn(rows, width, seed), drawn(rows, width, seed + 1)
    found = losses.nt_xent(first, second, temperature)
    agree(found, slow_nt_xent(first, second, temperature), first, second)


@examples
@given(
    batch=batches,
    classes=st.integers(1, 5),
    density=densities,
    limits=st.sampled_from([(0.9, 0.7), (0.3, 0.3)]),  # of the authors' collection, and of their first repository
)
def test_class_proxy_loss(batch, classes, density, limits):
    rows, width, seed = batch
    codes, proxies = drawn(rows, width, seed), drawn(classes, width, seed + 1)
    labels = mask(rows, classes, seed + 2, density)
    found = losses.class_proxy_loss(codes, proxies, labels, *limits)
    agree(found, slow_class_proxy_loss(codes, proxies, labels, *limits), codes, proxies)
    assert (limits != (0.9, 0.7)) or torch.equal(found, losses.class_proxy_loss(codes, proxies, labels))


@examples
@given(batch=batches)
def test_bit_variance_of_rotated_codes(batch):
    rows, width, seed = batch
    codes, rotation = drawn(rows, width, seed), HouseholderRotation(width).double()
    expected = slow_bit_variance(torch.stack([rotate(code, rotation.vectors) for code in codes]))
    agree(losses.bit_variance(rotation(codes)), expected, codes, rotation.vectors)


@examples
@given(batch=batches, density=densities, ignored=densities, margin=st.sampled_from([0.05, 0.25, 1.5]))
def test_semi_hard_triplet(batch, density, ignored, margin):
    rows, width, seed = batch
    codes, similar = drawn(rows, width, seed), mask(rows, rows, seed + 1, density)
    dissimilar = ~similar & ~mask(rows, rows, seed + 2, ignored)
    found = losses.semi_hard_triplet(codes, similar, dissimilar, margin)
    agree(found, slow_semi_hard_triplet(codes, similar, dissimilar, margin), codes)


@examples
@example(batch=(5, 5, 16), columns=7, density=0.3, ignored=0.3)  # arguments above 20, where torch's softplus is inexact
@given(batch=batches, columns=st.integers(1, 24), density=densities, ignored=densities)
def test_boundary_point_loss(batch, columns, density, ignored):
    rows, width, seed = batch
    first, second = drawn(rows, width, seed), drawn(columns, width, seed + 1)
    similar = mask(rows, columns, seed + 2, density)
    dissimilar = ~similar & ~mask(rows, columns, seed + 3, ignored)
    found = losses.boundary_point_loss(first, second, similar, dissimilar)
    agree(found, slow_boundary_point_loss(first, second, similar, dissimilar), first, second)


@examples
@given(
    batch=batches, columns=st.integers(1, 9), density=densities, ignored=densities, share=st.sampled_from([0.1, 0.75])
)
def test_bounded_distance_loss(batch, columns, density, ignored, share):
    rows, width, seed = batch
    first, second = drawn(rows, width, seed), drawn(columns, width, seed + 1)
    similar = mask(rows, columns, seed + 2, density)
    dissimilar = ~similar & ~mask(rows, columns, seed + 3, ignored)
    found = losses.bounded_distance_loss(first, second, similar, dissimilar, share)
    agree(found, slow_bounded_distance_loss(first, second, similar, dissimilar, share), first, second)


@examples
@example(batch=(5, 6, 3), columns=4, density=0.3, ignored=0.3, scale=20.0)  # some products are beyond 64
@given(batch=batches, columns=st.integers(1, 9), density=densities, ignored=densities, scale=st.just(1.0))
def test_similarity_likelihood(batch, columns, density, ignored, scale):
    rows, width, seed = batch
    first, second = drawn(rows, width, seed), drawn(columns, width, seed + 1)
    similar = mask(rows, columns, seed + 2, density)
    unknown = ~similar & mask(rows, columns, seed + 3, ignored)
    found = losses.similarity_likelihood(scale * first, second, similar, unknown)
    agree(found, slow_similarity_likelihood(scale * first, second, similar, unknown), first, second)


@examples
@given(batch=batches, density=densities)
def test_similarity_quantization(batch, density):
    rows, width, seed = batch
    codes, similar = drawn(rows, width, seed), mask(rows, rows, seed + 1, density)
    agree(losses.similarity_quantization(codes, similar), slow_similarity_quantization(codes, similar), codes)


@pytest.mark.parametrize("width", [1, 2, 16, 64])
def test_a_rotation_is_orthogonal(width):
    matrix = HouseholderRotation(width).double().matrix()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(width).double(), rtol=0, atol=1e-12)
    assert torch.linalg.det(matrix).item() == pytest.approx((-1) ** width)


def test_hundreds_of_rows_take_no_loop_over_rows():
    """The triplets of a whole batch of 256 fit; a row without a positive or a negative costs nothing."""
    codes, similar = drawn(256, 16, 0), mask(256, 256, 1, 0.2)
    assert losses.semi_hard_triplet(codes, similar, ~similar, 0.25).isfinite()
    nothing = torch.zeros(256, 256, dtype=torch.bool)
    assert losses.boundary_point_loss(codes, codes, similar, nothing).item() == 0
    assert losses.boundary_point_loss(codes, codes, nothing, ~nothing).item() == 0

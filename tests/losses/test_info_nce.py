import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.losses import info_nce


def slow(first, second, positives, temperature, ignored):
    """The formula, entry by entry."""

    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))

    def one_way(rows, columns, positive, leave_out):
        losses = []
        for i, row in enumerate(rows):
            mine = [j for j in range(len(columns)) if positive(i, j)]
            if not mine:
                continue
            exponentials = {
                j: math.exp(cosine(row, column) / temperature)
                for j, column in enumerate(columns)
                if positive(i, j) or not leave_out(i, j)
            }
            total = sum(exponentials.values())
            losses.append(-sum(math.log(exponentials[j] / total) for j in mine) / len(mine))
        return sum(losses) / len(losses) if losses else 0.0

    first, second = first.tolist(), second.tolist()
    there = one_way(first, second, lambda i, j: positives[i][j], lambda i, j: ignored[i][j])
    back = one_way(second, first, lambda i, j: positives[j][i], lambda i, j: ignored[j][i])
    return (there + back) / 2


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    ignore=st.sampled_from([0.0, 0.4, 1.0]),
    temperature=st.sampled_from([0.1, 0.5, 2.0]),
)
def test_equals_the_formula(rows, columns, seed, density, ignore, temperature):
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (rows, columns))
    first.requires_grad_()
    positives = torch.rand(rows, columns, generator=generator) < density
    ignored = torch.rand(rows, columns, generator=generator) < ignore
    loss = info_nce(first, second, positives, temperature, ignored)
    assert loss.item() == pytest.approx(
        slow(first, second, positives.tolist(), temperature, ignored.tolist()), abs=1e-9
    )
    (gradient,) = torch.autograd.grad(loss, first)
    assert gradient.isfinite().all()


def test_with_one_positive_each_it_is_the_symmetric_cross_entropy():
    first, second = torch.randn(2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = torch.nn.functional.cosine_similarity(first[:, None], second[None], dim=-1) / 0.3
    target = torch.arange(6)
    expected = (
        torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)
    ) / 2
    torch.testing.assert_close(info_nce(first, second, torch.eye(6, dtype=torch.bool), 0.3), expected)


def test_an_ignored_column_has_no_influence():
    first, second = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    ignored = torch.zeros(4, 4, dtype=torch.bool)
    ignored[:3, 3] = ignored[3, :3] = True
    positives = torch.eye(4, dtype=torch.bool)
    positives[3, 3] = False
    expected = info_nce(first[:3], second[:3], positives[:3, :3], 0.5)
    ignored[3, 3] = True
    torch.testing.assert_close(info_nce(first, second, positives, 0.5, ignored), expected)

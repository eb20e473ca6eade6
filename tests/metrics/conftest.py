"""Oracles that know nothing of histograms: explicit rankings, and all orders of their ties."""

from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch


def _orders(total, relevant):
    """Every order of the tied items of one query, as a list of 0/1 relevance from first to last."""
    levels = [[1] * p + [0] * (n - p) for n, p in zip(total, relevant, strict=True)]
    return [[hit for level in order for hit in level] for order in product(*(list(permutations(x)) for x in levels))]


def _average_precision(ranking, k=None):
    depth = len(ranking) if k is None else k
    divisor = min(sum(ranking), depth)
    if divisor == 0:
        return float("nan")
    return sum(sum(ranking[: t + 1]) / (t + 1) for t, hit in enumerate(ranking[:depth]) if hit) / divisor


def _rankings(query_codes, codes, query_labels, labels, query_groups, groups):
    """Per query: (distances, relevance) of the items outside its group, from unpacked (., K) and (., L) 0/1 arrays."""
    found = []
    for code, label, group in zip(query_codes, query_labels, query_groups, strict=True):
        kept = [i for i in range(len(codes)) if groups[i] != group]
        distances = np.array([int((code != codes[i]).sum()) for i in kept], dtype=int)
        relevance = np.array([bool((label & labels[i]).any()) for i in kept], dtype=bool)
        found.append((distances, relevance))
    return found


def _small_histograms(seed, count=12, levels=3, largest=2):
    """Random (Q, levels) counts, few enough items for all orders."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.randint(0, largest + 1, (count, levels), generator=generator)
    relevant = (torch.rand(count, levels, generator=generator) * (total + 1)).long()
    return total, relevant


@pytest.fixture(scope="session")
def oracle():
    return SimpleNamespace(
        orders=_orders, average_precision=_average_precision, rankings=_rankings, small_histograms=_small_histograms
    )

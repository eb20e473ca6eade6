"""Copies of films under another group: they are counted, once a query, by whatever batch they come in."""

import numpy as np
import pytest
import torch

from mcmfh_lightning.evaluation.near_duplicates import COSINE, MOST, NearDuplicates


@pytest.fixture
def films():
    return torch.randn(40, 64, generator=torch.Generator().manual_seed(0)).abs()  # positive, as pooled features are


def counted(queries, query_groups, database, groups, batch=7):
    metric = NearDuplicates()
    metric.set_queries(queries, query_groups)
    for start in range(0, len(database), batch):
        metric.update(database[start : start + batch], groups[start : start + batch])
    return metric.compute()


def test_copies_of_other_groups_are_counted_and_those_of_the_own_group_are_not(films):
    groups = torch.arange(40)
    assert counted(films, groups, films, groups) == {"queries": 40, "found": 0, "cosine": COSINE}
    copies = torch.cat([films, films[[3, 3, 9]] * 1.7 + 0.2])  # brighter, with more contrast
    renamed = torch.cat([groups, torch.tensor([100, 101, 9])])
    assert counted(films, groups, copies, renamed)["found"] == 1
    assert counted(films, groups, copies, renamed, batch=1)["found"] == 1


def test_the_count_is_that_of_correlations(films):
    noise = torch.randn(films.shape, generator=torch.Generator().manual_seed(1))
    noisy = films + noise * torch.linspace(0, 0.4, 40)[:, None]
    correlation = np.corrcoef(films.numpy(), noisy.numpy())[:40, 40:]
    expected = int((correlation >= COSINE).any(axis=1).sum())
    assert 0 < expected < 40
    assert counted(films, torch.arange(40), noisy, torch.arange(100, 140))["found"] == expected


def test_the_first_thousand_queries_are_looked_at(films):
    many = films[:1].repeat(MOST + 5, 1)
    found = counted(many, torch.arange(MOST + 5), films, torch.arange(5000, 5040))
    assert (found["queries"], found["found"]) == (MOST, MOST)

"""What the gallery chooses, against a plain search."""

import numpy as np
import torch

from mcmfh_lightning.callbacks.example_gallery import HITS, QUERIES, nearest_examples
from mcmfh_lightning.metrics.functional import pack_signs


def test_nearest_items_of_other_groups_in_the_order_of_the_split():
    rng = np.random.default_rng(0)
    queries, items = rng.normal(size=(40, 6)), rng.normal(size=(40, 6))
    groups = np.arange(40) // 2
    found = nearest_examples(
        *(pack_signs(torch.from_numpy(codes)) for codes in (queries, items)), torch.from_numpy(groups)
    )
    assert [example[0] for example in found] == [(row, None) for row in (0, 9, 19, 29, 39)]
    assert len(found) == QUERIES
    for query, *hits in found:
        distances = ((queries[query.row] >= 0) != (items >= 0)).sum(1)
        others = [row for row in range(40) if groups[row] != groups[query.row]]
        expected = sorted(others, key=lambda row: (distances[row], row))[:HITS]
        assert hits == [(row, distances[row]) for row in expected]


def test_few_items_are_all_there_is():
    codes = pack_signs(torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
    assert nearest_examples(codes, codes, torch.tensor([1, 2])) == [[(0, None), (1, 1)], [(1, None), (0, 1)]]

"""Values of queries do not depend on how many are computed at a time."""

import torch

from mcmfh_lightning.evaluation import summary
from mcmfh_lightning.evaluation.statistics import statistics
from mcmfh_lightning.metrics import RankingCounts


def test_values_of_a_few_queries_at_a_time_are_those_of_all_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    levels, queries = 1024, 150  # more numbers than are computed at a time
    total = torch.randint(0, 4, (queries, levels), generator=generator)
    grades = torch.randint(0, 3, (queries, levels), generator=generator)
    relevant = torch.minimum(grades, total)
    shared = torch.stack([total.sum(1) - relevant.sum(1), relevant.sum(1)], dim=1)
    counts = RankingCounts(total, relevant, torch.tensor(0), relevant, shared)
    assert len(list(summary._few_at_a_time(counts))) > 1

    columns = statistics((5, 50), graded=True)
    at_once = torch.stack([column.per_query(counts) for column in columns], dim=1)
    assert torch.equal(summary._per_query(counts, columns), at_once)


def test_counts_without_grades_are_cut_as_well() -> None:
    total = torch.ones(70, 1024, dtype=torch.int64)
    parts = list(summary._few_at_a_time(RankingCounts(total, total, torch.tensor(3))))
    assert sum(len(part.total) for part in parts) == 70
    assert {(part.gains, part.shared, int(part.database_size)) for part in parts} == {(None, None, 3)}

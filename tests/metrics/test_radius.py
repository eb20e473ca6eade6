import pytest
import torch

from mcmfh_lightning.metrics.functional import precision_within_radius


def test_ball_precision_query_by_query(oracle):
    total, relevant = oracle.small_histograms(seed=3, levels=4)
    for radius in (0, 2, 9):
        values = precision_within_radius(total, relevant, radius)
        for row in range(len(total)):
            ball = sum(total[row, : radius + 1].tolist())
            hits = sum(relevant[row, : radius + 1].tolist())
            if relevant[row].sum() == 0:
                assert values[row].isnan()
            else:
                assert values[row].item() == pytest.approx(hits / ball if ball else 0.0)


def test_failed_look_up_counts_as_zero():
    assert precision_within_radius(torch.tensor([[0, 0, 3]]), torch.tensor([[0, 0, 3]]), radius=1).item() == 0.0


def test_negative_radius_is_refused():
    counts = torch.ones(1, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="radius must be at least 0, got -1"):
        precision_within_radius(counts, counts, -1)

"""Figures of a report: every line is inside its panel, whatever panel is drawn first."""

import pytest
import torch

from mcmfh_lightning.evaluation.plots import ranking_figures
from mcmfh_lightning.metrics import RankingCounts


def counts(relevant: list[int]) -> RankingCounts:
    """Ten items at each level."""
    total = torch.full((1, len(relevant)), 10)
    return RankingCounts(total, torch.tensor([relevant]), total.sum())


@pytest.mark.parametrize("rows", [1, 2])
def test_every_line_is_inside_its_panel(rows: int) -> None:
    low, high = counts([2, 1, 1]), counts([9, 1, 0])
    panels = [{f"low {row}": {"codes": (low, ".-")}, f"high {row}": {"codes": (high, ".-")}} for row in range(rows)]
    names = []
    for name, figure in ranking_figures(panels, "two rankings"):
        names.append(name)
        axes = figure.get_axes()
        assert [panel.get_title() for panel in axes] == [heading for row in panels for heading in row]
        for panel in axes:
            bottom, top = panel.get_ylim()
            assert bottom == 0.0
            assert [label.get_label() for label in panel.get_lines()] == ["codes"]
            for line in panel.get_lines():
                left, right = panel.get_xlim()
                assert len(line.get_xdata()) > 1
                assert left <= min(line.get_xdata()) <= max(line.get_xdata()) <= right
                assert max(line.get_ydata()) <= top
    assert names == ["precision_recall.png", "precision_at_n.png", "recall_at_n.png"]


def test_the_legends_name_each_line_once_and_cover_no_panel() -> None:
    """A row may have lines that the others have not."""
    lines = {"codes": (counts([3, 1]), ".-"), "chance": (counts([1, 1]), "k--")}
    panels = [{"first": lines}, {"second": lines | {"chance, image": (counts([1, 2]), "k-.")}}]
    for _, figure in ranking_figures(panels):
        figure.canvas.draw()
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["codes", "chance", "chance, image"]
        assert legend.get_window_extent().y1 < min(panel.get_tightbbox().y0 for panel in figure.get_axes())
        assert legend.get_window_extent().y0 > 0

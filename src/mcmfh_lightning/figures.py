"""Files of figures, drawn whatever script their labels are written in."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Drawing takes long to import: only when there is something to draw.
    from matplotlib.figure import Figure


def save_figure(figure: "Figure", path: Path, **how: Any) -> None:  # noqa: ANN401  # of matplotlib
    """Write a figure.

    Args:
        figure: The figure.
        path: The file; its ending decides the format.
        how: What else `matplotlib.figure.Figure.savefig` takes.
    """
    with warnings.catch_warnings():
        # A box stands for a letter that the font lacks, and shows as much; the numbers are printed with the whole name.
        warnings.filterwarnings("ignore", message="Glyph \\d+ .* missing from ", category=UserWarning)
        figure.savefig(path, **how)

"""The table of the README, of what the comparison's page was rendered with: ``python benchmarks/readme_table.py``.

Prints the table; ``--page README.md`` replaces the one between ``<!-- comparison: searches -->`` and ``<!-- end -->``.
"""

from collections.abc import Sequence
from math import nan
from pathlib import Path

import pandas as pd
from measurements import ARROWS, fill, options
from rendering.comparison import MEAN
from rendering.panels import FIVE
from rendering.store import PLACES

from mcmfh_lightning.sweeps.page import pipe_table, with_sd
from mcmfh_lightning.sweeps.result import CHANCE, METRICS, MODEL, UNSEEN

TABLE = Path("docs/results/comparison/table.csv")
COLLECTIONS, BITS = ("openi", "roco"), 16
"""Collections of each cell, in their order."""
SYSTEMS = {
    "MCMFH": "",
    "Towers, query heads": "",
    "TwoTower": "",
    "DCHMT": "",
    "DDBH, published": "",
    "DScPH, published": "",
    "UCMFH, all views": "",
    "RealValued": " (no codes)",
}
"""Systems of the comparison, and what the README adds to a name. With two nulls they are ten rows."""
_COLUMNS = [(FIVE, MEAN), *((protocol, search) for search, protocol in PLACES.items())]


def render(file: Path) -> str:
    """Write a row for each system that ran on both collections, by its mean over them, then the best null and chance.

    Args:
        file: ``table.csv`` of the comparison.
    """
    numbers = pd.read_csv(file)
    numbers = numbers[(numbers.database == UNSEEN) & (numbers.metric == METRICS[0]) & (numbers.num_bits == BITS)]
    place = ["data", "protocol", "direction"]
    of_models = numbers[numbers.ranking == MODEL].set_index(["system", *place])[["mean", "sd"]]
    nulls = numbers[numbers.ranking != MODEL].assign(sd=nan).set_index(["ranking", *place])[["mean", "sd"]]
    places = [(data, FIVE, MEAN) for data in COLLECTIONS]
    found = {name: of_models.loc[name] for name in SYSTEMS if name in of_models.index}
    found = {name: values for name, values in found.items() if {*COLLECTIONS} <= {data for data, *_ in values.index}}
    ordered = sorted(found, key=lambda name: found[name]["mean"].reindex(places).mean(), reverse=True)
    lines = [[f"{name}{SYSTEMS[name]}", *_cells(found[name])] for name in ordered]
    lines.append(["*best null*", *_cells(nulls.groupby(level=place).max())])
    lines.append([f"*{CHANCE}*", *_cells(nulls.loc[CHANCE])])
    return pipe_table(["system", MEAN, *(ARROWS[search] for search in PLACES)], lines, left=1)


def _cells(values: pd.DataFrame) -> list[str]:
    """Write a cell for each column; only the mean has its deviation over seeds."""
    cells = []
    for protocol, search in _COLUMNS:
        of_data = values.reindex([(data, protocol, search) for data in COLLECTIONS])
        texts = [with_sd(one["mean"], one.sd if search == MEAN else nan) for _, one in of_data.iterrows()]
        cells.append(" / ".join(texts))
    return cells


def main(args: Sequence[str] | None = None) -> None:
    """Print the table, and put it into the page that is given."""
    parser = options(__doc__, "page")
    parser.add_argument("--table", type=Path, default=TABLE, help="table.csv of the comparison")
    arguments = parser.parse_args(args)
    table = render(arguments.table)
    print(table)
    if arguments.page:
        arguments.page.write_text(fill(arguments.page.read_text(), "comparison", {"searches": table}))


if __name__ == "__main__":
    main()

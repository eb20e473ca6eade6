"""benchmarks/measurements.py: rows, files and tables of all benchmarks."""

from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def measurements(benchmark_file) -> ModuleType:
    return benchmark_file("measurements")


def test_rows_are_in_the_file_when_a_benchmark_stops(measurements: ModuleType, tmp_path: Path) -> None:
    def rows():
        yield {"system": "a, b", "value": 1 / 3}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measurements.record(rows(), tmp_path / "new" / "rows.csv")
    [found] = measurements.read(tmp_path / "new" / "rows.csv").to_dict("records")
    assert found == {"system": "a, b", "value": 1 / 3}  # every digit


def test_a_benchmark_without_rows_is_an_error_and_leaves_the_file(measurements: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("part,value\na,1\n")
    with pytest.raises(measurements.DataError, match="nothing was measured"):
        measurements.record([], tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text() == "part,value\na,1\n"


def test_rows_of_other_keys_stay_and_the_machine_is_named(measurements: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    measurements.record([{"part": "b", "value": 1.0}, {"part": "a", "value": 2.0}], path, keys=["part"])
    rows = measurements.record([{"part": "a", "value": 3.0}], path, keys=["part"], parts=["a", "b"], packages=["numpy"])
    assert rows[["part", "value"]].to_numpy().tolist() == [["a", 3.0], ["b", 1.0]]
    assert "numpy" in rows["machine"][0]
    assert rows["machine"][1] == ""  # a row of before has no machine


def test_systems_take_turns(measurements: ModuleType) -> None:
    order: list[str] = []

    def system(name: str):
        def measure() -> float:
            order.append(name)
            return float(len(order))

        return measure

    assert measurements.take_turns({name: system(name) for name in "ab"}, 2, "") == {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    assert order == list("abab")


def test_a_table_keeps_the_order_of_its_rows_and_leaves_missing_cells_empty(measurements: ModuleType) -> None:
    rows = pd.DataFrame([("z", "two", "1"), ("z", "one", "2"), ("a", "two", "3")], columns=["system", "width", "cell"])
    table = measurements.spread(rows, ["system"], "width")
    assert measurements.markdown(table) == (
        "| system | two | one |\n| --- | ---: | ---: |\n| z | 1 | 2 |\n| a | 3 |  |"
    )


def test_filling_a_page_keeps_its_text_and_changes_nothing_the_second_time(measurements: ModuleType) -> None:
    page = "# Title\n\n<!-- speed: a -->\nold\n<!-- end -->\n\nText.\n\n<!-- speed: b -->\n<!-- end -->\n\nThe end.\n"
    tables = {"a": r"| \1 |", "b": "| 2 |"}
    once = measurements.fill(page, "speed", tables)
    assert measurements.fill(once, "speed", tables) == once
    assert once.startswith("# Title\n\n<!-- speed: a -->\n\n| \\1 |\n\n<!-- end -->\n\nText.\n")
    assert once.endswith("| 2 |\n\n<!-- end -->\n\nThe end.\n")
    with pytest.raises(ValueError, match="the page has no lines '<!-- speed: c -->'"):
        measurements.fill(page, "speed", {"c": ""})

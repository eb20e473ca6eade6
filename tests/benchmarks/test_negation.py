"""benchmarks/negation.py: labels against the words of reports, with negation and without."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

REPORTS = [
    ("There is a pleural effusion.", ("Pleural Effusion",)),
    ("No pleural effusion.", ()),
    ("No effusion or pneumothorax.", ()),
    ("Effusions cannot be excluded.", ()),
    ("Fluid in the pleura.", ("Pleural Effusion",)),
]


@pytest.fixture(scope="module")
def negation(benchmark_file) -> ModuleType:
    return benchmark_file("negation")


@pytest.fixture
def pairs(make_pair: Callable, pair_writer: Callable, tmp_path: Path) -> Path:
    """Two films of each report in train; one report in test."""
    folder = tmp_path / "pairs"
    with pair_writer(folder, label_vocabulary=("normal", "Pleural Effusion", "Pneumothorax")) as writer:
        for number in range(2 * len(REPORTS)):
            text, labels = REPORTS[number // 2]
            writer.write("train", replace(make_pair(number), text=text, labels=labels))
        writer.write("test", replace(make_pair(99), text="Pneumothorax.", labels=("Pneumothorax",)))
    return folder


def test_precision_and_recall_by_label(negation: ModuleType, pairs: Path, tmp_path: Path, capsys) -> None:
    negation.main(["--pairs", str(pairs), "--csv", str(tmp_path / "rows.csv")])
    assert (tmp_path / "rows.csv").read_text().splitlines() == [
        "label,reports,carry,named,affirmed,named_right,affirmed_right",
        "Pleural Effusion,5,2,4,2,1,1",  # no label without a report that carries it
    ]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert lines[2] == "| Pleural Effusion | 2 | 4 | 0.250 | 0.500 | 2 | 0.500 | 0.500 |"
    assert lines[3] == lines[2].replace("Pleural Effusion", "all")


def test_the_test_split_cannot_be_asked_for(negation: ModuleType, pairs: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        negation.main(["--pairs", str(pairs), "--split", "test"])
    assert "invalid choice: 'test'" in capsys.readouterr().err


def test_a_split_without_reports_is_refused(negation: ModuleType, pairs: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        negation.main(["--pairs", str(pairs), "--split", "val"])
    assert "has no reports in split val: name other pairs" in capsys.readouterr().err

"""A table file's page: everything that is rendered, a pure function of the declared runs and of results."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mcmfh_lightning.bench.tables.agreement import check_agreement, data_of_folders
from mcmfh_lightning.bench.tables.comparison import Comparison, compare
from mcmfh_lightning.bench.tables.declared import DeclaredRun, is_trial
from mcmfh_lightning.bench.tables.rows import Panel, Row, labels_of_folders, matched, panels
from mcmfh_lightning.bench.tables.trials import Trial, trials
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.result import Data, Result


class ComparedPanel(NamedTuple):
    """A panel, and its reference against the other rows."""

    panel: Panel
    reference: Row | None
    """None if it is not declared on these data, or nothing else is."""
    comparisons: Mapping[str, Comparison]
    """By system; without those that were not run."""


class Page(NamedTuple):
    """What is rendered."""

    panels: list[ComparedPanel]
    trials: list[Trial]


def make_page(
    runs: Sequence[DeclaredRun], results: Sequence[Result], reference: str | None, folders: Mapping[str, Data]
) -> Page:
    """Put together what is rendered.

    Args:
        runs: Declared runs.
        results: All results that are kept.
        reference: The system that the others are compared with; None takes the first that is tested.
        folders: What lies in data folders, where they were looked at; else results tell.

    Raises:
        DataError: No tested system has the reference's name, or results are not comparable.
    """
    known = data_of_folders({run.root for run in runs}, results, folders)
    found = matched(runs, results, known)
    check_agreement([result for _, result in found if result is not None], {})
    tested = [(run, result) for run, result in found if not is_trial(run.metric)]
    systems = list(dict.fromkeys(run.system for run, _ in tested))
    if reference is not None and reference not in systems:
        raise DataError(
            f"--reference {reference!r} is none of the systems that are tested: {', '.join(systems) or '-'}"
        )
    chosen = reference or (systems[0] if systems else None)
    return Page(
        [_compared(panel, chosen) for panel in panels(tested, results, known)],
        trials([one for one in found if is_trial(one[0].metric)], labels_of_folders(runs, known)),
    )


def _compared(panel: Panel, reference: str | None) -> ComparedPanel:
    rows = [row for row in panel.rows if row.system == reference]
    if not rows or len(panel.rows) == 1:
        return ComparedPanel(panel, None, {})
    return ComparedPanel(panel, rows[0], compare(panel, rows[0]))

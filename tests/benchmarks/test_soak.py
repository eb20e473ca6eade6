"""benchmarks/soak_journal.py: what it notices in answers. tests/archive/test_soak.py runs the whole."""

from pathlib import Path
from types import SimpleNamespace

import pytest

OWN, THERE, CHANGING = "own", "there", "changing"


@pytest.fixture
def soaked(benchmark_file, tmp_path: Path) -> SimpleNamespace:
    module, path = benchmark_file("soak_journal"), tmp_path / "journal.jsonl"
    journal = module.Journal(path, [OWN, THERE], [CHANGING])

    def faults(*ids: str, everything: bool = True) -> list[str]:
        hits = [{"rank": place, "item": {"id": name}} for place, name in enumerate(ids, 1)]
        return list(journal.faults(hits, journal.shown, {OWN}, everything=everything))

    def note(event: str, version: int | None = None) -> None:
        module.note(path, event, [CHANGING], version)

    return SimpleNamespace(module=module, path=path, journal=journal, faults=faults, note=note)


def test_a_right_answer_has_no_fault(soaked: SimpleNamespace) -> None:
    assert soaked.faults(THERE) == []
    assert soaked.faults(everything=False) == []


@pytest.mark.parametrize(
    ("ids", "fault"),
    [((THERE, THERE), "twice"), ((THERE, "foreign"), "must not"), ((THERE, OWN), "must not"), ((), "missing")],
)
def test_wrong_answers_are_noticed(soaked: SimpleNamespace, ids: tuple[str, ...], fault: str) -> None:
    [found] = soaked.faults(*ids)
    assert fault in found


def test_a_gap_in_the_ranks_is_noticed(soaked: SimpleNamespace) -> None:
    hits = [{"rank": 2, "item": {"id": THERE}}]
    assert list(soaked.journal.faults(hits, 0, {OWN}, everything=True)) == ["ranks with a gap"]


def test_what_must_be_there_follows_the_version_that_is_shown(soaked: SimpleNamespace) -> None:
    assert soaked.faults(THERE, CHANGING) == [f"{{'{CHANGING}'}} had been deleted"]
    soaked.note("adding")
    assert soaked.faults(THERE, CHANGING) == soaked.faults(THERE) == []  # either, meanwhile
    soaked.note("added", 5)
    soaked.journal.show(4)
    assert soaked.faults(THERE, CHANGING) == soaked.faults(THERE) == []
    soaked.journal.show(5)
    assert soaked.faults(THERE, CHANGING) == []
    assert soaked.faults(THERE) == [f"{{'{CHANGING}'}} are missing"]
    assert soaked.faults(THERE, everything=False) == []
    soaked.note("deleting")
    soaked.note("deleted", 6)
    assert soaked.faults(THERE, CHANGING) == soaked.faults(THERE) == []
    soaked.journal.show(7)
    assert soaked.faults(THERE) == []
    assert soaked.faults(THERE, CHANGING) == [f"{{'{CHANGING}'}} had been deleted"]
    assert 0 < soaked.journal.lag < 60


def test_half_a_line_is_read_when_it_is_whole(soaked: SimpleNamespace) -> None:
    soaked.note("adding")
    line = soaked.path.read_bytes()
    with soaked.path.open("ab") as stream:
        stream.write(line[:20])
    soaked.journal.update()
    assert [event for event, _ in soaked.journal.events] == ["adding"]
    with soaked.path.open("ab") as stream:
        stream.write(line[20:])
    soaked.journal.update()
    assert [event for event, _ in soaked.journal.events] == ["adding", "adding"]

"""The checks of `verify`, what they found, and the report as a table."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rich.console import Group
from rich.text import Text

from mcmfh_lightning.tables import counted, make_table, paragraph

Severity = Literal["failed", "warning"]


class Check(NamedTuple):
    """A property that a folder must have.

    Attributes:
        name: The property.
        severity: ``failed`` where the folder is not what it says, or a result obtained with it would mislead;
            ``warning`` where it is as the collection is, and one should know.
        fix: What to do about a finding.
    """

    name: str
    severity: Severity
    fix: str


_COPY = "copy the shard again from where the folder comes from, or write the folder again"
_ENCODE = "encode again; if it comes back, check the encoder's weights and precision"

DATASET = Check("dataset.json is sound", "failed", "copy it again together with the shards, or write the folder again")
PRESENT = Check("every shard is complete", "failed", _COPY)
SHA256 = Check("shards have their SHA-256", "failed", _COPY)
MEMBERS = Check("shards are tars of known, plain members; nothing is pickled", "failed", _COPY)
COUNTS = Check("shards hold as many pairs as listed", "failed", _COPY)
CHECKSUMS = Check("records have their checksums and are in their place", "failed", _COPY)
PICTURES = Check("pictures decode", "failed", _COPY)
TEXTS = Check("texts are readable and not blank", "failed", _COPY)
DESCRIPTIONS = Check("descriptions are complete", "failed", _COPY)
LABELS = Check("labels are in the vocabulary", "failed", "write the folder again")
IDS = Check("ids are unique", "failed", "rename the items in the collection and write the folder again")
GROUP_NAMES = Check(
    "a group has one name and one number", "failed", "give each group a name of its own, and write the folder again"
)
GROUPS = Check(
    "no group is in two splits",
    "failed",
    "split the collection again by group: pairs of one study or patient were trained on and are tested on",
)
SAME_PICTURES = Check(
    "no picture is in two splits", "failed", "give pairs with the same picture one group, and split again by group"
)
SAME_TEXTS = Check(
    "no text is in two splits",
    "warning",
    "common in reports of one template: quote the rows `new_text` of the ranking report next to the others",
)
BLOCKS = Check("blocks hold the arrays that dataset.json describes", "failed", _COPY)
FINITE = Check("embeddings are finite", "failed", _ENCODE)
SAYING = Check("embeddings are not all zero or all one value", "failed", _ENCODE)
ABSENT = Check("what is absent is zero, and no item lacks both", "failed", "encode again")
DIFFERENT = Check(
    "embeddings of different items differ",
    "failed",
    "all codes would be equal: the encoder sees nothing of its input. Texts may begin with the same words for longer "
    "than it reads: put what differs first, or take another column; then convert and encode again",
)
VARYING = Check("every dimension varies", "warning", "dead dimensions are harmless if they are few, or the items are")
LEFTOVERS = Check(
    "nothing else is in the folder", "warning", "delete what an interrupted run left behind; keep other files elsewhere"
)

FILE_CHECKS = (DATASET, PRESENT, SHA256, MEMBERS, COUNTS, CHECKSUMS)
ACROSS_CHECKS = (LABELS, IDS, GROUP_NAMES, GROUPS, SAME_PICTURES, SAME_TEXTS)
PAIR_CHECKS = (*FILE_CHECKS, PICTURES, TEXTS, DESCRIPTIONS, *ACROSS_CHECKS, LEFTOVERS)
FEATURE_CHECKS = (*FILE_CHECKS, BLOCKS, FINITE, SAYING, ABSENT, DIFFERENT, VARYING, *ACROSS_CHECKS, LEFTOVERS)
"""In the order of the table."""

MAX_EXAMPLES = 3

Result = Literal["ok", "warning", "failed", "nothing to look at"]
_STYLES: dict[Result, str] = {"ok": "green", "warning": "yellow", "failed": "bold red", "nothing to look at": "dim"}


@dataclass
class Findings:
    """The result of one check.

    Attributes:
        looked_at: How many things were looked at.
        count: How many of them are not as they should be.
        examples: Some of these, each naming shard and key.
    """

    looked_at: int = 0
    count: int = 0
    examples: list[str] = field(default_factory=list)


class Look(NamedTuple):
    """The result of one check in one record.

    Attributes:
        check: The check.
        complaint: One example, or None if all is well.
        things: How many things were looked at.
        bad: With a complaint, how many of them are not as they should be.
    """

    check: Check
    complaint: str | None = None
    things: int = 1
    bad: int = 1


class Report:
    """Findings of all checks; each check has its row, looked at or not.

    Args:
        checks: The checks, in the order of the table.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self.rows = {check: Findings() for check in checks}

    def look(self, check: Check, things: int = 1) -> None:
        """Count things that were looked at."""
        self.rows[check].looked_at += things

    def find(self, check: Check, example: str, count: int = 1) -> None:
        """Count things that are not as they should be; one of them is the example."""
        row = self.rows[check]
        row.count += count
        if len(row.examples) < MAX_EXAMPLES:
            row.examples.append(example)

    def extend(self, looks: Iterable[Look]) -> None:
        """Add what a worker looked at."""
        for check, complaint, things, bad in looks:
            self.look(check, things)
            if complaint is not None:
                self.find(check, complaint, bad)

    def result(self, check: Check) -> Result:
        """Return the result of a check."""
        row = self.rows[check]
        if row.count:
            return check.severity
        return "ok" if row.looked_at else "nothing to look at"

    @property
    def failed(self) -> bool:
        """True if a check failed; a warning is not a failure."""
        return any(self.result(check) == "failed" for check in self.rows)


def verify_table(report: Report, title: str) -> Group:
    """Render the verdict, one row a check, and below them what was found, with examples and the fix."""
    columns = ("check", "result", "looked at", "found")
    rows = [
        (
            check.name,
            Text(result := report.result(check), _STYLES[result]),
            f"{found.looked_at:,}",
            f"{found.count:,}" if found.count else "",
        )
        for check, found in report.rows.items()
    ]
    table = make_table(f"{title}: {_verdict(report)}", columns, rows, numbers=columns[2:], whole=columns[1:2])
    return Group(table, *(part for check, found in report.rows.items() if found.count for part in _found(check, found)))


def _verdict(report: Report) -> str:
    """Count the results, what matters most first."""
    counts = Counter(report.result(check) for check in report.rows)
    said = [
        f"{counted(counts['failed'], 'check')} failed",
        counted(counts["warning"], "warning"),
        f"{counted(counts['ok'], 'check')} passed",
        f"{counts['nothing to look at']} had nothing to look at",
    ]
    return ", ".join(words for words in said if not words.startswith("0 "))


def _found(check: Check, found: Findings) -> Iterator[Text]:
    """Yield the lines about one check that found something."""
    yield paragraph(f"\n{check.severity}: {check.name}", _STYLES[check.severity])
    shown = len(found.examples)
    more = [f"and {found.count - shown:,} more"] if found.count > shown else []
    for line in (*found.examples, *more, f"fix: {check.fix}"):
        yield paragraph(line)

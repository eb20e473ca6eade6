"""What was found, check by check."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from mcmfh_lightning.datamodules.verify.checks import Check

MAX_EXAMPLES = 3

Result = Literal["ok", "warning", "failed", "nothing to look at"]


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
    """What a worker saw of one check.

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
    """Collects findings; each check has its row, looked at or not.

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
        """Take what a worker looked at."""
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
        """Whether a check failed; a warning is no failure."""
        return any(self.result(check) == "failed" for check in self.rows)

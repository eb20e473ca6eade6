"""Proposal of how a table is read: options with reasons, what is odd, and what its owner has to decide."""

from dataclasses import dataclass, field
from typing import NamedTuple

Value = bool | int | str | list[str]
"""Value of an option: a switch, a number, a text, or the texts of an option that is repeated."""

_ORDER = (
    *("images", "encoding", "delimiter", "id-column", "image-column", "text-column"),
    *("labels-column", "label-columns", "prefix-labels", "label-separator", "normal-label", "group-column"),
    *(
        "date-column",
        "date-format",
        "no-column",
        "split-column",
        "split-by",
        "split-names",
        "source-column",
        "licence-column",
    ),
)


class Answer(NamedTuple):
    """One way to decide: an option with its value, and what that means."""

    option: str
    value: Value
    meaning: str


@dataclass(frozen=True)
class Choice:
    """Something that the table does not say, and its owner knows.

    Attributes:
        question: What has to be decided, and why it cannot be guessed.
        answers: The options that would decide it.
        options: Names of all options that decide it, with or without a proposed answer.
    """

    question: str
    answers: tuple[Answer, ...]
    options: tuple[str, ...]


@dataclass
class Proposal:
    """Options of ``mcmfh-data manifest`` for a table.

    Attributes:
        options: Value of each option, without the hyphens in front.
        reasons: Why, in a few words, by option.
        odd: What is odd about the table, and what to do about it.
        choices: What the owner of the table has to decide.
        unread: Columns that are not read.
        rows: Number of rows.
        trainable: Number of rows with an image and a text.
    """

    options: dict[str, Value] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    rows: int = 0
    trainable: int = 0

    def take(self, option: str, value: Value, reason: str) -> None:
        """Propose an option."""
        self.options[option] = value
        self.reasons[option] = reason

    def ask(self, question: str, *answers: Answer, options: tuple[str, ...] = ()) -> None:
        """Leave a decision to the owner of the table."""
        named = dict.fromkeys([*options, *(answer.option for answer in answers)])
        self.choices.append(Choice(question, answers, tuple(named)))

    def sort(self) -> None:
        """Bring the options into the order of the documentation, whatever was found first."""
        self.options = {name: self.options[name] for name in sorted(self.options, key=_ORDER.index)}

    @property
    def used(self) -> set[str]:
        """Columns that the proposed options read."""
        names = {value for option, value in self.options.items() if option.endswith("-column")}
        several = self.options.get("label-columns", [])
        return {name for name in [*names, *(several if isinstance(several, list) else [])] if isinstance(name, str)}

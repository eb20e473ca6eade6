"""What can be wrong with a row, and how to mend it."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Flaw(NamedTuple):
    """A kind of problem.

    Attributes:
        reason: What is wrong, as summaries count it.
        mend: What to do about it.
    """

    reason: str
    mend: str


class BadValueError(Exception):
    """A value that cannot be used."""

    def __init__(self, flaw: Flaw, detail: str = "", column: str | None = None) -> None:
        super().__init__(flaw, detail, column)
        self.flaw = flaw
        self.detail = detail
        self.column = column


@dataclass(frozen=True)
class Problem:
    """One flaw of one row.

    Attributes:
        row: Number of the row, as the manifest's format counts rows.
        flaw: Its kind.
        detail: What exactly, or nothing.
        column: The column at fault, or None if it is the whole row.
    """

    row: int
    flaw: Flaw
    detail: str = ""
    column: str | None = None

    def told(self, manifest: Path) -> str:
        """File, row, what and mend in one line."""
        column = f", column {self.column!r}" if self.column else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{manifest}, row {self.row}{column}: {self.flaw.reason}{detail}; {self.flaw.mend}"


RAGGED = Flaw("more or fewer fields than the header", "quote fields that contain a comma, a quote or a line break")
NUL = Flaw("NUL byte", "remove it; if every row has one the file is UTF-16: pass --encoding utf-16")
NOT_JSON = Flaw("not JSON", "write one JSON object a line")
NOT_AN_OBJECT = Flaw("not a JSON object", 'write {"id": ..., "image": ..., "text": ..., "labels": [...], "group": ...}')
WRONG_TYPE = Flaw("value of the wrong type", "write a string")
NOT_UNICODE = Flaw("half of a surrogate pair", "write valid Unicode")

NO_ID = Flaw("no id", "give each row an id")
LONG_ID = Flaw("id too long", "ids have 200 characters or fewer: shorten it")
UNPRINTABLE_ID = Flaw("unprintable id", "remove control characters and line breaks from it")
DUPLICATE_ID = Flaw("duplicate id", "give each row an id of its own, or remove one of them")

EMPTY = Flaw("neither image nor text", "fill in one of them, or remove the row")
NO_IMAGE_FILE = Flaw(
    "missing image file", "paths are relative to --images: correct it, or leave it empty to keep the text"
)
NOT_A_FILE = Flaw("image is not a file", "name a file, not a folder or a device")
OUTSIDE = Flaw("image outside --images", "copy it below --images, or pass a folder above as --images")
LONG_TEXT = Flaw("text too long", "texts have 100,000 characters or fewer: shorten it")

BAD_LABELS = Flaw("labels are not a list of strings", 'write ["a", "b"], or one string with separators')
BAD_LIST = Flaw("labels look like a list that cannot be read", "write ['a', 'b'] or [\"a\", \"b\"]")
BAD_FINDING = Flaw(
    "neither 1, 0 nor -1", "write 1 for present, 0 for absent, -1 for uncertain, and nothing where it is not mentioned"
)
BAD_LABEL = Flaw("unusable label", "labels have 200 printable characters or fewer: correct it")

NO_GROUP = Flaw("no group", "fill in the study or patient; for a row that stands alone, its id")
BAD_GROUP = Flaw("unusable group", "groups have 200 printable characters or fewer: shorten or correct it")
GROUP_COLLISION = Flaw("group number is taken by another group", "number the groups yourself: 1, 2, 3, ...")
GROUP_CUT = Flaw("group in two splits", "put all rows of a group into one split")
ROUNDED_GROUP = Flaw("group rounded by a spreadsheet", "export the column as text, with all its digits")
GROUP_SPELLED = Flaw(
    "group spelled in two ways, which may cut a patient",
    "spell it alike in all rows; if these are two patients, number the groups: 1, 2, 3, ...",
)
NO_SPLIT = Flaw("no split", "write train, val or test, or pass --split-by group to have splits drawn")
UNKNOWN_SPLIT = Flaw("unknown split", "write train, val or test, or map its name, as in --split-names dev=val")
BAD_DATE = Flaw(
    "impossible date", "write days as 2011-11-22 or 20111122, and nothing where unknown, or name their --date-format"
)
NO_DATE = Flaw("no date", "--split-by date needs a date in at least one row of each group")

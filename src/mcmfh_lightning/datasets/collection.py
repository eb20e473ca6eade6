"""What a converter reads out of a collection, before splits, vocabulary and shards."""

from dataclasses import dataclass, field
from pathlib import Path

from mcmfh_lightning.shards.info import Split
from mcmfh_lightning.shards.labels import NORMAL
from mcmfh_lightning.shards.packing import name_of_number


@dataclass(frozen=True)
class Candidate:
    """An item as the collection describes it; its image file exists but has not been decoded yet.

    Attributes:
        id: the collection's own name of the item.
        image: the image file, or None.
        text: the text, or None; an item has at least one of both.
        labels: its labels, before the vocabulary is chosen.
        group: number of its study, article or patient.
        source: where it comes from.
        licence: its licence.
        date: what a split by date sorts by, or None; stored with the pair.
        split: the split the collection names, or None.
        group_name: the collection's own name of the group; by default the number in digits.
    """

    id: str
    image: Path | None
    text: str | None
    labels: tuple[str, ...]
    group: int
    source: str
    licence: str
    date: str | None = None
    split: Split | None = None
    group_name: str = ""

    def __post_init__(self) -> None:
        if not self.group_name:
            object.__setattr__(self, "group_name", name_of_number(self.group))


@dataclass
class Collection:
    """Every item found, and an account of everything that was not one.

    Attributes:
        candidates: the items.
        skipped: ids left out, by reason; each named item of the collection is a candidate or in here.
        read: what was read, in the order in which the summary tells it.
        kept: items that are candidates but worth knowing about, by trait.
        gloss: what a label stands for, where its name does not say it.
        normal_label: the label that says that nothing was found, if an item has it.
        labelled: whether items have labels at all; without any, no item is relevant to another.
    """

    candidates: list[Candidate] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    gloss: dict[str, str] = field(default_factory=dict)
    normal_label: str = NORMAL
    labelled: bool = True

    def copy(self) -> "Collection":
        """A collection whose account can be continued without touching this one."""
        return Collection(
            list(self.candidates),
            {reason: list(items) for reason, items in self.skipped.items()},
            dict(self.read),
            dict(self.kept),
            dict(self.gloss),
            self.normal_label,
            self.labelled,
        )

    def skip(self, reason: str, item: str) -> None:
        """Account for an item that is left out."""
        self.skipped.setdefault(reason, []).append(item)

    def note(self, trait: str) -> None:
        """Account for an item that is kept."""
        self.kept[trait] = self.kept.get(trait, 0) + 1

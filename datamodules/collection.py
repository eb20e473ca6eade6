"""What a converter reads out of a collection, before splits, vocabulary and shards."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Candidate:
    """A pair as the collection describes it; its image file exists but has not been decoded yet."""

    id: str
    image: Path
    text: str
    labels: tuple[str, ...]
    group: int
    source: str
    licence: str
    date: str | None = None


@dataclass
class Collection:
    """Every pair found, and an account of everything that was not one.

    Attributes:
        candidates: the pairs.
        skipped: ids left out, by reason; each named item of the collection is a candidate or in here.
        read: what was read, in the order in which the summary tells it.
        kept: pairs that are candidates but worth knowing about, by trait.
    """

    candidates: list[Candidate] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)

    def copy(self) -> "Collection":
        """A collection whose account can be continued without touching this one."""
        return Collection(
            list(self.candidates),
            {reason: list(items) for reason, items in self.skipped.items()},
            dict(self.read),
            dict(self.kept),
        )

    def skip(self, reason: str, item: str) -> None:
        """Account for an item that is left out."""
        self.skipped.setdefault(reason, []).append(item)

    def note(self, trait: str) -> None:
        """Account for a pair that is kept."""
        self.kept[trait] = self.kept.get(trait, 0) + 1

"""Lay words and abbreviations for what reports name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Self

import yaml

from mcmfh_lightning.errors import DataError

Key = tuple[str, ...]
# Left out of phrases; "in" and "on" are not, for fluid in and on a lung are two things.
_UNSAID = {"a", "an", "are", "his", "her", "is", "my", "of", "the"}


@dataclass(frozen=True)
class Synonyms:
    """What reports call the things that people ask for in other words.

    Attributes:
        terms: Terms of reports by the words of a phrase; `phrase_key` makes these.
    """

    terms: Mapping[Key, tuple[str, ...]]

    @classmethod
    def load(cls, path: str | Path | None = None) -> Self:
        """Read the table of this package, and one of your own that adds to it.

        Args:
            path: A YAML file with a list of phrases for each term, as in ``synonyms.yaml``.

        Raises:
            DataError: If the file cannot be read, or is not such a table.
        """
        table = dict(_packaged())
        if path is not None:
            try:
                text = Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"synonyms {path} cannot be read: {error}") from error
            for key, terms in _parsed(text, str(path)).items():
                table[key] = tuple(dict.fromkeys((*table.get(key, ()), *terms)))
        return cls(table)

    def of(self, phrase: str) -> tuple[str, ...]:
        """Find the terms of reports for the longest phrases of the table that a phrase contains, from left to right.

        >>> Synonyms.load().of("a broken rib of an old man with a collapsed lung")
        ('rib fracture', 'pneumothorax', 'atelectasis')
        """
        words = phrase_key(phrase)
        longest = max(map(len, self.terms), default=0)
        found: list[str] = []
        place = 0
        while place < len(words):
            lengths = range(min(longest, len(words) - place), 0, -1)
            length = next((n for n in lengths if words[place : place + n] in self.terms), 0)
            if length:
                found += self.terms[words[place : place + length]]
            place += length or 1
        return tuple(dict.fromkeys(found))


def phrase_key(phrase: str) -> Key:
    """Return the words of a phrase by which it is found: lower case, without articles and the s of a plural.

    >>> phrase_key("Fluid around the Lungs")
    ('fluid', 'around', 'lung')
    """
    words = re.findall(r"[^\W_]+", phrase.casefold())
    return tuple(re.sub(r"(?<=\w\w\w)(?<!s)s$", "", word) for word in words if word not in _UNSAID)


@cache
def _packaged() -> Mapping[Key, tuple[str, ...]]:
    return _parsed(files(__package__).joinpath("synonyms.yaml").read_text(encoding="utf-8"), "synonyms.yaml")


def _parsed(text: str, name: str) -> Mapping[Key, tuple[str, ...]]:
    try:
        table = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"synonyms {name} are not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(table, dict):
        raise DataError(f"synonyms {name} are not a table: write a line as `cardiomegaly: [enlarged heart]`")
    found: dict[Key, list[str]] = {}
    for term, phrases in table.items():
        if not isinstance(term, str) or not isinstance(phrases, list):
            raise DataError(f"synonyms {name}: {term!r} has no list of phrases: write `{term}: [a phrase, another]`")
        for phrase in phrases:
            if not isinstance(phrase, str) or not (key := phrase_key(phrase)):
                raise DataError(f"synonyms {name}: {phrase!r} of {term!r} is not a phrase: write it in quotes")
            found.setdefault(key, []).append(term)
    return {key: tuple(terms) for key, terms in found.items()}

"""What the words of a query ask for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from mcmfh_lightning.archive.words.cues import FUNCTION_WORDS
from mcmfh_lightning.archive.words.negation import NEGATED, index_text, phrases
from mcmfh_lightning.archive.words.synonyms import Synonyms


@dataclass(frozen=True)
class WordQuery:
    """Terms that a query asks for, and terms that it asks to be absent.

    Attributes:
        affirmed: Terms that hits should affirm, in the words of the query.
        negated: Terms of which no hit may affirm all words.

    Example:
        >>> query = WordQuery.parse("pleural effusion without cardiomegaly")
        >>> query.affirmed, query.negated
        (('pleural effusion',), ('cardiomegaly',))
        >>> query.negated_text
        'qxcardiomegaly'
    """

    affirmed: tuple[str, ...]
    negated: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a query as reports are read: by the same cues and the same scopes."""
        terms: dict[bool, list[str]] = {False: [], True: []}
        for phrase in phrases(text):
            terms[phrase.negated].append(" ".join(phrase.of(text)))
        return cls(*(tuple(dict.fromkeys(terms[negated])) for negated in (False, True)))

    def expanded(self, synonyms: Synonyms) -> Self:
        """Add to each term what reports call it."""
        return type(self)(*(synonyms.added_to(terms) for terms in (self.affirmed, self.negated)))

    @property
    def affirmed_text(self) -> str:
        """What the full-text search of `index_text` finds affirmed; empty if only absence is asked for."""
        return " ".join(self.affirmed)

    @property
    def negated_text(self) -> str:
        """What the full-text search of `index_text` finds negated: reports that say what is absent."""
        words = (word for term in self.negated for word in _words(term))
        return " ".join(NEGATED + word for word in words if word not in FUNCTION_WORDS)


def affirmed_labels(text: str, labels: Iterable[str], synonyms: Synonyms | None = None) -> tuple[str, ...]:
    """Find the labels that a text affirms by their words, in any case, also in the inverted order that MeSH writes.

    >>> affirmed_labels("Indwelling catheters, no pleural effusion", ["Catheters, Indwelling", "Pleural Effusion"])
    ('Catheters, Indwelling',)
    """
    texts = [index_text(text)]
    if synonyms is not None:
        texts += WordQuery.parse(text).expanded(synonyms).affirmed
    said = [f" {' '.join(_words(part))} " for part in texts]
    return tuple(label for label in labels if any(form in part for form in _forms(label) for part in said))


def _forms(label: str) -> set[str]:
    """Write a label as texts do; one that negates, such as No Finding, is marked as they are."""
    forms = (" ".join(_words(index_text(form))) for form in (label, " ".join(reversed(label.split(",")))))
    return {f" {form} " for form in forms if form}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())

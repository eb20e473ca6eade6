"""What the words of a query ask for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Self

from mcmfh_lightning.archive.words.cues import AFFIRMING, FUNCTION_WORDS
from mcmfh_lightning.archive.words.negation import NEGATED, index_text, phrases
from mcmfh_lightning.archive.words.synonyms import Synonyms

# "effusion -edema", apart from a bullet at the beginning of a line.
_MINUS = re.compile(r"(?:\A(?=.*\Z)|(?<=\S[^\S\n]))-([^\W\d_][\w-]*)")
_EXCEPT = re.compile(r"(\bexcept(?:ing)?\b(?:\s++for\b)?)", re.IGNORECASE)
# "Normal except effusion" asks for effusion, "nodule except effusion" does not.
_NOTHING_FOUND = AFFIRMING | {"fine", "good", "healthy", "negative", "nothing", "okay"}


@dataclass(frozen=True)
class WordQuery:
    """Terms that a query asks for, and terms that it asks to be absent.

    Attributes:
        affirmed: Terms that hits should affirm, in the words of the query.
        negated: Terms of which no hit may affirm all words.
        names: What reports call each affirmed term; see `expanded`.

    Example:
        >>> query = WordQuery.parse("big heart without effusion")
        >>> query.affirmed, query.negated, query.negated_text
        (('big heart',), ('effusion',), 'qxeffusion')
        >>> query.expanded(Synonyms.load()).names
        (('cardiomegaly',),)
    """

    affirmed: tuple[str, ...]
    negated: tuple[str, ...]
    names: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a query as reports are read: by the same cues and the same scopes."""
        terms: dict[bool, list[str]] = {False: [], True: []}
        text = _spelled_out(text)
        for phrase in phrases(text):
            terms[phrase.negated].append(" ".join(phrase.of(text)))
        return cls(tuple(dict.fromkeys(terms[False])), tuple(dict.fromkeys(terms[True])))

    def expanded(self, synonyms: Synonyms) -> Self:
        """Add what reports call the terms; what they call a negated term may not be affirmed either."""
        negated = (*self.negated, *(name for term in self.negated for name in synonyms.of(term)))
        names = tuple(map(synonyms.of, self.affirmed))
        return replace(self, negated=tuple(dict.fromkeys(negated)), names=names)

    @property
    def affirmed_text(self) -> str:
        """What is asked for, without what is asked to be absent; empty if nothing is."""
        return " ".join(self.affirmed)

    @property
    def negated_text(self) -> str:
        """What reports that say that it is absent have in `index_text`."""
        words = (word for term in self.negated for word in _words(term))
        return " ".join(NEGATED + word for word in words if word not in FUNCTION_WORDS)


def affirmed_labels(text: str, labels: Iterable[str], synonyms: Synonyms | None = None) -> tuple[str, ...]:
    """Find the labels that a text affirms by their words, in any case, also in the inverted order that MeSH writes.

    >>> affirmed_labels("Indwelling catheters, no pleural effusion", ["Catheters, Indwelling", "Pleural Effusion"])
    ('Catheters, Indwelling',)
    """
    texts = [index_text(_spelled_out(text))]
    if synonyms is not None:
        texts += chain.from_iterable(WordQuery.parse(text).expanded(synonyms).names)
    said = [f" {' '.join(_words(part))} " for part in texts]
    return tuple(label for label in labels if any(form in part for form in _forms(label) for part in said))


def _spelled_out(text: str) -> str:
    """Write "-word", and "except" after a finding, as reports exclude."""
    text = _MINUS.sub(r"excluding \1;", text)
    pieces = _EXCEPT.split(text)
    for place in range(1, len(pieces), 2):
        before = re.split(r"[.;:\n]", pieces[place - 1])[-1]
        found = phrases(before)
        if found and not any(phrase.negated for phrase in found) and _NOTHING_FOUND.isdisjoint(_words(before)):
            pieces[place] = "excluding"
    return "".join(pieces)


def _forms(label: str) -> set[str]:
    """Write a label as texts do; one that negates, such as No Finding, is marked as they are."""
    forms = (" ".join(_words(index_text(form))) for form in (label, " ".join(reversed(label.split(",")))))
    return {f" {form} " for form in forms if form}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())

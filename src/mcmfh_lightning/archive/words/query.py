"""What the words of a query ask for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
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
        negated_names: What they call the negated terms, of which no hit may affirm all words either.
        subjects: What each negated term is said of, as "heart" in "heart is not enlarged"; empty without one.

    Example:
        >>> query = WordQuery.parse("big heart without effusion")
        >>> query.affirmed, query.negated, query.negated_text
        (('big heart',), ('effusion',), 'qxeffusion')
        >>> query.expanded(Synonyms.load()).names
        (('cardiomegaly',),)
        >>> query = WordQuery.parse("heart is not enlarged").expanded(Synonyms.load())
        >>> query.affirmed, query.negated, query.negated_names
        (('heart',), ('enlarged heart',), ('cardiomegaly',))
    """

    affirmed: tuple[str, ...]
    negated: tuple[str, ...]
    names: tuple[tuple[str, ...], ...] = ()
    negated_names: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a query as reports are read: by the same cues and the same scopes."""
        text = _spelled_out(text)
        found = phrases(text)
        affirmed = dict.fromkeys(phrase.of(text) for phrase in found if not phrase.negated)
        negated = dict.fromkeys((phrase.of(text), phrase.subject_of(text)) for phrase in found if phrase.negated)
        return cls(tuple(affirmed), tuple(term for term, _ in negated), subjects=tuple(of for _, of in negated))

    def expanded(self, synonyms: Synonyms) -> Self:
        """Add what reports call the terms, and a negated term to its subject where they are one thing to reports."""
        negated: dict[str, None] = {}
        negated_names: dict[str, None] = {}
        for term, subject in zip_longest(self.negated, self.subjects, fillvalue=""):
            whole, alone = f"{term} {subject}", dict.fromkeys(synonyms.of(term))
            known = {*alone, *synonyms.of(subject)}
            together = dict.fromkeys(name for name in synonyms.of(whole) if name not in known)
            negated[whole if together else term] = None
            negated_names |= together or alone
        names = tuple(map(synonyms.of, self.affirmed))
        return replace(self, negated=tuple(negated), names=names, negated_names=tuple(negated_names), subjects=())

    @property
    def absent(self) -> tuple[str, ...]:
        """Terms and names of which no hit may affirm all words."""
        return tuple(dict.fromkeys((*self.negated, *self.negated_names)))

    @property
    def affirmed_text(self) -> str:
        """What is asked for, without what is asked to be absent; empty if nothing is."""
        return " ".join(self.affirmed)

    @property
    def negated_text(self) -> str:
        """What reports that say that it is absent have in `index_text`."""
        words = (word for term in self.absent for word in _words(term))
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

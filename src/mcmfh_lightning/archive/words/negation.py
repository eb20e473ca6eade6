"""Words of a text that are said of what is not there."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from mcmfh_lightning.archive.words.cues import (
    AFFIRMING,
    AFFIRMING_FIRST,
    CLAUSE_CUE,
    DETERMINERS,
    FUNCTION_WORDS,
    NOT_PLACES,
    NOTED,
    PLACE,
    PREDICATE_CUE,
    STUDY_WORDS,
    TOKEN,
)

# Letters without a vowel before a negated word: no English word begins so, and a stemmer cuts the same endings behind
# them. The full-text index would split a word at any other sign.
NEGATED = "qx"


@dataclass
class _Token:
    """A word, a cue or a mark of a text; `kind` is the name of its group in `cues.TOKEN`."""

    kind: str
    start: int
    end: int
    text: str
    negated: bool = False

    @property
    def is_content(self) -> bool:
        """Whether it names something, or says how it has changed."""
        return self.kind in ("word", "pseudo") and self.text not in FUNCTION_WORDS


@dataclass
class _Part:
    """A part of a clause, between two commas or "and", "or"."""

    joiner: str = ""
    tokens: list[_Token] = field(default_factory=list)
    list_continues: bool = False

    def has(self, *kinds: str) -> bool:
        return any(token.kind in kinds for token in self.tokens)

    @property
    def is_clause(self) -> bool:
        """Whether it says something by itself: it has a verb that is not "is seen", or begins as a clause does."""
        verbs = [place for place, token in enumerate(self.tokens) if token.kind == "verb"]
        starts_clause = bool(verbs) and self.tokens[0].text in DETERMINERS
        return starts_clause or self.has("pseudo") or (bool(verbs) and self.says_more(verbs[0]))

    def says_more(self, place: int) -> bool:
        """Tell whether the verb at a place says more than that something is seen."""
        return all(token.kind != "seen" for token in self.tokens[place : place + 4])

    @property
    def finds(self) -> bool:
        """Whether it says that something is seen somewhere, or ends with "noted"."""
        return self.tokens[-1].text in NOTED or any(
            token.kind == "seen" and following.text in PLACE and not self.names_study(place)
            for place, (token, following) in enumerate(pairwise(self.tokens))
            if place
        )

    def names_study(self, place: int) -> bool:
        """Tell whether a study or a time stands soon after a place: "seen on this view"."""
        return any(token.text in NOT_PLACES for token in self.tokens[place + 2 : place + 6])

    @property
    def affirms(self) -> bool:
        """Whether its words say what is there."""
        return self.tokens[0].text in AFFIRMING_FIRST or any(token.text in AFFIRMING for token in self.tokens)


@dataclass(frozen=True)
class Phrase:
    """Words of a text that stand together.

    Attributes:
        spans: Where each begins and ends.
        negated: Whether the text says that this is not there.
        subject: Where the words are of which it is negated: "heart" of "heart is not enlarged".
    """

    spans: tuple[tuple[int, int], ...]
    negated: bool
    subject: tuple[tuple[int, int], ...] = ()

    def of(self, text: str) -> str:
        """Return its words in a text."""
        return _written(text, self.spans)

    def subject_of(self, text: str) -> str:
        """Return the words of its subject in a text."""
        return _written(text, self.subject)


def phrases(text: str) -> list[Phrase]:
    """Split a text into phrases that it affirms or negates, in order, without the words that negate.

    >>> text = "Heart size is normal, no fluid in the lung is seen."
    >>> [(phrase.negated, phrase.of(text)) for phrase in phrases(text)]
    [(False, 'Heart size is normal'), (True, 'fluid in the lung')]
    """
    found: list[Phrase] = []
    for clause in _clauses(text):
        _mark(clause)
        for part in clause:
            found += _phrases_of(part)
    return sorted(found, key=lambda phrase: phrase.spans)


def _phrases_of(part: _Part) -> Iterator[Phrase]:
    before: tuple[tuple[int, int], ...] = ()
    subject = before
    for negated, run in groupby(part.tokens, lambda token: None if _is_cue(token) else token.negated):
        tokens = [token for token in run if not negated or token.kind == "word"]
        if negated is None:
            subject = before if len(tokens) == 1 and PREDICATE_CUE.fullmatch(tokens[0].text) else ()
        content = [place for place, token in enumerate(tokens) if token.is_content]
        if negated is not None and content:
            said = tokens[content[0] : content[-1] + 1]
            spans = tuple((token.start, token.end) for token in said)
            yield Phrase(spans, negated, subject if negated else ())
            before = () if negated else spans


def index_text(text: str) -> str:
    """Mark the negated words of a text, so that only a search for the negation finds them.

    Uncertain findings ("cannot be excluded", "possible") stay as they are. Every other character is kept.

    >>> index_text("No pleural effusion. Pneumonia cannot be excluded.")
    'No qxpleural qxeffusion. Pneumonia cannot be excluded.'
    """
    spans = sorted(span for phrase in phrases(text) if phrase.negated for span in phrase.spans)
    starts = [start for start, end in spans if text[start:end].casefold() not in FUNCTION_WORDS]
    pieces = [text[start:end] for start, end in zip([0, *starts], [*starts, len(text)], strict=True)]
    return NEGATED.join(pieces)


def _written(text: str, spans: tuple[tuple[int, int], ...]) -> str:
    return " ".join(text[start:end] for start, end in spans)


def _is_cue(token: _Token) -> bool:
    return token.kind in ("forward", "narrow", "backward", "suffix", "none", "end")


def _clauses(text: str) -> Iterator[list[_Part]]:
    """Split a text into clauses that no negation crosses, each of one part or more; what is in brackets is one."""
    clause, outer = [_Part()], None
    for match in TOKEN.finditer(text):
        token = _Token(match.lastgroup or "", match.start(), match.end(), match.group().casefold())
        if token.kind in ("sentence", "stop", "end"):
            yield from _finished(clause)
            clause = [_Part()]
            if token.kind == "sentence" and outer:  # the bracket was never closed
                yield from _finished(outer)
                outer = None
        elif token.kind == "open" and not outer:
            clause, outer = [_Part()], clause
        elif token.kind == "close" and outer:
            yield from _finished(clause)
            clause, outer = outer, None
        else:
            _append(clause, token)
    yield from _finished(clause)
    yield from _finished(outer or [])


def _append(clause: list[_Part], token: _Token) -> None:
    joiner = {"comma": ",", "and": "and", "or": "or"}.get(token.kind)
    begins_part = token.kind == "forward" and token.text.startswith("nor")
    if (joiner or begins_part) and clause[-1].tokens:
        clause.append(_Part(joiner or "or"))
    elif joiner:
        clause[-1].joiner = joiner  # ", and"
    if not joiner and token.kind not in ("open", "close"):
        clause[-1].tokens.append(token)


def _finished(clause: list[_Part]) -> Iterator[list[_Part]]:
    parts = [part for part in clause if part.tokens]
    for part, following in zip(parts[-2::-1], parts[:0:-1], strict=True):
        simple = not (following.is_clause or following.has("forward", "narrow"))
        part.list_continues = following.joiner == "or" or (simple and following.list_continues)
    if parts:
        yield parts


def _mark(clause: list[_Part]) -> None:
    """Mark the words of a clause that are negated."""
    scope: _Token | None = None
    previous: _Part | None = None
    for number, part in enumerate(clause):
        if scope and previous and not _reaches(scope, previous, part):
            scope = None
        for place, token in enumerate(part.tokens):
            if token.kind in ("forward", "narrow"):
                scope = token
            elif token.kind == "suffix":
                part.tokens[max(place - 1, 0)].negated = True
            elif token.kind == "pseudo" or (token.kind == "verb" and part.says_more(place)):
                scope = None
            elif token.kind in ("backward", "none"):
                scope = None
                _mark_before(clause, number, place)
            elif scope and scope.kind == "narrow" and token.text not in STUDY_WORDS:
                scope = None
            elif scope:
                token.negated = True
        previous = part


def _reaches(scope: _Token, previous: _Part, part: _Part) -> bool:
    """Tell whether a negation of the part before reaches this one."""
    if part.finds and scope in previous.tokens and not _is_listed(scope, part):
        return False
    if part.is_clause:
        return part.joiner == "or" and part.tokens[0].text not in DETERMINERS
    if part.joiner == "or":
        return True
    if previous.list_continues:
        return True
    ends = PREDICATE_CUE.fullmatch(scope.text) if part.joiner == "and" else CLAUSE_CUE.match(scope.text)
    is_list = ends is None
    return is_list and not part.affirms and previous.joiner != "or"


def _is_listed(scope: _Token, part: _Part) -> bool:
    """Tell whether a part is of a list with the part before it, by what joins them: "no edema and mass is noted"."""
    says_is = any(token.text in ("is", "was") for token in part.tokens)
    return part.joiner == "or" or (part.joiner == "and" and (scope.text.split()[0] in ("no", "neither") or not says_is))


def _mark_before(clause: list[_Part], number: int, place: int) -> None:
    """Mark what stands before a cue: its part, and the parts before it if they are a list that "and" or "or" ends."""
    for token in reversed(clause[number].tokens[:place]):
        if token.kind in ("forward", "narrow", "backward", "pseudo"):
            return
        token.negated = True
    is_list = clause[number].joiner in ("and", "or")
    while number and is_list and not clause[number - 1].has("verb", "forward", "narrow", "backward", "pseudo"):
        number -= 1
        is_list = clause[number].joiner in ("and", "or", ",")
        for token in clause[number].tokens:
            token.negated = True

"""Names that a misspelled one may stand for."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches

MOST_NAMES = 5
_CLOSE = 0.75
"""Similarity (`difflib`) from which on two words may be one word: a letter of four, two of eight."""
_CLOSE_IF_SHORT = 0.6
"""The same of words of three letters, of which two may have changed places."""
_MOST_WORDS = 16
"""Words of a wrong name that are looked at: it may be a whole page, of somebody else."""
_SHORTEST_PART = 3


def nearest(name: str, known: Iterable[str], most: int = MOST_NAMES) -> list[str]:
    """Find the known names that a wrong one may stand for, the best first.

    Case and punctuation do not count. A name also stands for the ones that it is a part of: word by word, in any
    order, each word whole, begun or misspelled; or letter by letter.

    Args:
        name: The wrong name.
        known: Right names.
        most: Number of names to return at most.

    >>> nearest("brain", ["location: Brain and Neuro", "location: Chest"])
    ['location: Brain and Neuro']
    >>> nearest("two-towr", ["mcmfh", "two_tower"])
    ['two_tower']
    >>> nearest("megaly", ["Atelectasis", "Cardiomegaly"])
    ['Cardiomegaly']
    """
    words_of = {one: words for one in dict.fromkeys(known) if (words := _words(one))}
    words = _words(name)[:_MOST_WORDS]
    meant = [_meant(word, {word for words in words_of.values() for word in words}) for word in words]
    scores = {one: _score(words, theirs, meant) for one, theirs in words_of.items()}
    found = sorted((one for one in scores if scores[one] >= _CLOSE), key=lambda one: -scores[one])
    return found[:most]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question with the nearest names to put after a message, or nothing if none is near.

    >>> did_you_mean("tset", ("train", "val", "test"))
    "; did you mean 'test'?"
    """
    near = [repr(one) for one in nearest(name, known)]
    if not near:
        return ""
    return f"; did you mean {' or '.join(filter(None, (', '.join(near[:-1]), near[-1])))}?"


def _words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name).casefold()
    return re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c)))


def _meant(word: str, known: set[str]) -> Mapping[str, float]:
    """Score the known words that a word may stand for, from 0 to 1."""
    cutoff = _CLOSE if len(word) > _SHORTEST_PART else _CLOSE_IF_SHORT
    meant = dict.fromkeys(get_close_matches(word, known, n=20, cutoff=cutoff), 0.8)
    if len(word) >= _SHORTEST_PART:
        meant |= dict.fromkeys((one for one in known if one.startswith(word)), 0.9)
    return meant | ({word: 1.0} if word in known else {})


def _score(words: list[str], theirs: list[str], meant: list[Mapping[str, float]]) -> float:
    """Score a known name from 0 to 1: by its words, or as a whole where blanks or letters differ."""
    # Without the words that they share: those of experiments/a.yaml and experiments/b.yaml say nothing of a and b.
    ours, others = ([one for one in some if one not in more] for some, more in ((words, theirs), (theirs, words)))
    rest, other = "".join(ours), "".join(others)
    matcher = SequenceMatcher(None, rest, other)
    # A little of it for names that have the same words: the shortest comes first.
    whole = matcher.real_quick_ratio()
    if whole >= _CLOSE:
        whole = min(matcher.quick_ratio(), whole)
    if whole >= _CLOSE:
        whole = matcher.ratio()
    near = len(rest) == len(other) and sum(map(str.__ne__, rest, other)) == 1
    if near and (len(rest) > 1 or rest.isdigit()):  # one letter of two, or another digit
        whole = max(whole, _CLOSE)
    if len("".join(words)) >= _SHORTEST_PART and "".join(words) in "".join(theirs):
        whole = max(whole, 0.9 if "".join(theirs).startswith("".join(words)) else 0.85)
    by_words = sum(max((found.get(one, 0.0) for one in theirs), default=0.0) for found in meant) / max(len(words), 1)
    return max(0.99 * by_words + 0.01 * whole, whole if whole >= _CLOSE else 0.0)

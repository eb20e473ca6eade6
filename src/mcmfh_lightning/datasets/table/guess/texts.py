"""The column of texts, how much of its texts an encoder reads, and whether they are English."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from mcmfh_lightning.datasets.table.guess.columns import Answer, Column, Proposal, Words
from mcmfh_lightning.tables import quoted

ENGLISH_WORDS, OTHER_WORDS = 140, 80
"""Words of a report that fill the 256 tokens of the shipped encoders.

The packaged text tower takes 1.8 tokens for a word of Open-i's reports, and 2.7 to 3.4 for one in Spanish or German.
"""
_MANY = 0.05
_SAMPLE = 500

_FUNCTION_WORDS: Mapping[str, str] = {
    "English": "the of is are and with there no has was within without",
    "German": "der die das und ist nicht kein keine keinen mit ohne zum beidseits rechts links",
    "Spanish": "el la los las del se sin con una por y en derecho izquierdo",
    "Italian": "il di della dei nel non con una senza sono del la",
    "Portuguese": "o os da dos com sem não uma do direito esquerdo",
    "Dutch": "het een van niet geen met zonder en de",
    "French": "le les et est une du sans pas avec dans au aux droite gauche",
}


def guess_text(columns: Sequence[Column], proposal: Proposal) -> None:
    """Find the column of texts; of several that are alike, the owner chooses."""
    prose = [column for column in columns if column.is_prose]
    short = [column for column in columns if column.words & Words.TEXT and _is_short_text(column)]
    exact = [column for column in columns if column.name == "text" and column in [*prose, *short]]
    named = [column for column in prose if column.words & Words.TEXT]
    likely = exact or named or prose or short
    language = _language([cell for column in likely for cell in column.present[:_SAMPLE]])
    lengths = {column.name: f"{column.words_a_cell:.0f} words on average" for column in likely}
    if not proposal.search:
        proposal.search = _frequent_word([str(cell) for column in likely[:1] for cell in column.present])
    if len(likely) == 1:
        others = [column.name for column in prose if column not in likely]
        also = f"; {quoted(others, 4)} not" if others else ""
        proposal.take("text-column", likely[0].name, lengths[likely[0].name] + also)
    else:
        answers = [Answer("text-column", name, length) for name, length in lengths.items()]
        question = f"{len(likely)} columns hold texts, and a row has one text; to have several, join them in the table"
        if not likely:
            question = "no column holds texts"
            answers = [Answer("no-column", ["text"], "there are none: nothing can be trained")]
        proposal.ask(question, *answers[:6], options=("text-column",))
    _say_long(likely, language, proposal)
    if language != "English":
        look = f"look {language}" if language else "are in another script than that of English"
        proposal.odd.append(
            f"texts {look}, and the text encoders that come with this package read English: searches by text "
            "work worse; another encoder is needed (mcmfh predict --model.encoder FILE, mcmfh-archive build --encoder "
            "FILE)"
        )


def _is_short_text(column: Column) -> bool:
    """Say whether a column that is called like a text may hold short ones: strings, and not categories."""
    strings = all(isinstance(cell, str) for cell in column.present)
    return strings and not column.is_numeric and (column.name == "text" or not column.is_categories)


def _say_long(columns: Sequence[Column], language: str, proposal: Proposal) -> None:
    """Say where many texts are longer than what an encoder reads: a conclusion at their end is lost."""
    most = ENGLISH_WORDS if language == "English" else OTHER_WORDS
    words = " ".join(filter(None, (f"{most} words", language and f"of {language}")))
    for column in columns:
        long = sum(len(str(cell).split()) > most for cell in column.present)
        if long and long >= _MANY * len(column.present):
            proposal.odd.append(
                f"{long:,} of {len(column.present):,} texts of {column.name!r} have more words than an encoder reads "
                f"(256 tokens, about {words}): their ends are cut off. Choose the column with the "
                "impression or conclusion, or put that first in each text"
            )


def _words(cells: Sequence[object]) -> list[str]:
    return [word for cell in cells for word in re.findall(r"[^\W\d_]+", str(cell).casefold())]


def _language(cells: Sequence[object]) -> str:
    """Name the language that texts look like: English unless the words say otherwise, nothing for another script."""
    words = _words(cells)
    if sum(not _is_latin(word) for word in words) > len(words) / 2:
        return ""
    times = Counter(words)
    counts = {name: sum(times[word] for word in known.split()) for name, known in _FUNCTION_WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    clear = counts[best] >= max(2, len(words) / 20) and counts[best] > 2 * counts["English"]
    return best if clear else "English"


def _is_latin(word: str) -> bool:
    """Say whether a word has a letter of the Latin script: those of others come later in Unicode, but for a few."""
    return any(letter < "\u0250" for letter in word)


def _frequent_word(texts: Sequence[str]) -> str:
    """Find a word that many texts have, and not nearly all of them."""
    counts = Counter(word for text in texts[:_SAMPLE] for word in set(_words([text])) if len(word) > 5)
    some = [word for word, count in counts.most_common() if 2 * count <= len(texts[:_SAMPLE])]
    return (some or list(counts) or [""])[0]

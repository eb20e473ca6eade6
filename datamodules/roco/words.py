"""Which word of a caption stands behind a label."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """How well the presence of a word predicts a label.

    Attributes:
        word: the word.
        items: items with the label.
        precision: share of the items with the word that have the label.
        recall: share of the items with the label that have the word.
    """

    word: str
    items: int
    precision: float
    recall: float


def typical_words(labels: Mapping[str, Iterable[str]], words: Mapping[str, Iterable[str]]) -> dict[str, Word]:
    """Find the word with the best F1 for each label, ties by alphabet.

    Args:
        labels: labels of each item.
        words: words of each item.

    Returns:
        The word of each label; labels whose items have no word at all are left out.
    """
    label_sets = {item: set(found) for item, found in labels.items()}
    word_sets = {item: set(words.get(item, ())) for item in labels}
    items = Counter(label for found in label_sets.values() for label in found)
    total = Counter(word for found in word_sets.values() for word in found)
    together = Counter(
        (label, word) for item, found in label_sets.items() for label in found for word in word_sets[item]
    )
    best: dict[str, tuple[float, Word]] = {}
    for (label, word), both in sorted(together.items()):
        f1 = 2 * both / (items[label] + total[word])
        if label not in best or f1 > best[label][0]:
            best[label] = f1, Word(word, items[label], both / total[word], both / items[label])
    return {label: word for label, (_, word) in best.items()}

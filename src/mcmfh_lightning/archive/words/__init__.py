"""Words of reports and of queries: what they affirm, what they negate, and other words for the same."""

from mcmfh_lightning.archive.words.negation import index_text
from mcmfh_lightning.archive.words.query import WordQuery, affirmed_labels
from mcmfh_lightning.archive.words.synonyms import Synonyms

__all__ = ["Synonyms", "WordQuery", "affirmed_labels", "index_text"]

"""Queries of LanceDB's full-text index over what reports affirm and negate."""

from itertools import chain

from lancedb.query import BooleanQuery, FullTextOperator, FullTextQuery, MatchQuery, Occur

from mcmfh_lightning.archive.words import WordQuery

# A name that reports use counts more than the words of the query. Chosen on training reports of Open-i: 1 is worse,
# 4 as good.
NAME_WEIGHT = 2.0
# A text of more terms is a report, of which no other has all terms; to look for that takes longer than all else.
MOST_TERMS = 16


def full_text_query(query: WordQuery, column: str) -> BooleanQuery | None:
    """Write a query for an index of `index_text`.

    An item is found by each word, by each name of a term that it has with all words, and once more if it has every
    term, by its own words or by a name: of "effusion with cardiomegaly", reports that have both come first. Items that
    affirm what should be absent are left out. A query for absence alone finds reports that say so.

    Args:
        query: What is asked for, with other names of it or without.
        column: Column with `index_text` of the reports.

    Returns:
        The query; None if nothing is asked for.
    """
    if not (query.affirmed or query.negated):
        return None
    names = [[every_word(name, column, NAME_WEIGHT) for name in found] for found in query.names]
    terms = [[every_word(term, column)] for term in query.affirmed]
    for term, found in zip(terms, names, strict=False):  # no names if it was not expanded
        term += found
    each = {name: every_word(name, column, NAME_WEIGHT) for name in chain.from_iterable(query.names)}
    should = [_some_word(query.affirmed_text or query.negated_text, column), *each.values()]
    if 1 < len(terms) <= MOST_TERMS:
        should.append(_join(Occur.MUST, [_join(Occur.SHOULD, term) for term in terms]))
    absent = [every_word(term, column) for term in query.absent]
    return BooleanQuery(_join(Occur.SHOULD, should).queries + _join(Occur.MUST_NOT, absent).queries)


def _join(occur: Occur, parts: list[FullTextQuery]) -> BooleanQuery:
    return BooleanQuery([(occur, part) for part in parts])


def _some_word(text: str, column: str) -> FullTextQuery:
    return MatchQuery(_once(text), column)  # type: ignore[call-arg]  # mypy does not see the defaults of pydantic's fields


def every_word(text: str, column: str, weight: float = 1.0) -> FullTextQuery:
    """Write a query for the rows that have all words of a term."""
    return MatchQuery(_once(text), column, operator=FullTextOperator.AND, boost=weight)  # type: ignore[call-arg]  # as above


def _once(text: str) -> str:
    """Leave out words that are repeated: LanceDB looks for each again, which takes seconds for a thousand."""
    return " ".join(dict.fromkeys(text.casefold().split()))

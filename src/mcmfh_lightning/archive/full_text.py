"""Queries of LanceDB's full-text index over what reports affirm and negate."""

from lancedb.query import BooleanQuery, FullTextOperator, MatchQuery, Occur

from mcmfh_lightning.archive.words import WordQuery

# A name that reports use counts more than the words of the query. Chosen on training reports of Open-i: 1 is worse,
# 4 as good.
NAME_WEIGHT = 2.0


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

    def every_word(term: str, weight: float = 1.0) -> MatchQuery:
        return MatchQuery(term, column, operator=FullTextOperator.AND, boost=weight)

    names = [[every_word(name, NAME_WEIGHT) for name in found] for found in query.names]
    should = [MatchQuery(query.affirmed_text or query.negated_text, column)]
    should += [name for found in names for name in found]
    terms = [
        BooleanQuery([(Occur.SHOULD, match) for match in (every_word(term), *(names[place] if names else ()))])
        for place, term in enumerate(query.affirmed)
    ]
    if len(terms) > 1:
        should.append(BooleanQuery([(Occur.MUST, term) for term in terms]))
    absent = [(Occur.MUST_NOT, every_word(term)) for term in query.negated]
    return BooleanQuery([*((Occur.SHOULD, part) for part in should), *absent]) if should[0].query else None

"""A result in sentences, the same in every output."""

from mcmfh_lightning.archive.results import SearchResult

NOTICE = "Research use, not diagnosis."
_AGAINST = {"case": "codes of cases", "image": "codes of images", "text": "codes of texts"}


def heading(result: SearchResult) -> str:
    """What was asked."""
    return f"{result.query_modality} query: {result.query}"


def sentences(result: SearchResult) -> list[str]:
    """How the result came about: how many items, ties, ranking anew, time."""
    found = f"{result.total:,} found among {result.candidates:,} {_items(result.candidates)}"
    return [
        f"{found}, by {_AGAINST[result.against]}: {result.num_bits} bits ({result.code_bytes} bytes) each, "
        f"{result.index} index.",
        *_ties(result),
        _order(result),
        _time(result),
    ]


def _ties(result: SearchResult) -> list[str]:
    if result.tie_distance is None:
        return []
    return [
        f"Ties: {result.ties:,} {_items(result.ties)} at Hamming distance {result.tie_distance}, where the ranking by "
        f"codes ends; {result.tied_shown:,} of them found."
    ]


def _order(result: SearchResult) -> str:
    if result.reranked == 0:
        return "Order: Hamming distance, then id."
    return (
        f"Order: the {result.reranked:,} nearest by the cosine of their relaxed codes, the others by Hamming distance, "
        "then id."
    )


def _time(result: SearchResult) -> str:
    timing = result.timing
    parts = [("encode", timing.encode), ("search", timing.search), ("rerank", timing.rerank), ("fetch", timing.fetch)]
    told = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in parts)
    return f"Time after load: {1000 * timing.total:.1f} ms ({told})."


def _items(number: int) -> str:
    return "item" if number == 1 else "items"

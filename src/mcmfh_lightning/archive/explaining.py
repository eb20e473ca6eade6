"""What a search found and why, in the words of those who read films; every output shows the same."""

from collections.abc import Iterator

from mcmfh_lightning.archive.results import Hit, Reason, SearchResult, Source

_NAMES: dict[Source, str] = {
    "words": "words",
    "picture": "picture, the same or nearly",
    "case": "codes of cases",
    "image": "codes of images",
    "text": "codes of texts",
}


def why(hit: Hit) -> str:
    """Say why a hit was found: its place in each ranking, and how far its codes are."""
    if len(hit.reasons) > 1:
        return "; ".join(map(_place, hit.reasons))
    return "by words" if hit.distance is None else _measures(hit.distance, hit.similarity)


def explain(result: SearchResult) -> tuple[str, ...]:
    """Say in sentences what was searched, and what codes cannot tell apart."""
    return (*sources(result), *ties(result))


def sources(result: SearchResult) -> Iterator[str]:
    """Say how many items have the words or the picture of the query, or are searched by."""
    if result.query_items > 1:
        yield f"Searched by {result.query_items} cases: each ranks the others, and the rankings are joined."
    if result.with_words is not None:
        cases = _counted(result.with_words, "case has", "cases have")
        joined = " Codes of cases found others: both rankings are joined." if result.match == "both" else ""
        yield f"{cases} words of the query.{joined}"
    elif result.no_words is not None:
        yield f"Words were not searched: {result.no_words}."
    if result.without:
        fate = "come last" if result.match == "both" else "are left out"
        cases = _counted(result.affirming, "case", "cases")
        yield f"Asked to be without {', '.join(result.without)}: {cases} whose text affirms that {fate}."
    if result.equal is not None and result.near_equal is not None:
        pictures = _counted(result.near_equal, "picture is", "pictures are") if result.near_equal else "No picture is"
        first = " and comes first" if result.near_equal == 1 else " and come first"
        shown = first if result.against == "both" and result.near_equal else ""
        same = _counted(result.equal, "has", "have")
        yield f"{pictures} the same as yours or nearly{shown}; {same} the same {result.num_bits}-bit code."


def ties(result: SearchResult) -> Iterator[str]:
    """Say that codes cannot tell some that are listed from some that are not, and what has decided."""
    if result.tie_distance is None or result.ties <= result.tied_shown:
        return
    differ = "differs" if result.tie_distance == 1 else "differ"
    bits = f"{result.tie_distance} of {result.num_bits} bits {differ}"
    if not result.tied_reranked:
        more = _counted(result.ties - result.tied_shown, "more case is", "more cases are")
        yield (
            f"{more} as near as the last of the list ({bits}). Short codes cannot tell them apart: their ids decide "
            "which are listed."
        )
        return
    compared = "A finer comparison, of embeddings,"
    if result.tied_reranked < result.ties:
        compared = f"A finer comparison, of embeddings, of the {result.tied_reranked:,} with the first ids"
    yield (
        f"Where the list ends, the short codes of {result.ties:,} cases are equally near ({bits}). "
        f"{compared} chose the {result.tied_shown:,} of them in the list."
    )


def _counted(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _place(reason: Reason) -> str:
    place = "not by" if reason.rank is None else f"{reason.rank:,}. by"
    name = _NAMES[reason.by] if reason.item is None else f"likeness to {reason.item}"
    measures = "" if reason.distance is None else f" ({_measures(reason.distance, reason.similarity)})"
    return f"{place} {name}{measures}"


def _measures(distance: int, similarity: float | None) -> str:
    return f"Hamming distance {distance}" + ("" if similarity is None else f", cosine {similarity:.3f}")

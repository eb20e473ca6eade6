"""The claims of the method and what was asked for, beside what was measured."""

from collections.abc import Iterator, Sequence

from retrieval.rows import (
    BATCH_RATIO,
    BYTES,
    DRAWN,
    ENCODING,
    FLAT,
    HASH,
    ONE,
    ONE_RATIO,
    REAL,
    Row,
    Values,
    by_key,
    sizes,
    times,
)

PUBLISHED_SPEED = 1.73
PUBLISHED_MEMORY = 1 / 4
ASKED, GOAL = 10, 50
ASKED_MEMORY = 1 / 1024
BITS, LONG = 16, 64


def claims(rows: Sequence[Row]) -> str:
    """A line for each claim and setting: what was measured, and what that makes of the claim."""
    values = by_key(rows)
    numbers = sizes(rows)
    lines = [["claim", "setting", "measured", ""], ["---", "---", "---:", "---"]]
    for items in numbers:
        for index, line in _speeds(values, items):
            lines.append([f"{PUBLISHED_SPEED} x faster than real-valued", f"N = {items:,}, {index}", *line])
    for system, name in ((FLAT, "codes alone, `FlatIndex`"), (HASH, "`HashIndex`")):
        share = _bytes(values, system, numbers[-1], BITS) / _bytes(values, system, numbers[-1], LONG)
        lines.append(
            [
                f"{BITS} bits take 1/4 of the memory of {LONG}",
                f"N = {numbers[-1]:,}, {name}",
                f"{share:.3f}",
                "confirmed" if share <= PUBLISHED_MEMORY else "refuted",
            ]
        )
    for system, name in ((FLAT, "`FlatIndex`"), (HASH, "`HashIndex`")):
        share = _bytes(values, system, numbers[-1], BITS) / _bytes(values, REAL, numbers[-1], _real_width(values))
        for metric, how in ((ONE_RATIO, "one query"), (BATCH_RATIO, "batch")):
            ratio = values[system, DRAWN, numbers[-1], BITS, 1, metric]
            held = "goal reached" if ratio >= GOAL else "reached, goal missed" if ratio >= ASKED else "missed"
            if share > ASKED_MEMORY:
                held += ", memory missed"
            lines.append(
                [
                    f"{ASKED} x (goal {GOAL} x) faster in 1/1,024 of the memory",
                    f"N = {numbers[-1]:,}, {name}, {how}",
                    f"{times(ratio)} x in 1/{1 / share:,.0f}",
                    held,
                ]
            )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _speeds(values: Values, items: int) -> Iterator[tuple[str, list[str]]]:
    """How many times as fast codes of 16 bits are: the search alone, and with the encoding of the query."""
    for metric, how in ((ONE_RATIO, "`FlatIndex`, one query"), (BATCH_RATIO, "`FlatIndex`, batch")):
        yield how, _verdict(values[FLAT, DRAWN, items, BITS, 1, metric])
    encoding = values.get((ENCODING, "", 0, BITS, 1, ONE))
    if encoding is not None:
        real = values[REAL, DRAWN, items, _real_width(values), 1, ONE]
        whole = (encoding + real) / (encoding + values[FLAT, DRAWN, items, BITS, 1, ONE])
        yield f"`FlatIndex`, one text query, its encoding ({encoding:.0f} ms) included", _verdict(whole)


def _verdict(ratio: float) -> list[str]:
    return [f"{times(ratio)} x", "confirmed" if ratio >= PUBLISHED_SPEED else "refuted"]


def _bytes(values: Values, system: str, items: int, width: int) -> float:
    return values[system, DRAWN, items, width, 0, BYTES]


def _real_width(values: Values) -> int:
    return next(width for system, _, _, width, _, _ in values if system == REAL)

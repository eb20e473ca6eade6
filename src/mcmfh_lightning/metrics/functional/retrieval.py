"""Search of items by their codes: the nearest ones, or those of a Hamming ball, with their ids.

Exact, and the same on every device and for every order of the database: items of equal distance are ordered by id.
The database is walked through in chunks and never sorted by distance as a whole.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from mcmfh_lightning.metrics.functional.histogram import hamming_distances

PAIRS_PER_CHUNK = 1 << 20
"""Query-item pairs compared at a time, next to the k nearest of each query: some 30 MB of temporaries."""


class Neighbors(NamedTuple):
    """The nearest items of each query, nearest first; ties in ascending order of ids."""

    ids: Tensor
    """(Q, k) int64; -1 where there are fewer than k items."""
    distances: Tensor
    """(Q, k) int16; -1 likewise."""
    ties: Tensor
    """(Q,) int64: items as near as the k-th which found no place, so that another order of ids would show others."""


class Ball(NamedTuple):
    """The items around each query, one query after the other: those of query q are ``offsets[q]:offsets[q + 1]``."""

    offsets: Tensor
    """(Q + 1,) int64."""
    ids: Tensor
    """(M,) int64, nearest first for each query; ties in ascending order of ids."""
    distances: Tensor
    """(M,) int16."""


def nearest(query_codes: Tensor, codes: Tensor, k: int, *, ids: Tensor | None = None) -> Neighbors:
    """Find the k nearest items of each query by Hamming distance.

    Memory is O(Q (k + chunk)) in addition to the arguments, and O(n) for the order of ids if they are given.

    Args:
        query_codes: (Q, W) uint8, packed codes.
        codes: (n, W) uint8.
        k: Number of items to find.
        ids: (n,) int64 in any order; positions if not given. Items of equal ids are ordered by position.

    Returns:
        The neighbors.

    Raises:
        ValueError: If k is less than 1, or ids are not one for each item.

    Example:
        >>> codes = torch.tensor([[0b00], [0b11], [0b01], [0b10]], dtype=torch.uint8)
        >>> nearest(codes[:1], codes, k=2)
        Neighbors(ids=tensor([[0, 2]]), distances=tensor([[0, 1]], dtype=torch.int16), ties=tensor([1]))
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    order = _by_id(codes, ids)
    size, found = len(codes), min(k, len(codes))
    # A pair's key orders by distance, then by position; no two keys of a query are equal, so any top-k algorithm gives
    # the same.
    keys = torch.empty(len(query_codes), 0, dtype=torch.int64, device=codes.device)
    ties, farthest = (keys.new_zeros(len(query_codes)) for _ in range(2))
    for part in _chunks(len(query_codes), size, least=k):
        distances = hamming_distances(query_codes, _rows(codes, order, part)).long()
        positions = torch.arange(part.start, part.stop, device=codes.device)
        candidates = torch.cat([keys, distances * size + positions], dim=1)
        keys = candidates.topk(found, largest=False).values
        before, farthest = farthest, keys[:, -1] // size
        # Items left out earlier are at least as far as the k-th was then: they are tied with the k-th of now, or gone.
        left_out = (candidates < (farthest + 1)[:, None] * size).sum(1) - found
        ties = ties.where(farthest == before, 0) + left_out
    places = (0, k - found)
    positions, distances = (keys % max(1, size)), (keys // max(1, size)).to(torch.int16)
    return Neighbors(pad(_ids(positions, order, ids), places, value=-1), pad(distances, places, value=-1), ties)


def within_radius(query_codes: Tensor, codes: Tensor, radius: int, *, ids: Tensor | None = None) -> Ball:
    """Find all items within a Hamming distance of each query.

    Args:
        query_codes: (Q, W) uint8, packed codes.
        codes: (n, W) uint8.
        radius: Largest distance, at least 0; the number of bits or more takes every item.
        ids: (n,) int64 in any order; positions if not given. Items of equal ids are ordered by position.

    Returns:
        The items; their number bounds the memory.

    Raises:
        ValueError: If the radius is negative, or ids are not one for each item.

    Example:
        >>> codes = torch.tensor([[0b00], [0b11], [0b01]], dtype=torch.uint8)
        >>> within_radius(codes[:2], codes, radius=1)
        Ball(offsets=tensor([0, 2, 4]), ids=tensor([0, 2, 1, 2]), distances=tensor([0, 1, 0, 1], dtype=torch.int16))
    """
    if radius < 0:
        raise ValueError(f"radius must be at least 0, got {radius}")
    order = _by_id(codes, ids)
    found = [torch.empty(3, 0, dtype=torch.int64, device=codes.device)]
    for part in _chunks(len(query_codes), len(codes)):
        distances = hamming_distances(query_codes, _rows(codes, order, part))
        query, item = (distances <= radius).nonzero().unbind(1)
        found.append(torch.stack([query, distances[query, item].long(), part.start + item]))
    queries, near, positions = torch.cat(found, dim=1)
    levels = 8 * codes.shape[1] + 1
    # Of one query and distance, items came by position, which a stable sort keeps.
    sequence = (queries * levels + near).argsort(stable=True)
    offsets = pad(torch.bincount(queries, minlength=len(query_codes)).cumsum(0), (1, 0))
    return Ball(offsets, _ids(positions[sequence], order, ids), near[sequence].to(torch.int16))


def _by_id(codes: Tensor, ids: Tensor | None) -> Tensor | None:
    """Positions in ascending order of ids, (n,) int64; None if that is the order of the database."""
    if ids is None:
        return None
    if ids.shape != codes.shape[:1]:
        raise ValueError(f"ids must be one for each of the {len(codes)} items, got shape {tuple(ids.shape)}")
    return ids.argsort(stable=True)


def _rows(codes: Tensor, order: Tensor | None, part: slice) -> Tensor:
    return codes[part] if order is None else codes[order[part]]


def _ids(positions: Tensor, order: Tensor | None, ids: Tensor | None) -> Tensor:
    return positions if order is None or ids is None else ids[order[positions]]


def _chunks(num_queries: int, num_items: int, least: int = 0) -> list[slice]:
    step = least + max(1, PAIRS_PER_CHUNK // max(1, num_queries))
    return [slice(start, min(start + step, num_items)) for start in range(0, num_items, step)]

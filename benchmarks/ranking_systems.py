"""The evaluators that are compared, each a function of the data that makes a function without arguments to time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import faiss
import numba
import numpy as np
import torch
from numpy.typing import NDArray
from ranking_data import NUM_LABELS, Data, Run, histogram
from torch import Tensor
from torchmetrics.retrieval import RetrievalMAP

from mcmfh_lightning.metrics import functional
from mcmfh_lightning.metrics.kernels.cpu import _ones
from mcmfh_lightning.metrics.kernels.reference import to_words

FEW_QUERIES = 20
DEPTH = 50
DEPTHS = torch.tensor([1, 5, 10, 50, 100, 500, 1000])


def all_binary_metrics(data: Data) -> Run:
    """Compute every binary metric from one histogram."""
    arguments = data.arguments
    return lambda: _binary_metrics(*functional.hamming_histogram(*arguments))


def all_metrics(data: Data) -> Run:
    """Compute every metric, graded ones too, from one histogram."""
    arguments = data.arguments

    def run() -> None:
        counts = functional.graded_histogram(*arguments)
        _binary_metrics(counts.total, counts.relevant)
        functional.ndcg(counts.total, counts.gains, counts.shared, DEPTH)
        functional.average_cumulative_gain(counts.total, counts.gains, DEPTH)

    return run


def _binary_metrics(total: Tensor, relevant: Tensor) -> None:
    for k in (None, DEPTH):
        functional.average_precision(total, relevant, k)
        functional.average_precision_bounds(total, relevant, k)
        functional.chance_average_precision(total.sum(1), relevant.sum(1), k)
    functional.precision_at(total, relevant, DEPTHS)
    functional.recall_at(total, relevant, DEPTHS)
    functional.precision_recall_by_radius(total, relevant)
    functional.precision_within_radius(total, relevant, 2)


def usual(data: Data) -> Run:
    """Rank as the usual evaluator does, (a): signs as floats, one product and one argsort a query."""
    query_codes, codes = (2 * _bits(rows, data.num_bits) - 1 for rows in (data.query_codes, data.codes))
    query_labels, labels = (_bits(rows, NUM_LABELS) for rows in (data.query_labels, data.labels))

    def run() -> float:
        precisions = []
        for code, label in zip(query_codes, query_labels, strict=True):
            order = np.argsort(0.5 * (data.num_bits - code @ codes.T))
            precisions.append(_average_precision((label @ labels.T > 0)[order]))
        return float(np.nanmean(precisions))

    return run


def torchmetrics_map(data: Data) -> Run:
    """Hand distances and relevance of all pairs to the metric, (b); computing them is included."""
    query_codes, codes = (2 * functional.unpack_bits(rows).float() - 1 for rows in (data.query_codes, data.codes))
    query_labels, labels = (functional.unpack_bits(rows).float() for rows in (data.query_labels, data.labels))

    def run() -> Tensor:
        metric = RetrievalMAP()
        for number, (code, label) in enumerate(zip(query_codes, query_labels, strict=True)):
            metric.update(codes @ code, labels @ label > 0, indexes=torch.full((len(codes),), number))
        return metric.compute()

    return run


def faiss_top(data: Data) -> Run:
    """Search for the nearest 50, (c), without evaluating them."""
    index = _faiss_index(data)
    queries = data.query_codes.numpy()
    return lambda: index.search(queries, DEPTH)


def faiss_all(data: Data) -> Run:
    """Rank everything with faiss, (c), and compute its AP."""
    index = _faiss_index(data)
    queries = data.query_codes.numpy()
    query_labels, labels = (_bits(rows, NUM_LABELS) for rows in (data.query_labels, data.labels))

    def run() -> float:
        _, order = index.search(queries, len(data.codes))
        ranked = zip(query_labels, order, strict=True)
        return float(np.nanmean([_average_precision((labels @ label > 0)[ids]) for label, ids in ranked]))

    return run


def _average_precision(relevant: NDArray[np.bool_]) -> float:
    ranks = np.flatnonzero(relevant) + 1
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks)) if len(ranks) else np.nan


def _bits(rows: Tensor, width: int) -> NDArray[np.float32]:
    return functional.unpack_bits(rows)[:, :width].float().numpy()


def _faiss_index(data: Data) -> faiss.IndexBinaryFlat:
    index = faiss.IndexBinaryFlat(8 * data.codes.shape[1])
    index.add(data.codes.numpy())
    return index


def floor(data: Data) -> Run:
    """Count bits, (d), in parts of the database that stay in the cache, as our kernel takes them."""
    # The words are made before the clock starts.
    words = [to_words(rows).numpy().view(np.uint64) for rows in (data.query_codes, data.query_labels)]
    parts = [
        [to_words(rows[start : start + (1 << 16)]).numpy().view(np.uint64) for rows in (data.codes, data.labels)]
        for start in range(0, len(data.codes), 1 << 16)
    ]
    threads = torch.get_num_threads()
    cuts = np.array_split(np.arange(len(data.query_codes)), threads)

    def run() -> int:
        def work(queries: NDArray[np.int64]) -> int:
            codes, labels = (np.ascontiguousarray(word[:, queries]) for word in words)
            return sum(int(_bits_of_pairs(codes, part[0], labels, part[1])) for part in parts)

        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(work, cuts))

    return run


@numba.njit(nogil=True)
def _bits_of_pairs(
    queries: NDArray[np.uint64], codes: NDArray[np.uint64], query_labels: NDArray[np.uint64], labels: NDArray[np.uint64]
) -> int:
    bits = np.int64(0)
    for q in range(queries.shape[1]):
        for w in range(queries.shape[0]):
            code, row = queries[w, q], codes[w]
            for i in range(row.shape[0]):
                bits += np.int64(_ones(code ^ row[i]))
        for w in range(query_labels.shape[0]):
            label, row = query_labels[w, q], labels[w]
            for i in range(row.shape[0]):
                bits += np.int64(_ones(label & row[i]))
    return bits


def systems(data: Data) -> dict[str, tuple[Callable[[Data], Run], Data]]:
    """List every system by name, with the data it is given."""
    few = replace(data, query_codes=data.query_codes[:FEW_QUERIES], query_labels=data.query_labels[:FEW_QUERIES])
    found: dict[str, tuple[Callable[[Data], Run], Data]] = {
        "ours, numba, binary": (partial(histogram, functional.hamming_histogram, "numba"), data),
        "ours, numba, all binary metrics": (all_binary_metrics, data),
        "ours, numba, graded": (partial(histogram, functional.graded_histogram, "numba"), data),
        "ours, numba, all metrics": (all_metrics, data),
        "ours, torch, binary": (partial(histogram, functional.hamming_histogram, "torch"), few),
        "(c) faiss, top 50 alone": (faiss_top, data),
        "(d) floor": (floor, data),
    }
    if len(data.codes) <= 1_000_000:  # beyond that these take gigabytes
        found |= {
            "(a) usual NumPy evaluator": (usual, few),
            "(b) torchmetrics RetrievalMAP": (torchmetrics_map, few),
            "(c) faiss, full ranking and AP": (faiss_all, few),
        }
    return found

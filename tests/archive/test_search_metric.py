"""Distances of an archive's searches against the metric code, which computes with torch."""

import numpy as np
import pytest
import torch

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.metrics.functional import hamming_distances, hamming_histogram

from .made import SIDES, Made


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("made") / "archive", seed=3, count=200, num_bits=16)


@pytest.mark.parametrize("num_bits", [5, 16, 64])
def test_distances_in_plain_python_are_those_of_the_metric_code(tmp_path, num_bits):
    """By which `test_search_ranking` orders items, also where torch is not installed."""
    made = Made(tmp_path / "archive", seed=1, count=40, num_bits=num_bits)
    codes = {side: torch.from_numpy(code) for side, code in made.codes.items()}
    for modality in ("image", "text"):
        for against in SIDES:
            expected = hamming_distances(codes[modality], codes[against]).tolist()
            assert [made.distances(query, modality, against) for query in range(40)] == expected


@pytest.mark.parametrize("against", SIDES)
def test_items_at_each_distance_are_as_many_as_the_ranking_histogram_counts(made, against):
    archive = Archive.open(made.folder)
    present = made.has[against]
    groups = torch.from_numpy(made.groups)
    for query in np.flatnonzero(made.has["text"])[:10].tolist():
        labels = torch.zeros(len(present), 1, dtype=torch.uint8)
        counts, _ = hamming_histogram(
            torch.from_numpy(made.codes["text"][query : query + 1]),
            torch.from_numpy(made.codes[against][present]),
            labels[:1],
            labels[: int(present.sum())],
            groups[query : query + 1],
            groups[present],
            made.num_bits,
        )
        result = archive.search(id=made.ids[query], modality="text", against=against, radius=made.num_bits, rerank=0)
        found = np.bincount([hit.distance for hit in result.hits], minlength=made.num_bits + 1)
        assert found.tolist() == counts[0].tolist()

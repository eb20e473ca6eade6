"""Answering a query on one core.

One query gains little from several cores (faiss divides queries among them, not codes) and loses much where others use
them, as threads wait for the slowest. On two cores a text was encoded in 14 ms with one thread and with two; with two
in 180 ms while another program ran, and 7,426 codes were searched in 27 ms in place of less than 1.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import faiss
import torch


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Have torch use one thread meanwhile.

    Its setting is one of the process: who enters while another is inside would bring back 1, so callers hold a lock.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def faiss_on_one_thread() -> Iterator[None]:
    """Have faiss use one thread meanwhile; OpenMP keeps this setting for each thread that calls."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

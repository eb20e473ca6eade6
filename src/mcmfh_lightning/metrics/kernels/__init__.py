"""Counting pairs: a reference in torch, a kernel for CPUs (Numba), one for CUDA (Triton); all give equal integers."""

from mcmfh_lightning.metrics.kernels.dispatch import Backend, graded_histogram, hamming_histogram
from mcmfh_lightning.metrics.kernels.reference import GradedCounts

__all__ = ["Backend", "GradedCounts", "graded_histogram", "hamming_histogram"]

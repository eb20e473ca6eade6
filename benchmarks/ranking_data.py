"""Random codes and label sets, drawn on the device that ranks them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from mcmfh_lightning.metrics import functional

NUM_LABELS = 64
DENSITY = 0.05
WARM_UP = 200_000


@dataclass(frozen=True)
class Data:
    """Packed queries and database; every group is one item."""

    num_bits: int
    query_codes: Tensor
    codes: Tensor
    query_labels: Tensor
    labels: Tensor

    def part(self) -> "Data":
        """Take the first items, to warm up."""
        return replace(self, codes=self.codes[:WARM_UP], labels=self.labels[:WARM_UP])

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, int]:
        """Arguments of the histograms: no query is of a group of the database."""
        query_groups = -1 - torch.arange(len(self.query_codes), device=self.codes.device)
        groups = torch.arange(len(self.codes), device=self.codes.device)
        return self.query_codes, self.codes, self.query_labels, self.labels, query_groups, groups, self.num_bits


def random_data(num_bits: int, queries: int, items: int, device: str = "cpu") -> Data:
    """Draw codes and label sets from seed 0."""
    generator = torch.Generator(device).manual_seed(0)

    def rows(count: int, width: int, density: float) -> Tensor:
        sizes = [min(1 << 18, count - start) for start in range(0, count, 1 << 18)]
        drawn = (torch.rand(size, width, generator=generator, device=device) < density for size in sizes)
        return torch.cat([functional.pack_bits(part) for part in drawn])

    codes = [rows(count, num_bits, 0.5) for count in (queries, items)]
    return Data(num_bits, *codes, *(rows(count, NUM_LABELS, DENSITY) for count in (queries, items)))


Run = Callable[[], object]


def histogram(count: Callable[..., object], backend: str, data: Data) -> Run:
    """Count the binary or the graded histogram."""
    return partial(count, *data.arguments, backend=backend)

"""The matrix products of a computation: recorded while it runs, and then run alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten
# Positions of the first of two factors among an operator's arguments.
_PRODUCTS = {aten.mm: 0, aten.bmm: 0, aten.addmm: 1, aten.baddbmm: 1}


class Factor(NamedTuple):
    """The layout of a factor: transposed ones are multiplied at another speed."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def make(self) -> Tensor:
        """Draw random numbers in that layout."""
        extent = 1 + sum((length - 1) * stride for length, stride in zip(self.size, self.stride, strict=True))
        numbers = torch.randn(max(extent, 0), dtype=self.dtype, device=self.device)
        # Entries that share a place in memory (an expanded gradient) share one again.
        return torch.as_strided(numbers, self.size, self.stride) if 0 not in self.size else numbers.new_empty(self.size)


Product = tuple[Factor, Factor]  # two matrices, or two batches of them


class RecordProducts(TorchDispatchMode):
    """A list of the matrix products that run inside, those of a backward pass too.

    Attention is left out: inside a sample it multiplies two rows by two.

    Attributes:
        products: Products in the order in which they ran.

    Raises:
        NotImplementedError: If something else runs that multiplies matrices, such as a convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401  # as torch declares it
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  # whatever the operator returns
        """Record a product, and run the operator."""
        operator = func.overloadpacket
        start = _PRODUCTS.get(operator)
        if start is not None:
            first, second = (Factor(tuple(t.shape), t.stride(), t.dtype, t.device) for t in args[start : start + 2])
            self.products.append((first, second))
        elif operator in flop_registry and "attention" not in operator.__name__:
            raise NotImplementedError(f"{operator} multiplies matrices too: add it to benchmarks/matrix_products.py")
        return func(*args, **(kwargs or {}))


def replay(products: Sequence[Product]) -> Callable[[], None]:
    """Make a function that runs the products alone, on factors and into results that exist already."""
    made = []
    for product in products:
        first, second = (factor.make() for factor in product)
        made.append((first, second, torch.empty_like(torch.matmul(first, second))))

    def run() -> None:
        for first, second, result in made:
            torch.matmul(first, second, out=result)

    return run

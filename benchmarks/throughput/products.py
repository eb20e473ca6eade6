"""The matrix products of a computation: recorded while it runs, then run alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten
# Where the two factors stand among an operator's arguments.
_PRODUCTS = {aten.mm: 0, aten.bmm: 0, aten.addmm: 1, aten.baddbmm: 1}


class Factor(NamedTuple):
    """A factor's layout: transposed ones are multiplied at another speed."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def make(self) -> Tensor:
        """Random numbers in that layout."""
        extent = 1 + sum((length - 1) * stride for length, stride in zip(self.size, self.stride, strict=True))
        numbers = torch.randn(max(extent, 0), dtype=self.dtype, device=self.device)
        # Entries that share their place (an expanded gradient) do so again.
        return torch.as_strided(numbers, self.size, self.stride) if 0 not in self.size else numbers.new_empty(self.size)


class Product(NamedTuple):
    """Two factors, both matrices or both batches of them."""

    first: Factor
    second: Factor

    @property
    def flops(self) -> int:
        """Two for each multiplication and addition."""
        flops = 2 * self.second.size[-1]
        for length in self.first.size:
            flops *= length
        return flops


class RecordProducts(TorchDispatchMode):
    """Lists the matrix products that run inside, those of a backward pass too.

    Attention is left out: inside a sample it multiplies two rows by two.

    Attributes:
        products: In the order in which they ran.

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
    ) -> Any:  # noqa: ANN401
        """Note down a product, and run what is to be run."""
        operator = func.overloadpacket
        start = _PRODUCTS.get(operator)
        if start is not None:
            first, second = (_layout(tensor) for tensor in args[start : start + 2])
            self.products.append(Product(first, second))
        elif operator in flop_registry and "attention" not in operator.__name__:
            raise NotImplementedError(
                f"{operator} multiplies matrices too: add it to benchmarks/throughput/products.py"
            )
        return func(*args, **(kwargs or {}))


def replay(products: Sequence[Product]) -> Callable[[], None]:
    """What runs the products alone, on factors and into results that exist already, each its own."""
    made = []
    for product in products:
        first, second = product.first.make(), product.second.make()
        made.append((first, second, torch.empty_like(torch.matmul(first, second))))

    def run() -> None:
        for first, second, result in made:
            torch.matmul(first, second, out=result)

    return run


def _layout(tensor: Tensor) -> Factor:
    return Factor(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)

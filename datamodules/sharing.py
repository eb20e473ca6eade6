"""One rank reads, all ranks know."""

from collections.abc import Callable
from typing import TypeVar

from lightning.pytorch import Trainer

from mcmfh_lightning.errors import DataError

_Result = TypeVar("_Result")


def from_rank_zero(trainer: Trainer | None, make: Callable[[], _Result]) -> _Result:
    """Call a function on rank 0 and hand its result to all ranks.

    Args:
        trainer: The trainer, its processes running; None stands for a single process.
        make: What rank 0 calls; its result can be pickled.

    Raises:
        DataError: On all ranks alike, if ``make`` raised one: no rank is left waiting for another that gave up.
    """
    if trainer is None or trainer.world_size == 1:
        return make()
    result: _Result | None = None
    complaint: str | None = None
    if trainer.is_global_zero:
        try:
            result = make()
        except DataError as error:
            complaint = str(error)
    complaint, result = trainer.strategy.broadcast((complaint, result))
    if complaint is not None:
        raise DataError(complaint)
    return result  # type: ignore[return-value]  # rank 0 has called make()

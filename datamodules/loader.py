"""Loaders: every batch that a stream announces arrives once and in order, or an error says so."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakValueDictionary

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

from mcmfh_lightning import shared_memory
from mcmfh_lightning.datamodules.streams import BatchStream, Numbered, TrainingStream
from mcmfh_lightning.errors import DataError, McmfhError

_WORKER_ENDED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) ([^.]*)")
_loaders: "WeakValueDictionary[int, BatchLoader]" = WeakValueDictionary()
"""The loader of each worker process, by its process id."""


class _Workers(_MultiProcessingDataLoaderIter):
    """Torch's iterator of worker processes, which can also be deleted where they could not be started."""

    _shutdown = True  # until torch sets it: without it Python prints a traceback about the half-made iterator


class BatchLoader(DataLoader[Any]):
    """A loader of the batches of a stream that counts what arrives.

    Torch can lose a batch of an iterable data set on its way from a worker process and continue with the next one.
    Here each batch has its number, and the numbers must be those of the stream, in order. Whoever stops before the
    last batch, such as a trainer with ``limit_val_batches``, gets no error.

    Args:
        dataset: What to load.
        name: What errors call this loader, such as ``test/query``.
        fix: What errors advise in place of worker processes.
        options: Arguments of torch's `DataLoader`, such as ``num_workers``; the batches come whole.
    """

    def __init__(
        self,
        dataset: BatchStream,
        name: str,
        *,
        fix: str = shared_memory.FIX,
        **options: Any,  # noqa: ANN401  # torch's
    ) -> None:
        super().__init__(dataset, **options, batch_size=None)
        self.stream = dataset
        self.name = name
        self.fix = fix

    def __iter__(self) -> Iterator[Mapping[str, Any]]:  # type: ignore[override]  # torch's iterators have no open base
        """Start the workers and return an iterator of the batches.

        Raises:
            DataError: If the workers cannot be started, one of them ends, or a batch is missing, comes twice or was
                not announced.
        """
        numbers = self.stream.numbers()
        try:
            batches: Iterator[Numbered] = super().__iter__()
        except (OSError, RuntimeError) as error:
            full = shared_memory.is_full(error)
            if isinstance(error, RuntimeError) and not full:
                raise
            workers = f"{self.num_workers} worker process{'es' * (self.num_workers > 1)}"
            reason = error.strerror if isinstance(error, OSError) else "No space left on device"
            raise self.failed(f"{workers} cannot be started ({reason})", full=full) from error
        if isinstance(batches, _MultiProcessingDataLoaderIter):
            _loaders.update((worker.pid, self) for worker in batches._workers if worker.pid is not None)
        return self._checked(batches, numbers)

    def _get_iterator(self) -> _BaseDataLoaderIter:
        if not self.num_workers:
            return super()._get_iterator()
        self.check_worker_number_rationality()
        return _Workers(self)

    def _checked(self, batches: Iterator[Numbered], numbers: range) -> Iterator[Mapping[str, Any]]:
        try:
            for position, number in enumerate(numbers):
                arrived = self._next(batches)
                if arrived is None:
                    raise self.failed(f"{position} of {len(numbers)} batches arrived, the others are lost")
                found, batch = arrived
                if found < number:
                    raise self.failed(f"batch {found - numbers.start + 1} of {len(numbers)} came twice")
                if found > number:
                    other = f"batch {found - numbers.start + 1} came in its place"
                    raise self.failed(f"batch {position + 1} of {len(numbers)} did not arrive ({other})")
                yield batch
            if self._next(batches) is not None:
                raise self.failed(f"more than the {len(numbers)} announced batches arrived")
        except DataError:
            if isinstance(batches, _MultiProcessingDataLoaderIter):
                # Now, not when the iterator is deleted, where Python would print what torch raises.
                with suppress(RuntimeError):  # about the worker that has failed
                    batches._shutdown_workers()
                self._iterator = None  # a training loader keeps its workers; the next pass starts others
            raise

    def _next(self, batches: Iterator[Numbered]) -> Numbered | None:
        """Return the next batch, or None at the end."""
        if not self.num_workers:
            return next(batches, None)
        with worker_errors():
            try:
                return next(batches, None)
            except Exception as error:
                lines = (str(error).strip() or repr(error)).splitlines()
                if shared_memory.is_full(error):
                    raise self.failed("shared memory is full", full=True) from error
                if _WORKER_ENDED.match(lines[0]):
                    raise
                if not lines[0].startswith("Caught "):
                    raise self.failed(f"a batch could not be fetched from a worker process ({lines[0]})") from error
                # Raised in a worker: the message is a traceback, whose last line says what is wrong.
                if isinstance(error, McmfhError | OSError) or re.search("MemoryError|allocate memory", lines[-1]):
                    message = re.sub(r"^[\w.]+Error: ", "", lines[-1])
                    raise DataError(f"loader {self.name}: {message}") from error
                raise

    def failed(self, what: str, *, full: bool = False) -> DataError:
        """Make the error that says what became of this loader's batches, and what to do.

        Args:
            what: What became of them.
            full: Whether shared memory is known to be full.
        """
        fix = f"{shared_memory.advice(full=full)}{self.fix}" if self.num_workers else "please report this as a bug"
        return DataError(f"loader {self.name}: {what}: {fix}")


@contextmanager
def worker_errors() -> Iterator[None]:
    """Turn torch's error about a worker that has ended into one that names the loader and the fix.

    Torch raises it in whatever line the main process is at that moment, within a training step for example.

    Raises:
        DataError: If the body raises such an error.
    """
    try:
        yield
    except RuntimeError as error:
        ended = _WORKER_ENDED.match(str(error))
        loader = _loaders.get(int(ended[1].split(",")[0])) if ended else None
        if ended is None or loader is None:
            raise
        raise loader.failed(f"its worker process {ended[1]} {ended[2].strip()}") from error


class TrainingLoader(BatchLoader):
    """A loader that asks the trainer for its position whenever it is iterated.

    Workers begin to read as soon as a loader is iterated, so the position must be known before. They live as long as
    the loader: starting them again for an epoch of a small collection takes as long as reading it.

    Args:
        dataset: What to load.
        trainer: The trainer, or None to start at the beginning.
        options: Arguments of `BatchLoader`, such as ``num_workers``.
    """

    stream: TrainingStream

    def __init__(self, dataset: TrainingStream, trainer: Trainer | None, **options: Any) -> None:  # noqa: ANN401  # torch's
        options["persistent_workers"] = options.get("num_workers", 0) > 0
        super().__init__(dataset, "train", **options)
        self._trainer = trainer
        self._announced = False

    def __iter__(self) -> Iterator[Mapping[str, Any]]:  # type: ignore[override]  # see `BatchLoader`
        """Start at the number of batches that the run has trained on, over all its epochs.

        A loader cannot know this by itself: Lightning fetches ahead and workers read ahead, so when a checkpoint is
        saved the loader's own counter is beyond what was trained on. Nor does Lightning's epoch counter serve: a run
        limited by ``max_steps`` counts an epoch twice when it resumes from the end of one (seen in 2.6).
        """
        stream, sequence = self.stream, self.stream.sequence
        stream.position = 0
        if self._trainer is not None:
            # `processed` is raised right after the optimizer's step, before any hook that may save a checkpoint.
            stream.position = self._trainer.fit_loop.epoch_loop.batch_progress.total.state_dict()["processed"]
        # Here, so that workers that are forked now inherit the order and need not compute it each.
        sequence.order_of(stream.position)
        if not self._announced and sequence.passes > 1:
            rank_zero_info(
                f"{len(sequence.rows)} training pairs in batches of {sequence.global_batch_size}: an epoch goes through"
                f" them {sequence.passes} times, to have {len(sequence)} steps"
            )
        if not self._announced and sequence.left_out:
            rank_zero_info(
                f"{sequence.left_out} of {len(sequence.rows)} training pairs sit out each "
                f"{'epoch' if sequence.passes == 1 else 'pass'}, other ones every time: an epoch is a number of whole"
                f" global batches of {sequence.global_batch_size}"
            )
        self._announced = True
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing, as the position is the trainer's; Lightning only needs to see that the method exists."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Do nothing; see `state_dict`."""

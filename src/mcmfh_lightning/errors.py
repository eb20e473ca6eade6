"""Errors that name what is at fault and the fix, warnings that nobody can act on, and lines safe for a terminal."""

import errno
import io
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import requires
from importlib.util import find_spec
from typing import get_args

from rich.console import Console

from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shared_memory import full_message


class McmfhError(Exception):
    """Base of every error that this package raises on purpose; the command line prints it in one line."""


class DataError(McmfhError):
    """A collection, shard or sample that cannot be used."""


class CheckpointError(McmfhError):
    """A checkpoint that does not fit the data, the encoder or the flags it is used with."""


class ConfigError(McmfhError):
    """A configuration from which no run can be built."""


TRACEBACK_VARIABLE = "MCMFH_TRACEBACK"
"""Environment variable that asks for tracebacks instead of one line."""


@contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """Print an error of the user or of the system as one line, and exit with code 2.

    These are an `McmfhError`, what the system refuses (files, memory, a port) and a missing extra.
    ``MCMFH_TRACEBACK=1`` shows the traceback instead. Ctrl-C ends in one line as well, with code 130 as in a shell.
    Any other exception is a mistake of this package and always shows it. Every command runs in here: warnings of
    libraries that a user cannot act on are hidden as well, see `QUIET`.
    """
    make_printable()
    _quiet_libraries()
    try:
        yield
    except Exception as error:
        ours = own_error(error)
        system = missing_extra(error) or full_message(error) or _system_message(error, program)
        message = system if ours is None else str(ours)
        if message is None or os.environ.get(TRACEBACK_VARIABLE):
            raise
        sys.stderr.write(f"{program}: error: {_in_one_line(message)}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        sys.stderr.write(f"{program}: stopped by Ctrl-C before the end\n")
        sys.exit(128 + signal.SIGINT)


def _in_one_line(message: str) -> str:
    """Write a message as one line that is safe for a terminal: names and values in it may come from elsewhere.

    A worker process of a loader sends its traceback inside the message; the last line is the message itself.
    """
    lines = [line.strip() for line in message.strip().splitlines()]
    if "Traceback (most recent call last)" in message:
        lines = lines[-1:]
    return without_controls(" ".join(filter(None, lines)))


QUIET: tuple[tuple[str, type[Warning]], ...] = (
    # The stream of each worker knows its own batches, and `BatchLoader` counts what arrives.
    ("Your `IterableDataset` has `__len__` defined", UserWarning),
    # Features are read from mapped files, faster than worker processes could send them; pairs take all cores.
    ("The '\\w+_dataloader' does not have many workers", UserWarning),
    # `mcmfh test` reads checkpoints that `mcmfh fit` wrote to another folder, and writes none.
    ("The dirpath has changed from", UserWarning),
    # A run is resumed in its own folder; `check_unused` refuses the folder of another run.
    ("Checkpoint directory .* exists and is not empty", UserWarning),
    # Testing again replaces the results of the same weights on the same data; `check_results` refuses others.
    ("Experiment logs directory", UserWarning),
    # A fit without validation pairs has nothing to choose by; the last lines of the fit say so.
    ("`ModelCheckpoint\\(monitor=.* could not find", UserWarning),
    # Steps are counted over all epochs, and `ShortFit` has the last step logged where there are fewer in all.
    ("The number of training batches \\(\\d+\\) is smaller than the logging interval", UserWarning),
    # `FeatureWriter` reads the positions from the batch.
    ("Couldn't infer the batch indices", UserWarning),
    # Pairs are embedded by the module, not by the data.
    ("You have overridden `on_after_batch_transfer`", UserWarning),
    # Encoders stay in evaluation mode while a hasher is trained on them.
    ("Found \\d+ module\\(s\\) in eval mode", UserWarning),
    # A model that learns from labels, made to be tested on data without any.
    ("Initializing zero-element tensors is a no-op", UserWarning),
    # `mcmfh_lightning.images.dicom` counts what it ignores and refuses the rest; the messages would show header values.
    ("Invalid value for VR", UserWarning),
    ("The value length \\(\\d+\\) exceeds the maximum length of \\d+ allowed for VR", UserWarning),
    ('Value ".*" is not valid for elements with a VR of', UserWarning),
    ("Expected (im|ex)plicit VR, but found (im|ex)plicit VR", UserWarning),
    # `main(args)` of a test or a notebook: called from Python, with its own arguments.
    ("LightningCLI's args parameter is intended to run", UserWarning),
    # They name no file; a picture that cannot be used is reported with its row or id.
    ("Corrupt EXIF data", UserWarning),
    ("Image size \\(\\d+ pixels\\) exceeds limit", RuntimeWarning),
    # Inside lancedb with an early pydantic; about models that archives do not use.
    ('Field "model_name" in \\w+ has conflict with protected namespace', UserWarning),
    # A file that is not one of ours; it is refused, and the message names it.
    ("Detected pickle protocol \\d+ in the checkpoint", UserWarning),
    # Inside Lightning, which still asks for the class that a later torch renamed.
    ("`isinstance\\(treespec, LeafSpec\\)` is deprecated", FutureWarning),
)
"""The beginning of each message, as a regular expression, and its category."""


def _quiet_libraries() -> None:
    """Hide the warnings of `QUIET` in this process, and the product that Lightning advertises with every trainer."""
    for message, category in QUIET:
        warnings.filterwarnings("ignore", message=message, category=category)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "litlogger" not in record.getMessage()


def own_error(error: BaseException | None) -> McmfhError | None:
    """Find the error of this package behind another one: jsonargparse wraps what a constructor raises."""
    while error is not None and not isinstance(error, McmfhError):
        error = error.__cause__ or error.__context__
    return error


_DISTRIBUTIONS = {"faiss": "faiss-cpu", "open_clip": "open_clip_torch", "multipart": "python-multipart"}


def missing_extra(error: BaseException | None) -> str | None:
    """Name the extra that brings a missing module, also behind another error; None for other errors and modules."""
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    module = error.name.partition(".")[0]
    name = re.escape(_DISTRIBUTIONS.get(module, module))
    if find_spec(module) is not None:  # installed, but broken: the traceback helps
        return None
    for line in requires("mcmfh-lightning") or ():
        found = re.match(rf"{name}(?![\w-]).*\bextra\s*==\s*[\"']([\w-]+)", line, re.IGNORECASE)
        if found and found[1] != "dev":
            return f"{module} is not installed: pip install 'mcmfh-lightning[{found[1]}]'"
    return None


_MEMORY = re.compile("out of memory|(can't|cannot) allocate memory|CUDNN_STATUS_ALLOC_FAILED", re.IGNORECASE)
_PORT = re.compile(r"EADDRINUSE|address already in use", re.IGNORECASE)
_FIXES = {
    errno.ENOSPC: "make room, or write elsewhere",
    errno.EDQUOT: "make room, or write elsewhere",
    errno.EACCES: "permit it, or choose another place",
    errno.EPERM: "permit it, or choose another place",
    errno.EROFS: "choose another place",
    errno.ENOENT: "check the path",
    errno.EEXIST: "a file is in its place; choose another folder",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "a file is where a folder should be; check the path",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer workers",
}
_LESS_MEMORY = {
    "mcmfh": "lower --data.global-batch-size (predict of pairs --data.batch-size, end to end --model.micro-batch-size)",
    "mcmfh-archive": "index fewer items at a time (--splits), or close other programs",
}
"""What a program can do in less memory."""


def _system_message(error: Exception, program: str) -> str | None:
    """Describe what the system refused, such as a full disk, and the fix; None for any other error."""
    first = (str(error).splitlines() or [""])[0]
    # By name: this module imports no torch, whose errors of a full memory are RuntimeErrors.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _MEMORY.search(first)):
        fix = _LESS_MEMORY.get(program, "close other programs")
        said = first.partition(". ")[0].strip() or "no more is known"
        return f"out of memory ({said}): {fix}, or use a larger machine"
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding() != "utf-8":
        return f"{error.object[:200]!a} cannot be the name of a file in this locale: {_LOCALE}"
    if isinstance(error, OSError | RuntimeError) and _PORT.search(first):
        return "the port is in use by another process: choose another one (--port; MASTER_PORT for several devices)"
    if not isinstance(error, OSError) or error.strerror is None:
        return None
    # A full disk names no file when an open one cannot grow.
    if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    place = f"{error.filename}: " if error.filename else ""
    fix = f": {_FIXES[error.errno]}" if error.errno in _FIXES else ""
    return f"{place}{error.strerror}{fix}"


def reason(error: Exception) -> str:
    """Return why a file cannot be read, without its name, which the message has already."""
    return getattr(error, "strerror", None) or str(error)


_LOCALE = "set LC_ALL=C.UTF-8, or PYTHONUTF8=1"


def check_words(words: Iterable[str]) -> None:
    """Check that the words of a command line are text; in the locale C those that are not ASCII are not.

    Raises:
        ConfigError: If one is not.
    """
    for word in words:
        if any("\udc80" <= letter <= "\udcff" for letter in word):
            raise ConfigError(f"{word!a} is not text in this locale: {_LOCALE}")


def make_printable() -> None:
    """Let standard output and errors print any text, whatever the terminal can show.

    A label such as "Zo\u00eb" or the bar of a progress would otherwise end the work with an error where the terminal is
    ASCII or ISO-8859-1; there they are printed as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):  # replaced by a test or a notebook
            continue
        # In the locale C, Python lets names of files pass that are not UTF-8: they may, where the terminal is UTF-8.
        passes = stream.errors == "surrogateescape" and stream.encoding.lower() == "utf-8"
        if not passes:
            stream.reconfigure(errors="backslashreplace")


def check_choice(name: str, value: str, literal: object) -> None:
    """Check that a ``Literal`` lists a value.

    Args:
        name: Name of the argument, for the message.
        value: The value.
        literal: The ``typing.Literal`` that lists the valid values.

    Raises:
        ValueError: If it does not; the message lists the valid values.
    """
    valid = get_args(literal)
    if value not in valid:
        near = did_you_mean(value, valid)
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, valid))}{near}")


_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def without_controls(text: str) -> str:
    r"""Replace each control character but line feeds by a mark.

    A report, an id or a label from elsewhere could otherwise move the cursor, rename the window or fill the clipboard.

    Example:
        >>> without_controls("heart\x1b[2J")
        'heart�[2J'
    """
    return _CONTROLS.sub("\ufffd", text)


def say(line: str, console: Console | None = None) -> None:
    """Print a line without wrapping or markup, by default on standard output; call it on one process only."""
    (console or Console()).print(without_controls(line), markup=False, highlight=False, soft_wrap=True)

"""Command lines of ``mcmfh`` before LightningCLI reads them: the spelling and the order of options.

This module imports no torch: ``--help`` is quick.
"""

from collections.abc import Sequence

CONFIGS = ("-c", "--config")
_WHOLE = ("--model", "--data", "--trainer")
"""Options that set a whole section: written after an option of that section, they would reset it."""
_LAST = 99
"""Place of options that keep their order."""


def split_options(args: Sequence[str]) -> list[list[str]]:
    """Split a command line at its options, each with its value.

    Example:
        >>> split_options(["--a", "1", "--b=2", "-c", "file"])
        [['--a', '1'], ['--b=2'], ['-c', 'file']]
    """
    parts: list[list[str]] = []
    for arg in args:
        if arg.startswith("--") or arg in ("-c", "-h") or not parts:
            parts.append([arg])
        else:
            parts[-1].append(arg)
    return parts


def option_name(part: Sequence[str]) -> str:
    """Return the option of a part, without the value."""
    return part[0].partition("=")[0]


def underscored(arg: str) -> str:
    """Write the name of an option as Python does; its value is left alone.

    Example:
        >>> underscored("--data.global-batch-size=as-it-is")
        '--data.global_batch_size=as-it-is'
    """
    name, equals, value = arg.partition("=")
    return name.replace("-", "_").replace("__", "--", 1) + equals + value if arg.startswith("--") else arg


def hyphenated(name: str) -> str:
    """Write a dotted name as an option is shown.

    Example:
        >>> hyphenated("data.global_batch_size")
        '--data.global-batch-size'
    """
    return "--" + name.removeprefix("--").replace("_", "-")


def ordered(args: Sequence[str]) -> list[str]:
    """Put configs in front of the options that would be lost, and whole sections in front of their options.

    A section is whatever has options of its own on the command line, such as ``--model.hasher FILE`` with
    ``--model.hasher.num_bits 8``; one that is given several times, as callbacks are, keeps its place.

    LightningCLI lets what comes later win. An option before the first ``--config`` would thus be replaced by the file,
    or refused because its class is not known yet. Options between two configs keep their place. The result stays the
    same if it is ordered again, as in the processes that Lightning starts for several devices.

    Args:
        args: A subcommand and its options, with underscores.

    Example:
        >>> ordered(["fit", "--data.root", "x", "--config", "a.yaml"])
        ['fit', '--config', 'a.yaml', '--data.root', 'x']
    """
    parts = split_options(args[1:])
    places = [place for place, part in enumerate(parts) if option_name(part) in CONFIGS]
    first, last = (places[0], places[-1] + 1) if places else (0, 0)
    others = parts[:first] + parts[last:]
    names = [_place_of(part) for part in others]
    whole = {name for name in names if names.count(name) == 1 and any(one.startswith(f"{name}.") for one in names)}
    whole.update(_WHOLE)
    # Stable: all else keeps its order.
    others.sort(key=lambda part: _place_of(part).count(".") if _place_of(part) in whole else _LAST)
    return [*args[:1], *(arg for part in parts[first:last] + others for arg in part)]


def _place_of(part: Sequence[str]) -> str:
    """Return the option of a part by the place that it sets, which may be spelled in two ways."""
    return option_name(part).replace(".init_args", "")

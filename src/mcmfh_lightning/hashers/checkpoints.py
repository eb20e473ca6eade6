"""What checkpoints say of a hasher, and how what earlier versions wrote is read."""

import warnings
from collections.abc import Container, Mapping
from typing import Any

from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.searches import SEARCHES, SearchName

CHECKPOINT_KEY = "mcmfh"
CHECKPOINT_FORMAT_VERSION = 1
RENAMED = {"quantisation_weight": "quantization_weight"}
"""Arguments of hashers by their former name, which is accepted for one release."""
EARLIER: Mapping[str, bool] = {"query_heads": False}
"""What a checkpoint was made with that does not say it: it is of a version that had no such argument."""
NO_LONGER: Mapping[str, str] = {
    "consistency_weight": "the objective has a weight for each search",
    "input_dropout": "images and texts have rates of their own, image_dropout and text_dropout",
}
"""Arguments that the objective had in an earlier version, and what is there instead."""


def use_present_names(arguments: dict[str, Any]) -> None:
    """Rename arguments that have the name of the version before, in place and with a warning."""
    for name in RENAMED.keys() & arguments.keys():
        warnings.warn(
            f"{name} is now {RENAMED[name]}; the next release drops the old name", FutureWarning, stacklevel=3
        )
        arguments[RENAMED[name]] = arguments.pop(name)


def present_arguments(arguments: Mapping[str, Any], parameters: Container[str]) -> dict[str, Any]:
    """Translate the arguments of a checkpoint of an earlier version: renamed, without those that are no longer there.

    Args:
        arguments: Arguments of the checkpoint.
        parameters: Names of those that the method takes now.
    """
    earlier = {name: value for name, value in EARLIER.items() if name in parameters}
    kept = {RENAMED.get(name, name): value for name, value in arguments.items() if name not in NO_LONGER}
    return earlier | kept


def entry_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return our own entry of a checkpoint, of the one format that is read."""
    entry: dict[str, Any] | None = checkpoint.get(CHECKPOINT_KEY)
    if entry is None:
        raise CheckpointError(
            f"the checkpoint has no entry {CHECKPOINT_KEY!r}: it was not written by a hasher of this package; "
            "pass one that `mcmfh fit` wrote"
        )
    if entry["format_version"] != CHECKPOINT_FORMAT_VERSION:
        raise CheckpointError(
            f"the checkpoint has format version {entry['format_version']}, this package reads "
            f"{CHECKPOINT_FORMAT_VERSION}; it was written by mcmfh-lightning {entry['package_version']}: use that"
        )
    return entry


def unlearned_of(checkpoint: Mapping[str, Any]) -> tuple[SearchName, ...]:
    """Name the searches that the weights of a checkpoint were not trained for.

    Where our entry does not say it, as in checkpoints of an earlier version, the weights of the objective do.
    """
    arguments = checkpoint.get("hyper_parameters", {})
    weightless = [search for search in SEARCHES if arguments.get(f"{search}_weight", 1.0) == 0.0]
    return tuple(checkpoint[CHECKPOINT_KEY].get("unlearned", weightless))


def without_earlier(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what earlier versions did not say, where it is as they had it: a model keeps its description."""
    return {name: value for name, value in architecture.items() if name not in EARLIER or value != EARLIER[name]}


def check_same(architecture: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another architecture.

    Raises:
        CheckpointError: If they differ; the message names what and the fix.
    """
    for name in {**stored, **architecture}:  # in this order: the method comes before its arguments
        theirs, ours = (one.get(name, EARLIER.get(name)) for one in (stored, architecture))
        if theirs != ours:
            # The default of such an argument is another one than that of checkpoints of earlier versions.
            owner = "model.hasher" if str(stored.get("hasher")).startswith("EndToEnd(") else "model"
            option = f"--{owner}.{name.replace('_', '-')} {str(theirs).lower()}"
            fix = f"pass {name}={theirs} ({option})" if name in EARLIER else "drop the flag"
            raise CheckpointError(
                f"the checkpoint has {name}={theirs!r}, this model {name}={ours!r}; {fix} or train again"
            )

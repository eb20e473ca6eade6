"""Which parts of an encoder are trained, and at which learning rate."""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import nn


def train_only(module: nn.Module, patterns: Sequence[str]) -> None:
    """Freeze a module except what the patterns name.

    A pattern is a regular expression of the whole name of a parameter, or of a part of the module that holds some:
    ``image_tower.blocks.[56]`` names all parameters of the stages 5 and 6.

    Args:
        module: The module.
        patterns: What to train; nothing if empty.

    Raises:
        ValueError: A pattern is no regular expression or names nothing; the message lists what there is.
    """
    parameters = dict(module.named_parameters())
    module.requires_grad_(requires_grad=False)
    for pattern in patterns:
        try:
            expression = re.compile(rf"(?:{pattern})(?:\..+)?")
        except re.error as error:
            raise ValueError(f"trainable {pattern!r} is no regular expression: {error}") from error
        named = [parameter for name, parameter in parameters.items() if expression.fullmatch(name)]
        if not named:
            raise ValueError(f"trainable {pattern!r} names nothing; there are {', '.join(_parts(parameters))}")
        for parameter in named:
            parameter.requires_grad_()


def add_trained(optimizer: torch.optim.Optimizer, module: nn.Module, lr_scale: float) -> None:
    """Let an optimiser train a module as well, at a learning rate of its own.

    Args:
        optimizer: Has a learning rate by default.
        module: The parameters that require gradients are added, as one group; none, if there are none.
        lr_scale: The group's learning rate, in units of the optimiser's.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if trained:
        optimizer.add_param_group({"params": trained, "lr": lr_scale * optimizer.defaults["lr"]})


def _parts(names: Iterable[str]) -> list[str]:
    """Parts worth naming: down to the first number (a stage, a layer), else to what holds the parameter."""
    parts = []
    for name in names:
        words = name.split(".")
        number = next((place for place, word in enumerate(words) if word.isdigit()), len(words) - 2)
        parts.append(".".join(words[: number + 1]) or name)
    return list(dict.fromkeys(parts))

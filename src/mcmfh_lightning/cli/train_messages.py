"""One-line messages about wrong options of ``mcmfh fit``, ``validate``, ``test`` and ``predict``."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import lightning.pytorch.callbacks
import lightning.pytorch.loggers
import torch
from lightning.pytorch import Trainer

import mcmfh_lightning.callbacks
import mcmfh_lightning.datamodules
import mcmfh_lightning.encoders
import mcmfh_lightning.hashers
import mcmfh_lightning.trainer.loggers
from mcmfh_lightning.cli.options import ACCELERATORS, class_options, hyphenated, options_of
from mcmfh_lightning.errors import TRACEBACK_VARIABLE
from mcmfh_lightning.nearest import did_you_mean

MODULES: Mapping[str, Sequence[Any]] = {
    "model": (mcmfh_lightning.hashers, mcmfh_lightning.encoders),
    "data": (mcmfh_lightning.datamodules,),
    "callbacks": (mcmfh_lightning.callbacks, lightning.pytorch.callbacks),
    "logger": (lightning.pytorch.loggers, mcmfh_lightning.trainer.loggers),
    "optimizer": (torch.optim,),
    "lr_scheduler": (torch.optim.lr_scheduler,),
    "hasher": (mcmfh_lightning.hashers,),
    "encoder": (mcmfh_lightning.encoders,),
}
"""Where classes are looked for, by the last part of the option that names them."""
_NO_CONFIG = "--config is missing: pass an experiment such as experiments/query_towers.yaml, or --model and --data"
_OWN = (
    "config",
    "data",
    "model",
    "trainer",
    "run_dir",
    "ckpt_path",
    "seed_everything",
    "log_examples",
    "searches",
    "print_config",
)
_TRAINER = [name for name in inspect.signature(Trainer.__init__).parameters if name != "self"]
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "list": "a list"}
_FRAME = re.compile(
    r"Expected a <class 'NoneType'>|Does not validate against any of the Union subtypes|Subtypes: |Errors:$"
    r"|Given value|Expected a path but .* not accessible or invalid|$"
)
"""Lines of jsonargparse that do not help: it answers a type such as ``Hasher | None`` for each of its parts."""
_OPTION = re.compile(r"(?<![\w/.])--[a-z][\w.]*\w")
_PLATEAU = "pass lightning.pytorch.cli.ReduceLROnPlateau, and what it watches: {}.monitor train/loss"
_LIGHTNING = (
    (
        r"The lr scheduler dict must include a monitor",
        f"ReduceLROnPlateau of torch does not say what it watches: {_PLATEAU.format('--model.lr-scheduler')}",
    ),
    (
        r"No supported gpu backend found",
        "--trainer.accelerator gpu: no GPU was found here: pass --trainer.accelerator cpu (or --trainer "
        "trainer/cpu.yaml), or install a PyTorch that fits your GPU and its driver",
    ),
    (
        r"You requested gpu: \[(.*)\]\s+But your machine only has: \[(.*)\]",
        r"--trainer.devices: there is no GPU \1 here; choose among \2",
    ),
    (
        r"Requirement '(\w+)[^']*' not met",
        r"the package \1 is not installed: pip install \1, or choose --trainer.logger logger/csv.yaml",
    ),
)
"""What Lightning and others say, and what helps."""
_NAMES: Mapping[str, tuple[str, Sequence[str]]] = {
    "accelerator": (f"among {', '.join(ACCELERATORS)}", ACCELERATORS),
    "strategy": ("auto, ddp or fsdp, for example", ("auto", "ddp", "ddp_spawn", "fsdp", "deepspeed")),
}


def one_line(message: str) -> str:
    r"""Reduce a message of jsonargparse to what helps the user.

    >>> one_line("Parser key \"model\":\n  Errors:\n    - Option 'color' is not accepted\n  Given value: x")
    "model: Option 'color' is not accepted"
    """
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    text = " ".join(line for line in lines if not _FRAME.match(line))
    text = re.sub(r"Problem with given class_path '(?:[^']*\.)?(\w+)':", r"\1:", text)
    return re.sub(r'Parser key "([^"]*)":', r"\1:", text)


def describe(message: str, command: str, args: Sequence[str]) -> str:
    """Say in one line what is wrong with a command line or a config, as the user typed it, and the fix.

    Args:
        message: What jsonargparse says.
        command: The subcommand.
        args: The command line, with underscores.
    """
    text = one_line(message)
    found = ((describe_it, re.search(pattern, text)) for pattern, describe_it in _MESSAGES)
    said = filter(None, (match and describe_it(match, args) for describe_it, match in found))
    return f"{hyphenate(next(said, text))} (options: mcmfh {command} --help)"


def describe_library(message: str, options: Mapping[str, str] = MappingProxyType({})) -> str:
    """Say in one line what Lightning or a constructor refuses, and the fix where it is known.

    Args:
        message: What it says.
        options: The option of each argument of the model and the data.
    """
    text = re.sub(r"^(\w+)(?==)", lambda found: options.get(found[1], found[1]), one_line(message))
    text = re.sub(rf"`({'|'.join(_TRAINER)})`", lambda found: hyphenated(f"trainer.{found[1]}"), text)
    for pattern, line in _LIGHTNING:
        if found := re.search(pattern, text, re.DOTALL):
            return found.expand(line)
    if found := re.search(r"invalid (accelerator|strategy) name: `\w+='(.*?)'`", text):
        option, name = found.groups()
        some, names = _NAMES[option]
        return f"--trainer.{option}: there is no {name}; choose {some}{did_you_mean(name, names)}"
    return f"{text} ({TRACEBACK_VARIABLE}=1 shows where)"


def hyphenate(text: str) -> str:
    """Write the options of a message as they are shown."""
    return _OPTION.sub(lambda found: hyphenated(found[0]), text)


def _unknown_option(found: re.Match[str], _: Sequence[str]) -> str:
    name = (found[1] or found[2]).partition("=")[0]
    if found[1] and re.match("-[^-]", name):
        return f"there is no option {name}"
    if found[1] and not name.startswith("-"):
        return f"{name!r} belongs to no option: a value follows its option; an option with several values is repeated"
    name = name.lstrip("-").removesuffix("+")
    what = "there is no option" if found[1] else "a config sets what is not an option:"
    classes = {"data": "FeatureDataModule", "model": "MCMFH"}
    known = [f"{key}.{one.name}" for key, kind in classes.items() for one in class_options(kind) or ()]
    known += [*_OWN, "last_checkpoint.every_n_train_steps", *(f"trainer.{one}" for one in _TRAINER)]
    return f"{what} {hyphenated(name)}{did_you_mean(hyphenated(name), map(hyphenated, known))}"


def _option_of_class(found: re.Match[str], _: Sequence[str]) -> str:
    key, owner, name = found[1], found[2], found[3] or found[4]
    key = key.replace(".init_args", "")
    if owner in ("LightningDataModule", "LightningModule"):
        example = "experiments/query_towers.yaml" if key == "model" else "data/features.yaml"
        return f"--{key}.{name} comes without --{key}: pass --config FILE, or --{key} and a name such as {example}"
    option = hyphenated(f"{key}.{name}")
    known = [hyphenated(f"{key}.{one}") for one in _parameters(key, owner)]
    return f"{owner} has no option {option}{did_you_mean(option, known)}"


def _parameters(key: str, owner: str) -> list[str]:
    """List the arguments of a class of this package, or of those that the option takes."""
    own = class_options(owner)
    if own is not None:
        return [option.name for option in own]
    kinds = (getattr(module, owner, None) for module in MODULES.get(last_part(key), ()))
    return next(([*inspect.signature(kind).parameters] for kind in kinds if kind is not None), [])


def last_part(key: str) -> str:
    """Return the last part of an option, without the plus of one that adds to a list."""
    return re.split(r"[.+]", key.removesuffix("+"))[-1]


def _plateau(found: re.Match[str], _: Sequence[str]) -> str:
    """Say which of two classes of the same name it has to be."""
    key = hyphenated(".".join(part for part in found.groups() if part))
    return f"{key}: {_PLATEAU.format(key)}"


def _unknown_class(found: re.Match[str], _: Sequence[str]) -> str:
    key = found[1].replace(".init_args", "") + (f".{found[2]}" if found[2] and found[2][0].islower() else "")
    modules = MODULES.get(last_part(key), ())
    names = [name for one in modules for name in getattr(one, "__all__", dir(one)) if name[0].isupper()]
    return f"{hyphenated(key)}: there is no class {found[3]}{did_you_mean(found[3], names)}"


def _wrong_value(found: re.Match[str], args: Sequence[str]) -> str | None:
    kinds = re.findall(r"Expected a (<class '[\w.]+'>|typing\.Literal\[.*?\])", found.string)
    parts = [part for part in found[2].split(": ") if part and not part[0].isupper()]
    key = ".".join([found[1].replace(".init_args", ""), *parts])
    choices = [one for kind in kinds for one in re.findall(r"'([^']+)'|(\d+)", kind) if "Literal" in kind]
    words = list(dict.fromkeys(quoted or number for quoted, number in choices))
    names = [name for kind in kinds if "Literal" not in kind and (name := re.split(r"[.']", kind)[-2]) in _KINDS]
    # Of a list or a mapping, what was typed is clearer than the message; of several, the last one counts.
    got = re.search(r"Got value: ([^\s\[{'\"]\S*)", found.string)
    typed = {option.replace(".init_args", ""): value for option, value in options_of(args[1:])}
    value = got[1] if got else typed.get(f"--{key}", "")
    expected = [_KINDS[name] for name in dict.fromkeys(names)] + ([f"one of {', '.join(words)}"] if words else [])
    near = f", got {value}{did_you_mean(value, words)}" if value else ""
    return f"{hyphenated(key)}: expected {' or '.join(expected)}{near}" if expected else None


def _no_value(found: re.Match[str], args: Sequence[str]) -> str:
    typed = [option for option, value in options_of(args[1:]) if not value and option.startswith(found[1])]
    return f"{(typed or [found[1]])[0]} needs a value"


_MESSAGES: Sequence[tuple[str, Callable[[re.Match[str], Sequence[str]], str | None]]] = (
    (r"^(.*?): (\w+): (?:Option '([^']*)' is not accepted|unrecognized arguments: --([\w.]+))", _option_of_class),
    (r"unrecognized arguments: (\S+)|does not accept option '([^']*)'", _unknown_option),
    (r"(?:([\w.]+): )?(?:\w+: )?(\w+): Multiple subclasses with name ReduceLROnPlateau", _plateau),
    (r"^([\w.+]+): (?:.*?(\w+): )?Expected a dot import path string: (\S+)", _unknown_class),
    (r"^([\w.+]+): (?:.*?(\w+): )?.*(?:Unexpected import path format|No module named): ?(\S+)", _unknown_class),
    (r"^([\w.]+): ((?:\w+: )*)", _wrong_value),
    (r"argument (?:-c/)?(--[\w.]+).*: expected one argument", _no_value),
    (r"^the following arguments are required", lambda *_: _NO_CONFIG),
)
"""What jsonargparse says, and what describes it; None where it says something else."""

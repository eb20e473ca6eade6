"""A test starts without libraries that it does not use, and torchmetrics is whole for those who ask for more of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from mcmfh_lightning.cli.train import main

FLAGS = ["--config", "experiments/mcmfh.yaml", "--trainer.max_epochs", "1", "--data.global_batch_size", "64"]
UNUSED = (
    "torch._dynamo",
    "sympy",
    "transformers",
    "torchvision",
    "scipy.signal",
    "pandas",
    "timm",
    "open_clip",
    "lancedb",
    "wandb",
    "tensorboard",
)
QUICK = "from mcmfh_lightning.cli.quick_start import quick_imports\nwith quick_imports(sleepy=True):\n"


def _run(code: str, *args: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, env={"PATH": "/usr/bin", **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished fit on planted features."""
    folder = tmp_path_factory.mktemp("run")
    main(["fit", *FLAGS, "--data.root", str(features), "--run_dir", str(folder)])
    return folder


def test_a_test_imports_no_library_that_it_does_not_use(run: Path, features: Path) -> None:
    code = (
        "import sys\nfrom mcmfh_lightning.cli.main import main\nunused = sys.argv.pop().split()\nmain()\n"
        "print('imported', *sorted(set(unused) & set(sys.modules)))"
    )
    flags = ["--data.root", str(features), "--run_dir", str(run)]
    assert _run(code, "test", *FLAGS, *flags, " ".join(UNUSED))[-1] == "imported"
    assert (run / "test" / "metrics.json").is_file()


def test_torchmetrics_is_whole_when_asked_for_more() -> None:
    """Threads may ask at once; a name that it lacks is still refused."""
    code = (
        QUICK + "    import lightning.pytorch\n"
        "import sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from lightning.pytorch.core.module import Metric\n"
        "print('torchmetrics.functional' in sys.modules)\n"
        "import torchmetrics\n"
        "names = ['SumMetric', 'Accuracy', 'MeanMetric', 'AUROC', 'F1Score', 'R2Score', 'MaxMetric', 'Recall']\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(*(one.__name__ for one in pool.map(lambda name: getattr(torchmetrics, name), names)))\n"
        "print(issubclass(torchmetrics.Accuracy, Metric), torchmetrics.Metric is Metric)\n"
        "print(len(torchmetrics.__all__) > 50, hasattr(torchmetrics, 'no_such_metric'))\n"
        "from torchmetrics.classification import MultilabelAUROC\n"
        "print(issubclass(MultilabelAUROC, Metric))\n"
    )
    together = "SumMetric Accuracy MeanMetric AUROC F1Score R2Score MaxMetric Recall"
    assert _run(code) == ["False", together, "True True", "True False", "True"]


def test_another_release_of_torchmetrics_is_imported_as_ever() -> None:
    code = (
        "import sys\nsys.modules['torchmetrics.collections'] = None  # as if it were elsewhere\n" + QUICK + "    pass\n"
        "print([name for name in sys.modules if name.startswith('torchmetrics')])\n"
        "import torchmetrics\nprint(torchmetrics.MetricCollection.__name__)\n"
    )
    assert _run(code) == ["[]", "MetricCollection"]


def test_whoever_compiles_gets_the_compiler_and_lightning_recognizes_what_it_made() -> None:
    """A function that Lightning keeps from being compiled is called as it is, before and after."""
    code = (
        QUICK + "    import lightning.pytorch as lightning\n"
        "import sys, torch\n"
        "from lightning.pytorch.utilities.compile import OptimizedModule\n"
        "from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultCollection\n"
        "from mcmfh_lightning.cli.quick_start import _not_compiled\n"
        "layer = torch.nn.Linear(2, 2)\n"
        "print('torch._dynamo' in sys.modules, isinstance(layer, OptimizedModule))\n"
        "compiled = torch.compile(layer, backend='eager')\n"
        "print(isinstance(compiled, OptimizedModule), isinstance(layer, OptimizedModule))\n"
        "print(torch.equal(compiled(torch.ones(1, 2)), layer(torch.ones(1, 2))))\n"
        "graphs = []\n"
        "def backend(graph, inputs):\n    graphs.append(graph)\n    return graph.forward\n"
        "@_not_compiled\n"
        "def kept(x):\n    return x.sin()\n"
        "torch.compile(lambda x: kept(x + 1) + 1, backend=backend)(torch.ones(2))\n"
        "print('sin' in ' '.join(graph.code for graph in graphs), len(graphs) > 0)\n"
        "results = _ResultCollection(training=True)\n"
        "results.log('f', 'loss', torch.tensor(1.0), on_step=True, on_epoch=False, batch_size=1)\n"
        "print(results['f.loss'].value.item())\n"
    )
    assert _run(code) == ["False False", "True False", "True", "False True", "1.0"]


def test_another_release_of_lightning_that_asks_more_of_the_compiler_gets_it(tmp_path: Path) -> None:
    package = tmp_path / "lightning"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "pytorch.py").write_text("from torch._dynamo import config\nprint(config.__name__)\n")
    code = QUICK + "    import lightning.pytorch\n"
    assert _run(code, PYTHONPATH=str(tmp_path)) == ["torch._dynamo.config"]


@pytest.mark.parametrize(("given", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_sleep_unless_the_environment_says_otherwise(given: dict[str, str], policy: str) -> None:
    code = (
        QUICK + "    import torch\nimport gc, os\n"
        "print(os.environ['OMP_WAIT_POLICY'], gc.isenabled(), gc.get_freeze_count() > 0)"
    )
    assert _run(code, **given) == [f"{policy} True True"]


def test_nothing_changes_where_torch_is_there_already() -> None:
    code = "import torch\n" + QUICK + "    pass\n"
    code += "import gc, os, sys\n"
    code += "print('OMP_WAIT_POLICY' in os.environ, gc.get_freeze_count(), 'torchmetrics' in sys.modules)"
    assert _run(code) == ["False 0 False"]

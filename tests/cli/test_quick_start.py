"""A test starts without libraries that it does not use, and torchmetrics is whole for those who ask for more of it."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcmfh_lightning.cli.quick_start import quick_imports
from mcmfh_lightning.cli.train import main

FLAGS = ["--config", "experiments/mcmfh.yaml", "--trainer.max_epochs", "1", "--data.global_batch_size", "64"]
FLAGS += ["--model.d_model", "32", "--trainer.limit_val_batches", "0"]
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
    "triton",
)
QUICK = "from mcmfh_lightning.cli.quick_start import quick_imports\nwith quick_imports(sleepy=True):\n"


def _run(code: str, *args: str, **environment: str) -> list[str]:
    environment = {"PATH": "/usr/bin", "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr  # triton lists at the end what was not freed
    return done.stdout.splitlines()


def test_a_test_imports_no_library_that_it_does_not_use_and_its_threads_sleep(
    make_features: Callable[..., Path], tmp_path: Path
) -> None:
    features = make_features(tmp_path / "features", train=128, evaluated=20)
    flags = [*FLAGS, "--data.root", str(features), "--run_dir", str(tmp_path)]
    main(["fit", *flags])
    code = (
        "import gc, os, sys\nfrom mcmfh_lightning.cli.main import main\nunused = sys.argv.pop().split()\nmain()\n"
        "print(os.environ['OMP_WAIT_POLICY'], gc.isenabled(), gc.get_freeze_count() > 0)\n"
        "print('imported', *sorted(set(unused) & set(sys.modules)))"
    )
    *_, started, imported = _run(code, "test", *flags, "--ckpt_path", "last", " ".join(UNUSED))
    assert imported == "imported"
    assert started == "PASSIVE True True"
    assert (tmp_path / "test" / "metrics.json").is_file()


COMPILES = """
import os, sys, torch
from lightning.pytorch.utilities.compile import OptimizedModule
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultCollection
from mcmfh_lightning.cli.quick_start import _not_compiled
print(os.environ['OMP_WAIT_POLICY'])
layer = torch.nn.Linear(2, 2)
print('torch._dynamo' in sys.modules, isinstance(layer, OptimizedModule))
compiled = torch.compile(layer, backend='eager')
print(isinstance(compiled, OptimizedModule), isinstance(layer, OptimizedModule))
print(torch.equal(compiled(torch.ones(1, 2)), layer(torch.ones(1, 2))))
graphs = []
def backend(graph, inputs):
    graphs.append(graph)
    return graph.forward
@_not_compiled
def kept(x):
    return x.sin()
torch.compile(lambda x: kept(x + 1) + 1, backend=backend)(torch.ones(2))
print('sin' in ' '.join(graph.code for graph in graphs), len(graphs) > 0)
results = _ResultCollection(training=True)
results.log('f', 'loss', torch.tensor(1.0), on_step=True, on_epoch=False, batch_size=1)
print(results['f.loss'].value.item())
from torch.utils import flop_counter
from mcmfh_lightning.metrics.kernels.cuda_kernel import count_ones
print(isinstance(count_ones, getattr(flop_counter, '_JITFunction', object)))  # earlier ones of torch have none
"""
ASKS_FOR_MORE = """
from concurrent.futures import ThreadPoolExecutor
from lightning.pytorch.core.module import Metric
print('torchmetrics.functional' in sys.modules)
import torchmetrics
names = ['SumMetric', 'Accuracy', 'MeanMetric', 'AUROC', 'F1Score', 'R2Score', 'MaxMetric', 'Recall']
with ThreadPoolExecutor(8) as pool:
    print(*(one.__name__ for one in pool.map(lambda name: getattr(torchmetrics, name), names)))
print(issubclass(torchmetrics.Accuracy, Metric), torchmetrics.Metric is Metric)
print(len(torchmetrics.__all__) > 50, hasattr(torchmetrics, 'no_such_metric'))
from torchmetrics.classification import MultilabelAUROC
print(issubclass(MultilabelAUROC, Metric))
"""


@pytest.fixture(scope="module")
def printed() -> dict[str, list[str]]:
    """What one process prints that compiles, and then asks for more of torchmetrics: the lines of each part."""
    lines = iter(_run(f"{QUICK}    import lightning.pytorch\n{COMPILES}{ASKS_FOR_MORE}", OMP_WAIT_POLICY="ACTIVE"))
    return {"compiles": [next(lines) for _ in range(7)], "asks for more": list(lines)}


def test_whoever_compiles_gets_the_compiler_and_lightning_recognizes_what_it_made(
    printed: dict[str, list[str]],
) -> None:
    """A function that Lightning keeps from being compiled is called as it is, before and after."""
    policy, *lines = printed["compiles"]
    assert lines == ["False False", "True False", "True", "False True", "1.0", "True"]
    assert policy == "ACTIVE"  # as the environment has it


def test_torchmetrics_is_whole_when_asked_for_more(printed: dict[str, list[str]]) -> None:
    """Threads may ask at once; a name that it lacks is still refused."""
    together = "SumMetric Accuracy MeanMetric AUROC F1Score R2Score MaxMetric Recall"
    assert printed["asks for more"] == ["False", together, "True True", "True False", "True"]


def test_another_release_of_torchmetrics_is_imported_as_ever() -> None:
    code = (
        "import sys\nsys.modules['torchmetrics.collections'] = None  # as if it were elsewhere\n" + QUICK + "    pass\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('torchmetrics', 'lightning')])\n"
        "import lightning.pytorch, torchmetrics\n"
        "print('torchmetrics.functional' in sys.modules, torchmetrics.MetricCollection.__name__)\n"
    )
    assert _run(code) == ["[]", "True MetricCollection"]


def test_another_release_of_lightning_that_asks_more_of_the_compiler_gets_it(tmp_path: Path) -> None:
    package = tmp_path / "lightning"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "pytorch.py").write_text("from torch._dynamo import config\nprint(config.__name__)\n")
    code = QUICK + "    import lightning.pytorch\n"
    assert _run(code, PYTHONPATH=str(tmp_path)) == ["torch._dynamo.config"]


def test_nothing_changes_where_torch_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    before = gc.get_freeze_count(), gc.isenabled(), dict(sys.modules)
    with quick_imports(sleepy=True):
        assert gc.isenabled()
    assert (gc.get_freeze_count(), gc.isenabled(), dict(sys.modules)) == before
    assert "OMP_WAIT_POLICY" not in os.environ

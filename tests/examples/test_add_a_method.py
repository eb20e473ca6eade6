"""The guide to a method of one's own: its code is the example, which is fitted, tested and compared as written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mcmfh_lightning.cli.train import main

SMALL = ["--data.global_batch_size", "64", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]


@pytest.fixture
def guide(repository: Path) -> str:
    return (repository / "docs" / "guides" / "add_a_method.md").read_text()


def test_the_guide_shows_the_example(repository: Path, guide: str) -> None:
    source = (repository / "examples" / "add_a_method.py").read_text()
    assert f"```python\n{source}```" in guide
    assert len(source.splitlines()) < 60


def test_its_commands_fit_and_test_the_method(
    repository: Path, guide: str, make_features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(repository / "examples"))
    make_features(tmp_path / "features", train=128, evaluated=40)
    commands = re.findall(r"^    mcmfh ((?:.*\\\n)?.*)$", guide, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["fit", "test"]
    for command in commands:
        main([*command.replace("\\\n", " ").split(), *SMALL])
    assert "unimodal" in (tmp_path / "runs" / "dcmh" / "test" / "ranking.csv").read_text()


@pytest.mark.slow
def test_its_table_compares_the_method(repository: Path, guide: str, make_features, tmp_path: Path) -> None:
    make_features(tmp_path / "features", train=64, evaluated=40)
    documents = list(yaml.safe_load_all(re.search(r"```yaml\n(.*?)```", guide, re.DOTALL)[1]))
    for document in documents:
        document["parameters"] |= {"seed_everything": {"value": 0}, "trainer.max_epochs": {"value": 1}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump_all(documents))
    (arguments,) = re.findall(r"^    python benchmarks/table.py (.*)$", guide, re.MULTILINE)
    command = [sys.executable, str(repository / "benchmarks" / "table.py"), *arguments.split()]
    _run(command, tmp_path, repository / "examples")
    table = (tmp_path / "table" / "table.md").read_text()
    assert "| DCMH" in table
    assert "| TwoTower" in table


@pytest.mark.slow
def test_five_files_add_the_method_to_the_package(repository: Path, guide: str, features: Path, tmp_path: Path) -> None:
    package, configs = tmp_path / "mcmfh_lightning", tmp_path / "mcmfh_lightning" / "lightning_configs"
    shutil.copytree(repository / "src" / "mcmfh_lightning", package)
    shutil.copytree(repository / "datamodules", package / "datamodules")
    shutil.copytree(repository / "lightning_configs", configs)
    entry = re.search(r"`(Method\(.*?\))`", guide)[1]
    files = re.findall(r"^\| `(.*?)` \|", guide, re.MULTILINE)
    assert len(files) == 5
    shutil.copy(repository / "examples" / "add_a_method.py", tmp_path / Path(files[0]).relative_to("src"))
    own = "from mcmfh_lightning.hashers.dcmh import DCMH\n"
    for name, before, line in (
        ("__init__.py", "from mcmfh_lightning.hashers.ddbh", own),
        ("registry.py", "from mcmfh_lightning.hashers.ddbh", own),
        ("registry.py", '    Method("cca_itq"', f"    {entry},\n"),
    ):
        path = package / "hashers" / name
        path.write_text(path.read_text().replace(before, line + before, 1))
    model = (configs / "model" / "two_tower.yaml").read_text().replace("TwoTower", "DCMH")
    (tmp_path / "mcmfh_lightning" / files[3]).write_text(model)
    # In the package a method is imported from its own module, as the others are.
    source = (package / "hashers" / "dcmh.py").read_text()
    parts = (
        "from mcmfh_lightning.hashers.base import Objective\nfrom mcmfh_lightning.hashers.two_tower import HashTowers"
    )
    source = source.replace("from mcmfh_lightning.hashers import HashTowers, Objective", parts)
    (package / "hashers" / "dcmh.py").write_text(source)
    code = (
        "import sys; from mcmfh_lightning.cli.train import main; from mcmfh_lightning.hashers import get_method\n"
        "print(get_method('dcmh').title); main(sys.argv[1:])"
    )
    flags = ["--config", "experiments/dcmh.yaml", "--data.root", str(features), *SMALL]
    printed = _run([sys.executable, "-c", code, "fit", *flags], tmp_path, tmp_path)
    assert "DCMH" in printed
    assert (tmp_path / "runs" / "dcmh" / "fit" / "checkpoints" / "best.ckpt").is_file()


def _run(command: list[str], folder: Path, path: Path) -> str:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(path),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout

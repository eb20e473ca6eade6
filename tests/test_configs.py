"""Every shipped config is parsed, and every experiment runs, through the real command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mcmfh_lightning.cli.train import McmfhCLI, main
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import list_methods
from mcmfh_lightning.lightning_configs import find_config, find_configs

CONFIGS = Path(find_config("experiments/hash.yaml")).parents[1]
MODELS = sorted(path.stem for path in CONFIGS.glob("model/*.yaml") if not path.stem.startswith("encoder_"))
HASHER_EXPERIMENTS = MODELS
ENCODER_EXPERIMENTS = ["encode_biomedclip", "encode_films", "encode_offline", "encode_roco", "encode_tuned"]


def test_every_method_has_its_configs() -> None:
    """Those of the registry: a model file of its class, and one with the settings of its authors where published."""
    for method in list_methods():
        names = [method.name, f"{method.name}_published"] if method.published else [method.name]
        for name in names:
            content = yaml.safe_load((CONFIGS / "model" / f"{name}.yaml").read_text())
            assert content["class_path"] == f"mcmfh_lightning.hashers.{method.hasher.__name__}"
    known = {f"{method.name}_published" for method in list_methods() if method.published}
    known |= {"query_towers", "ucmfh_views"}  # a null of MCMFH, and a variant
    assert set(MODELS) == known | {method.name for method in list_methods()}


def test_every_part_is_used_by_an_experiment() -> None:
    """A part that no experiment includes would be run by no test.

    Launch recipes are added to an experiment: tests/cluster/test_launch.py.
    """
    args = [f"experiments/{name}.yaml" for name in (*HASHER_EXPERIMENTS, *ENCODER_EXPERIMENTS, "end_to_end_mcmfh")]
    pending = [Path(arg) for arg in find_configs([*args, "experiments/tune_image_tower.yaml"]) if "/" in arg]
    used = {path for path in pending if path.is_absolute()}
    while pending:
        path = pending.pop()
        for value in _strings(yaml.safe_load(path.read_text())) if path.suffix else []:
            part = (path.parent / value).resolve()
            if value.endswith(".yaml") and part not in used:
                used.add(part)
                pending.append(part)
    parts = (path for kind in ("data", "experiments", "model", "trainer") for path in CONFIGS.glob(f"{kind}/*.yaml"))
    assert used == {path.resolve() for path in parts if path.stem not in {"cpu", "gpu", "ddp", "slurm"}}


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [found for item in value.values() for found in _strings(item)]
    return [value] if isinstance(value, str) else []


def test_an_experiment_without_a_file_is_composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file, model, data = (str(CONFIGS / name) for name in ("experiments/hash.yaml", "model/{}.yaml", "data/{}.yaml"))
    found = ["--model", model.format("ddbh_published"), "--data", data.format("ddbh_published")]
    run_dir = ["--run_dir", "runs/ddbh_published"]
    assert find_configs(["--config=experiments/ddbh_published.yaml"]) == [f"--config={file}", *found, *run_dir]
    found = ["--model", model.format("two_tower"), "--run_dir", "runs/two_tower"]
    assert find_configs(["fit", "--config", "experiments/two_tower.yaml", "x"]) == [
        "fit",
        "--config",
        file,
        *found,
        "x",
    ]
    found = ["--model.hasher", model.format("ucmfh"), "--run_dir", "runs/end_to_end_ucmfh"]
    assert find_configs(["experiments/end_to_end_ucmfh.yaml"])[1:] == found
    for unknown in ("experiments/unknown.yaml", "experiments/features.yaml", "experiments/end_to_end_x.yaml"):
        assert find_configs([unknown]) == [unknown]
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "two_tower.yaml").touch()  # the user's own file is used
    assert find_configs(["experiments/two_tower.yaml"]) == ["experiments/two_tower.yaml"]


@pytest.fixture(scope="module")
def few_features(make_features: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `features`, with few pairs, which go through towers of full size."""
    return make_features(tmp_path_factory.mktemp("few") / "features", train=128, evaluated=32)


@pytest.mark.parametrize("name", HASHER_EXPERIMENTS)
def test_hasher_experiment_fits_and_tests(
    name: str, few_features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test follows in the same process; the command `test` reads the same config: tests/cli/test_train.py."""
    monkeypatch.chdir(tmp_path)  # an empty folder: nothing may be looked up in the clone
    monkeypatch.setattr(FeatureDataModule, "evaluation_batch_size", 32)  # a dry run takes a batch of each loader
    tested = []
    monkeypatch.setattr(
        McmfhCLI, "after_fit", lambda cli: tested.append(cli.trainer.test(cli.model, cli.datamodule, verbose=False))
    )
    flags = ["--config", f"experiments/{name}.yaml", "--data.root", str(few_features), "--trainer.fast_dev_run", "true"]
    main(["fit", *flags])
    assert tested


@pytest.mark.parametrize("name", ENCODER_EXPERIMENTS)
def test_encoder_experiment_parses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They run in tests/encoders/test_experiments.py."""
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--config", f"experiments/{name}.yaml", "--print_config"])
    assert stop.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["return_predictions"] is False  # otherwise Lightning keeps every embedding in memory
    assert config["model"]["class_path"].endswith("FeatureExtractor")


def test_scheduler_follows_max_epochs(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = {}
    monkeypatch.setattr(McmfhCLI, "_run_subcommand", lambda cli, subcommand: seen.update(model=cli.model))
    main(["fit", "--config", "experiments/mcmfh.yaml", "--data.root", str(features), "--trainer.max_epochs", "7"])
    schedule = seen["model"].configure_optimizers()["lr_scheduler"]["scheduler"]
    assert schedule.T_max == 7


def test_former_names_of_flags_and_keys_are_accepted_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("model: {init_args: {quantisation_weight: 0.7}}")
    for given, flag in ((0.7, ["--config", "own.yaml"]), (0.3, ["--model.quantisation_weight=0.3"])):
        with pytest.warns(UserWarning, match="quantization_weight; the next release drops"), pytest.raises(SystemExit):
            main(["fit", "--config", "experiments/ddbh.yaml", *flag, "--print_config"])
        assert yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["quantization_weight"] == given


def test_former_names_of_configs_and_their_place_in_a_clone_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = find_configs(["--config", "experiments/mcmfh.yaml"])
    assert find_configs(["--config", "lightning_configs/experiments/mcmfh.yaml"]) == plain
    with pytest.warns(FutureWarning, match=r"model/ddbh_tuned\.yaml is now model/ddbh\.yaml"):
        assert find_configs(["--model", "model/ddbh_tuned.yaml"]) == ["--model", str(CONFIGS / "model/ddbh.yaml")]

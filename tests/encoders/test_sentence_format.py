import json
from pathlib import Path

import pytest

from mcmfh_lightning.encoders.text_tower import SentenceFormat
from mcmfh_lightning.errors import DataError

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}


def write(folder: Path, modules: list[dict[str, object]], pooling: dict[str, object]) -> Path:
    (folder / "1_Pooling").mkdir()
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "cls"}, "cls"),
    ],
)
def test_both_spellings_of_pooling(tmp_path: Path, pooling: dict[str, object], expected: str) -> None:
    folder = write(tmp_path, [TRANSFORMER, POOLING], pooling)
    assert SentenceFormat.read(folder, None) == SentenceFormat(expected, unit_length=False, max_tokens=None)


def test_normalisation_and_length(tmp_path: Path) -> None:
    folder = write(tmp_path, [TRANSFORMER, POOLING, NORMALIZE], {"pooling_mode": "mean"})
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 99, "do_lower_case": False}))
    assert SentenceFormat.read(folder, "mean") == SentenceFormat("mean", unit_length=True, max_tokens=99)
    with pytest.raises(ValueError, match="leave text_pooling out"):
        SentenceFormat.read(folder, "cls")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 99, "do_lower_case": True}))
    with pytest.raises(DataError, match="do_lower_case"):
        SentenceFormat.read(folder, None)


def test_what_would_change_the_embedding_unseen_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, [TRANSFORMER, POOLING, DENSE], {"pooling_mode": "mean"})
    with pytest.raises(DataError, match="Dense"):
        SentenceFormat.read(folder, None)
    (folder / "modules.json").write_text(json.dumps([TRANSFORMER, POOLING]))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(DataError, match="pooling_mode_max_tokens"):
        SentenceFormat.read(folder, None)
    (folder / "modules.json").write_text("{")
    with pytest.raises(DataError, match=r"modules\.json: cannot be read"):
        SentenceFormat.read(folder, None)


def test_a_plain_folder_needs_a_word(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="set text_pooling to mean or cls"):
        SentenceFormat.read(tmp_path, None)
    with pytest.raises(ValueError, match="not one of 'mean', 'cls'"):
        SentenceFormat.read(tmp_path, "max")

"""The JSON of one run."""

import json
from dataclasses import fields, replace

import pytest

from mcmfh_lightning.callbacks import hamming_ranking
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps import result
from mcmfh_lightning.sweeps.result import Data, QueryValues, Result, dumped, load_all

RESULT = Result(
    system="MCMFH",
    metric="test/unimodal",
    parameters={"config": "experiments/mcmfh.yaml", "data.root": "features", "seed_everything": 0},
    data=Data("planted", "towers", "0" * 16, 8, {"train": 4, "val": 2, "test": 2}),
    num_bits=16,
    package="mcmfh-lightning 0",
    torch="2",
    device="none",
    jobs=1,
    fit_seconds=1.0,
    test_seconds=1.0,
    epochs=15,
    best=0.3,
    results={"unimodal": {"unseen": {"all": {"i2t": {"model": {"mAP@all": [0.5, None, 0.9]}}}}}},
    queries=QueryValues([3, 1], {"abnormal": [0, 1]}, {"unimodal": {"i2t": [0.25, None]}}),
)


@pytest.mark.parametrize("result", [RESULT, replace(RESULT, metric="val/mAP", results=None, queries=None)])
def test_a_result_is_read_as_it_was_written(tmp_path, result):
    path = tmp_path / result.file_name
    path.write_text(dumped(result))
    assert load_all(tmp_path) == [result]
    assert json.loads(path.read_text())["format_version"] == 2
    assert len(path.read_text().splitlines()) == 3 + len(fields(Result))  # braces, the version, a line an entry


@pytest.mark.parametrize(
    ("name", "text", "pattern"),
    [
        ("mine.json", dumped(RESULT), "mine.json: holds the run of mcmfh-planted-seed0-.*give it this name"),
        ("x.json", "{", "x.json: not a result of a run"),
        ("x.json", dumped(RESULT).replace('"format_version": 2', '"format_version": 1'), "format_version 1, this"),
        ("x.json", dumped(RESULT).replace('"jobs"', '"job"'), "an entry is missing or unknown .*'job'"),
        ("x.json", dumped(RESULT).replace('"encoder"', '"tower"'), "an entry is missing or unknown .*run it again"),
        ("x.json", dumped(RESULT).replace('"data.root"', '"root"'), "holds the run of|an entry is missing"),
    ],
)
def test_what_is_refused(tmp_path, name, text, pattern):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=pattern):
        load_all(tmp_path)


def test_the_monitor_is_that_of_the_callback():
    assert result.MONITOR == hamming_ranking.MONITOR

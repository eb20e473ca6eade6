"""``mcmfh-archive verify`` finds what somebody else has changed."""

import shutil

import numpy as np
import pytest

from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main


@pytest.fixture(scope="module")
def sound(collection, tmp_path_factory):
    """An archive in which nothing is wrong."""
    archive, features = str(tmp_path_factory.mktemp("sound") / "archive"), str(collection / "features")
    main(["build", archive, "--checkpoint", str(collection / "hasher.ckpt"), "--features", features])
    main(["verify", archive, "--features", features])
    return archive


def _change(archive, change):
    """Let somebody else write rows."""
    table = ItemTable.open(archive)
    found = table.select(table.schema.names).drop_columns(["_rowid"]).to_pylist()
    batch = type(table.select(["id"])).from_pylist([change(row) for row in found[:1]], schema=table.schema)
    table.add(batch, replace=True)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda row: row | {"case_code": bytes(255 - byte for byte in row["case_code"])}, "codes are those that the"),
        (lambda row: row | {"image_code": None, "image_relaxed": None}, "items have an image or a text"),
        (lambda row: row | {"labels": ["surprise\x1b[2J"]}, "labels are in the vocabulary"),
        (lambda row: row | {"date": "2012-3-1"}, "splits and dates"),
        (lambda row: row | {"text": "a secret"}, "content is kept as"),
        (lambda row: row | {"case_relaxed": np.full(16, np.nan, "<f2").tobytes()}, "codes are the signs of"),
    ],
)
def test_verify_finds_what_was_changed(collection, sound, tmp_path, capsys, change, check):
    archive = shutil.copytree(sound, tmp_path / "archive")
    _change(archive, change)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(archive), "--features", str(collection / "features")])
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    failed = [line for line in shown.splitlines() if "failed" in line]
    assert any(check in line for line in failed)

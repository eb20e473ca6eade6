"""Commands of ``mcmfh-archive`` in a test, and what an archive holds after them."""

import pytest

from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main


def rows(archive):
    table = ItemTable.open(archive)
    return {row.pop("id"): row for row in table.select(table.schema.names).drop_columns(["_rowid"]).to_pylist()}


def refused(capsys, *command):
    """What a command says when it refuses."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(part) for part in command])
    assert ended.value.code == 2
    said = capsys.readouterr().err.lstrip("\n")  # a progress bar that ends in an error may leave an empty line
    assert said.count("\n") == 1
    return said

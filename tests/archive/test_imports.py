"""Searches without torch: what of an archive needs no encoder imports none of its packages."""

import subprocess
import sys
from pathlib import Path

import pytest

from mcmfh_lightning.cli.archive import COMMANDS

HEAVY = ("torch", "lightning", "open_clip", "transformers")
BLOCKED = f"""
import sys
sys.modules.update(dict.fromkeys({HEAVY}))  # an import of one fails
"""
HELP = """
from mcmfh_lightning.cli.archive import main
for arguments in [["--help"], *([name, "--help"] for name in sys.argv[1:])]:
    try:
        main(arguments)
    except SystemExit as ended:
        assert ended.code == 0, arguments
assert not {"numpy", "pyarrow", "faiss", "lancedb", "pandas"} & sys.modules.keys()
"""
REFUSED = """
from mcmfh_lightning.cli.archive import main
for query in sys.argv[2:]:
    try:
        main(["search", sys.argv[1], query])
    except SystemExit as ended:
        assert ended.code == 2, query
"""
USE = """
from mcmfh_lightning.archive import Archive, Filters
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.cli.archive import main
archive = Archive.open(sys.argv[1])
assert archive.search(id="film 05", filters=Filters(without_groups=("P-1009",))).hits
main(["search", sys.argv[1], "--id", "film 05", "--rerank", "0"])
main(["info", sys.argv[1]])
main(["info", sys.argv[1], "--json"])
main(["delete", sys.argv[1], "--ids", "film 03", "--groups", "7"])
main(["switch", f"{sys.argv[1]}-link", sys.argv[1], "--without-encoder"])
assert archive.refresh()
try:
    archive.search(text="effusion")
except ConfigError as error:
    print(error)
assert "lance_namespace_urllib3_client.models" in sys.modules
assert "lance_namespace_urllib3_client.api" not in sys.modules  # half of the import of lancedb, until it is used
from lance_namespace_urllib3_client import ApiClient, TableApi
assert TableApi(ApiClient())
sys.modules["torch"] = type(sys)("torch")
from mcmfh_lightning.archive import devices  # needs no other: `serve` checks its device before it listens
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_help_of_every_command_imports_little() -> None:
    shown = run(HELP, *COMMANDS).stdout
    assert all(f"mcmfh-archive [options] {name}" in shown or f"mcmfh-archive {name}" in shown for name in COMMANDS)


def test_what_needs_no_encoder_needs_no_torch(earlier_versions: Path, tmp_path: Path) -> None:
    """Also the refusal of a query that cannot be used, which comes before torch is loaded."""
    (tmp_path / "studies.csv").write_text("id,text\n")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    queries = {
        "--text=": "text is empty",
        f"--image={tmp_path / 'none.png'}": "No such file",
        f"--image={tmp_path / 'studies.csv'}": "neither JPEG nor PNG nor DICOM",
        f"--image={tmp_path / 'broken.png'}": "undecodable image",
    }
    done = run(REFUSED + USE, earlier_versions / "archive", *queries)
    refusals = [line for line in done.stderr.splitlines() if "error: " in line]
    for line, reason in zip(refusals, queries.values(), strict=True):
        assert reason in line
    assert "items deleted" in done.stdout
    assert f"archive-link: names {earlier_versions / 'archive'} now" in done.stdout
    assert "torch is not installed, and no exported model is given: pass --model FOLDER" in done.stdout


@pytest.mark.parametrize("name", ["Archive", "Filters", "Hit", "Item", "SearchResult"])
def test_public_names(name: str) -> None:
    from mcmfh_lightning import archive

    assert getattr(archive, name).__name__ == name
    assert name in archive.__all__

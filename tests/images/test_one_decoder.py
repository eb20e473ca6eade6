"""Pictures from elsewhere are decoded in one place: every other call of an image library is known here by name."""

import ast
from collections import Counter
from pathlib import Path

import pytest

import mcmfh_lightning
from mcmfh_lightning import datamodules

READERS = {"Image.open", "dcmread", "read_dataset", "read_file", "pixel_array", "imread", "decode_image", "decode_png"}
LIBRARIES = {"PIL", "pydicom", "cv2", "imageio", "tifffile", "png"}
KNOWN = {
    # The decoder.
    "images/decode.py": {"Image.open": 1},
    "images/png.py": {"Image.open": 1},
    "images/dicom.py": {"dcmread": 1, "read_dataset": 1, "pixel_array": 1, "Image.open": 1},  # the last: a header
    # Readers of shards, whose pictures the decoder has made.
    "shards/members.py": {"Image.open": 1},
    "shards/verify/records.py": {"decode_image": 1},
    "tables.py": {"decode_image": 1},
    "evaluation/data_stats.py": {"Image.open": 1},  # the header
    "archive/schema.py": {"decode_image": 1},  # for thumbnails
    # Examples of a shard, and plots that this package has drawn.
    "callbacks/example_gallery.py": {"Image.open": 1},
    "callbacks/evaluation.py": {"imread": 1},
}


@pytest.fixture(scope="module")
def files() -> list[tuple[str, list[ast.AST]]]:
    """Name in the package and syntax of each file that has one of the words that are looked for."""
    # `datamodules` is a folder of its own in the repository, and inside the package once installed.
    roots = {Path(mcmfh_lightning.__file__).parent, Path(datamodules.__file__).parent}
    return [
        (path.relative_to(root).as_posix().removeprefix("datamodules/"), list(ast.walk(ast.parse(text))))
        for root in roots
        for path in sorted(root.rglob("*.py"))
        if any(word in (text := path.read_text()) for word in READERS | LIBRARIES)
    ]


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(value=ast.Name(id="Image"), attr="open"):
            return "Image.open"
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def test_no_other_place_reads_pictures(files):
    found = {
        path: dict(counts)
        for path, held in files
        if (
            counts := Counter(name for node in held if isinstance(node, ast.Call) and (name := called(node)) in READERS)
        )
    }
    assert found == KNOWN


def test_image_libraries_are_imported_by_their_usual_names(files):
    """So that the test above sees their calls."""
    for path, held in files:
        for node in held:
            if isinstance(node, ast.ImportFrom) and node.module in ("PIL.Image", "pydicom.filereader", "pydicom"):
                assert all(alias.asname is None and alias.name != "open" for alias in node.names), path
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
                assert not names & LIBRARIES, path

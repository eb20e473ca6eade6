"""Pictures from elsewhere are decoded in one place: every other call of an image library is known here by name."""

import ast
from collections import Counter
from pathlib import Path

import mcmfh_lightning
from mcmfh_lightning import datamodules

READERS = {"Image.open", "dcmread", "read_dataset", "read_file", "pixel_array", "imread", "decode_image", "decode_png"}
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


def calls(path: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found[name if name == "Image.open" else name.rpartition(".")[2]] += 1
    return Counter({name: count for name, count in found.items() if name in READERS})


def test_no_other_place_reads_pictures():
    # `datamodules` is a folder of its own in the repository, and inside the package once installed.
    roots = {Path(mcmfh_lightning.__file__).parent, Path(datamodules.__file__).parent}
    found = {
        path.relative_to(root).as_posix().removeprefix("datamodules/"): dict(counts)
        for root in roots
        for path in sorted(root.rglob("*.py"))
        if (counts := calls(path))
    }
    assert found == KNOWN


def test_image_libraries_are_imported_by_their_usual_names():
    """So that the test above sees their calls."""
    for root in (Path(mcmfh_lightning.__file__).parent, Path(datamodules.__file__).parent):
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module in ("PIL.Image", "pydicom.filereader", "pydicom"):
                    assert all(alias.asname is None and alias.name != "open" for alias in node.names), path
                if isinstance(node, ast.Import):
                    names = {alias.name.partition(".")[0] for alias in node.names}
                    assert not names & {"PIL", "pydicom", "cv2", "imageio", "tifffile", "png"}, path

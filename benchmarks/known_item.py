"""Whether a picture that is in an archive finds itself; see docs/guides/archive.md.

    python benchmarks/known_item.py --archives DIR [DIR ...] --pairs DIR [--csv FILE] [--split SPLIT ...]
                                    [--number N]

Each archive holds the same collection, by codes of another length (`mcmfh-archive build`). Each picture of the pair
shards goes through the whole pipeline of a query, as a file: as it is, as JPEG of quality 85, at half size, and as
DICOM. All items are searched. Its item is "first" if the first hit is that item, or one whose picture has the same
bytes. It is "taken for the same" if the archive says that its picture is the query's, or nearly. Items whose image has
the code of the query's are its tie group, whose size is given by median and 95th percentile.

Prints a table in Markdown and writes a CSV file.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from measurements import Row, markdown, options, report
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from rich.progress import track

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import PairShardReader

FIRST = 20  # hits that a page shows
SEED = 0
SPLITS = ("train", "val", "test")


class Known(NamedTuple):
    """Item with its picture.

    Attributes:
        id: Its id.
        image: File of the picture.
        same: Ids of all items whose files have the same bytes, its own included.
    """

    id: str
    image: bytes
    same: frozenset[str]


class Outcome(NamedTuple):
    """How an item was found.

    Attributes:
        first: Whether the first hit is the item, or has its picture.
        shown: Whether the item, or one with its picture, is among the first 20 hits.
        same: Whether the archive takes its picture for the query's.
        ties: Number of items whose image has the code of the query's.
    """

    first: bool
    shown: bool
    same: bool
    ties: int


def as_it_is(image: bytes, folder: Path) -> Path:
    """Write the file as it is."""
    path = folder / "picture"
    path.write_bytes(image)
    return path


def as_jpeg(image: bytes, folder: Path) -> Path:
    """Compress the picture again, as JPEG of quality 85."""
    path = folder / "picture.jpg"
    _decoded(image).save(path, quality=85)
    return path


def at_half_size(image: bytes, folder: Path) -> Path:
    """Resize the picture to half of its width and height, rounded up, as PNG."""
    path, picture = folder / "picture.png", _decoded(image)
    picture.resize(((picture.width + 1) // 2, (picture.height + 1) // 2), Image.Resampling.LANCZOS).save(path)
    return path


def as_dicom(image: bytes, folder: Path) -> Path:
    """Write the pixels as an uncompressed DICOM file."""
    path, pixels = folder / "picture.dcm", np.asarray(_decoded(image))
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3  # gray, or red, green and blue
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"  # likewise
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path


CHANGES: Mapping[str, Callable[[bytes, Path], Path]] = {
    "as it is": as_it_is,
    "JPEG of quality 85": as_jpeg,
    "half size": at_half_size,
    "DICOM": as_dicom,
}


def _decoded(image: bytes) -> Image.Image:
    """Decode a picture of pair shards: gray stays gray."""
    picture = Image.open(BytesIO(image))
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def read_items(pairs: Path, splits: Sequence[str], number: int | None) -> list[Known]:
    """Read pictures: all of them, or some that are drawn with a fixed seed.

    Raises:
        DataError: If there are none.
    """
    reader = PairShardReader(pairs, splits)
    images = {pair.id: pair.image for pair in map(reader.__getitem__, range(len(reader))) if pair.image is not None}
    if not images:
        raise DataError(f"{pairs} has no pictures in {', '.join(splits)}: name another folder or split")
    digests = {name: sha256(image).digest() for name, image in images.items()}
    same: dict[bytes, set[str]] = {}
    for name, digest in digests.items():
        same.setdefault(digest, set()).add(name)
    names = np.random.default_rng(SEED).permutation(sorted(images))[:number].tolist()
    return [Known(name, images[name], frozenset(same[digests[name]])) for name in names]


def find(archive: Archive, item: Known, picture: Path) -> Outcome:
    """Search by a picture of an item."""
    found = archive.search(image=picture, k=FIRST)
    own = [hit for hit in found.hits if hit.item.id in item.same]
    return Outcome(
        first=any(hit.rank == 1 for hit in own),
        shown=bool(own),
        same=any(hit.alike for hit in own),
        ties=found.equal or 0,
    )


def measure(archives: Sequence[Archive], items: Sequence[Known]) -> Iterator[Row]:
    """Search by every picture, changed in every way."""
    for archive in archives:
        for name, change in CHANGES.items():
            with tempfile.TemporaryDirectory() as folder:
                watched = track(items, description=f"{archive.info.num_bits} bits, {name}")
                found = [find(archive, item, change(item.image, Path(folder))) for item in watched]
            outcomes = pd.DataFrame(found)
            yield {
                "bits": archive.info.num_bits,
                "picture": name,
                "items": len(archive),
                "pictures": len(items),
                "first": outcomes["first"].mean(),
                "among the first 20": outcomes["shown"].mean(),
                "taken for the same": outcomes["same"].mean(),
                "ties, median": outcomes["ties"].quantile(0.5),
                "ties, 95th percentile": outcomes["ties"].quantile(0.95),
            }


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render all rows."""
    table = rows[["bits", "picture"]].astype(str)
    for name in ("first", "among the first 20", "taken for the same"):
        table[name] = [f"{100 * share:.1f} %" for share in rows[name]]
    for name in ("ties, median", "ties, 95th percentile"):
        table[name] = [f"{number:,.0f}" for number in rows[name]]
    return {"known_item": markdown(table, "rl")}


def main() -> None:
    """Measure, print and write."""
    parser = options(__doc__, "csv")
    parser.add_argument("--archives", type=Path, nargs="+", required=True, help="archives of one collection")
    parser.add_argument("--pairs", type=Path, required=True, help="pair shards that the archives were made of")
    parser.add_argument("--split", action="append", choices=SPLITS, help="split of the pictures; all by default")
    parser.add_argument("--number", type=int, help="number of pictures, drawn at random; all by default")
    arguments = parser.parse_args()
    items = read_items(arguments.pairs, arguments.split or SPLITS, arguments.number)
    archives = [Archive.open(path) for path in arguments.archives]
    report(arguments, measure(archives, items), tables)


if __name__ == "__main__":
    main()

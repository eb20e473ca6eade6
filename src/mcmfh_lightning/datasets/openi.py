"""Open-i's Indiana University chest X-ray collection, read from the archives that upstream ships.

Source: Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and retrieval",
JAMIA 23(2), 2016, https://doi.org/10.1093/jamia/ocv080; archives at https://openi.nlm.nih.gov/faq#collection.

One XML is one study with one report; each ``parentImage`` of it is one image. Decisions:

- *text* is FINDINGS and IMPRESSION, joined by a blank, white space normalized. ``XXXX``, the mark left by
  de-identification, stays: the words that it replaces are not known.
- *labels* are the MeSH ``major`` headings up to the first slash (``Pleural Effusion/left/small`` is
  ``Pleural Effusion``) or the ``automatic`` terms. ``No Indexing`` is not a label; such pairs are kept without any.
  Automatic terms are never given to normal reports, so ``normal`` is taken from the major headings there too.
- *group* is the study, by its number (``CXR12`` is 12).
- *date*: every XML carries the day of publication (2013-08-01) in place of that of the examination, so it is not read.
  Study dates come from a table (``read_splits_csv``) made from the collection's DICOM files.
- *source* and *licence* are those that each XML names.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from mcmfh_lightning.datasets.collection import Candidate, Collection, index_images
from mcmfh_lightning.datasets.download import read_tgz
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.labels import NORMAL

LabelScheme = Literal["mesh_major", "mesh_automatic"]
NO_INDEXING = "No Indexing"

_MAX_XML_BYTES = 1 << 20  # upstream's largest report has 9 kB
_TITLE = "Indiana University Chest X-ray Collection"
# CXR10_IM-0002-1001 is 10_IM-0002-1001.dcm.png in copies made from the DICOM files; CXR1_1_IM-... is 1_IM-... there.
_IMAGE_NAME = re.compile(r"(?:cxr)?0*(\d+)_(?:\1_)?(im-[\w-]+?)((?:\.dcm|\.png|\.jpe?g)*)")
_CREATIVE_COMMONS = re.compile(r"creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero))/(\d\.\d)")


@dataclass(frozen=True)
class Study:
    """Report of one study, as its XML has it."""

    number: int
    findings: str
    impression: str
    major: tuple[str, ...]
    automatic: tuple[str, ...]
    images: tuple[str, ...]
    source: str
    licence: str

    @property
    def text(self) -> str:
        """FINDINGS and IMPRESSION, as far as they are there."""
        return " ".join(part for part in (self.findings, self.impression) if part)

    def labels(self, scheme: LabelScheme) -> tuple[str, ...]:
        """Return the labels under a scheme, sorted."""
        if scheme == "mesh_major":
            return tuple(sorted(set(self.major) - {NO_INDEXING}))
        return tuple(sorted(set(self.automatic) | ({NORMAL} & set(self.major))))


def parse_study(xml: bytes) -> Study:
    """Parse one ``ecgen-radiology/*.xml``.

    defusedxml parses it, because the standard library's parser expands entities that a file declares about itself: a
    report of 1 kB may ask for gigabytes ("billion laughs"). Reports declare none, so a declaration is refused.

    Raises:
        ValueError: If it is not such a file.
    """
    try:
        root = fromstring(xml)
    except (ParseError, DefusedXmlException) as error:
        raise ValueError(f"not plain XML: {error!r}") from error
    uid = root.find("uId")
    number = re.fullmatch(r"CXR(\d+)", uid.get("id", "") if uid is not None else "")
    if number is None:
        raise ValueError("no <uId id='CXR...'>")
    title = _squeeze(root.findtext("title")) or "unnamed collection"
    sections = {element.get("Label"): _squeeze(element.text) for element in root.iter("AbstractText")}
    return Study(
        number=int(number[1]),
        findings=sections.get("FINDINGS", ""),
        impression=sections.get("IMPRESSION", ""),
        major=_terms(root, "major"),
        automatic=_terms(root, "automatic"),
        images=tuple(element.get("id", "") for element in root.iter("parentImage")),
        source=f"Open-i: {title} (https://openi.nlm.nih.gov)" if title == _TITLE else title,
        licence=_licence(root),
    )


def _squeeze(text: str | None) -> str:
    return " ".join((text or "").split())


def _terms(root: Element, tag: str) -> tuple[str, ...]:
    terms = (_squeeze((element.text or "").partition("/")[0]) for element in root.iterfind(f"MeSH/{tag}"))
    return tuple(term for term in terms if term)


def _licence(root: Element) -> str:
    url = _squeeze(root.findtext("licenseURL"))
    if match := _CREATIVE_COMMONS.search(url):
        licence, zero, version = match.groups()
        return f"CC0 {version}" if zero else f"CC {licence.upper()} {version}"
    return url or _squeeze(root.findtext("ccLicense")) or "unknown licence"


def read_reports(reports: Path) -> Iterator[tuple[str, bytes]]:
    """Yield file name and content of each ``.xml`` of a ``.tgz`` (which is not unpacked) or of a folder.

    Raises:
        DataError: If there is no such archive or folder, it is damaged, or it has no ``.xml``.
    """
    if not reports.exists():
        raise DataError(f"{reports}: no such archive or folder of reports")
    files = read_tgz(reports, ".xml", _MAX_XML_BYTES)
    if reports.is_dir():
        files = ((path.name, path.read_bytes()) for path in sorted(reports.rglob("*.xml")))
    empty = True
    for name, content in files:
        empty = False
        yield name, content
    if empty:
        raise DataError(f"{reports}: holds no .xml file; expected upstream's ecgen-radiology/*.xml")


def read_openi(reports: Path, images: Path, labels: LabelScheme) -> tuple[Collection, str]:
    """Read all reports and match them with the image files ``<parentImage id>.png|.jpg|.jpeg``.

    Copies made from the collection's DICOM files name them in another way (``10_IM-0002-1001.dcm.png``); these are
    matched and counted.

    Returns:
        The collection, candidates by study and id, and the SHA-256 of the reports' names and contents.

    Raises:
        DataError: If reports or images cannot be read, two files are one image, or the reports name none of the files.
    """
    files = _Images(images)
    collection = Collection()
    content_hash = hashlib.sha256()
    seen: dict[str, Path | None] = {}
    studies = without_text = 0
    for name, xml in sorted(read_reports(reports)):
        content_hash.update(f"{name}\0{len(xml)}\0".encode() + xml)
        studies += 1
        try:
            study = parse_study(xml)
        except ValueError:
            collection.skip("unreadable report", name)
            continue
        without_text += not study.text
        if not study.images:
            collection.skip("report without an image", f"CXR{study.number}")
        for image_id in study.images:
            image = files.find(image_id)
            if image_id in seen:
                collection.skip("image id named twice", image_id)
            elif image is None:
                collection.skip("missing image file", image_id)
            elif not study.text:
                collection.skip("report without FINDINGS and IMPRESSION", image_id)
            else:
                _add(collection, study, image_id, image, labels)
            seen[image_id] = image
    found = {image for image in seen.values() if image is not None}
    if seen and not found:
        files.refuse(next(iter(seen)))
    collection.candidates.sort(key=lambda candidate: (candidate.group, candidate.id))
    texts = Counter({candidate.group: candidate.text for candidate in collection.candidates}.values())
    collection.read = {
        "reports read": studies,
        "reports without FINDINGS and IMPRESSION": without_text,
        "images named by reports": len(seen),
        "image files": len(files),
        "image files no report names": len(files) - len(found),
        "pairs found": len(collection.candidates),
        "studies whose text another study has too": sum(count for count in texts.values() if count > 1),
    }
    return collection, content_hash.hexdigest()


class _Images:
    """Image files of a folder, by the ids of the reports.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = index_images(folder)
        self._alike: dict[str, list[Path]] = {}
        for stem, path in self._files.items():
            self._alike.setdefault(_image_key(stem), []).append(path)

    def __len__(self) -> int:
        return len(self._files)

    def find(self, image_id: str) -> Path | None:
        """Find the file of an image: named by its id, or as another copy of the collection names it.

        Raises:
            DataError: If two files may be it.
        """
        if image_id in self._files:
            return self._files[image_id]
        alike = self._alike.get(_image_key(image_id), [])
        if len(alike) > 1:
            raise DataError(
                f"{self._folder}: both {alike[0].name} and {alike[1].name} may be {image_id}; keep one file per image"
            )
        return alike[0] if alike else None

    def refuse(self, image_id: str) -> NoReturn:
        """Refuse a folder that has none of the images.

        Args:
            image_id: An image that was looked for.

        Raises:
            DataError: If it is called; the message shows one name that was looked for and one that is there.
        """
        there = next((f"one file there is {path.name}" for path in self._files.values()), "and no .png, .jpg or .jpeg")
        raise DataError(
            f"{self._folder}: holds no image of the reports; they name {image_id} (.png, .jpg or .jpeg), {there}: pass "
            "the folder that directly holds the images, or rename them"
        )


def _image_key(stem: str) -> str:
    """Return what the names of one image in copies of the collection have in common."""
    match = _IMAGE_NAME.fullmatch(stem.casefold())
    return f"{match[1]}_{match[2]}" if match else stem


def _add(collection: Collection, study: Study, image_id: str, image: Path, scheme: LabelScheme) -> None:
    labels = study.labels(scheme)
    collection.candidates.append(
        Candidate(
            image_id,
            image,
            study.text,
            labels,
            study.number,
            study.source,
            study.licence,
            group_name=f"CXR{study.number}",
        )
    )
    if image.stem != image_id:
        collection.note("image file named as another copy of the collection has it")
    if NO_INDEXING in study.major:
        collection.note(f"without a label: {NO_INDEXING}")
    elif not labels:
        collection.note("without a label: no term of the scheme")
    if not study.findings:
        collection.note("text is IMPRESSION only")
    if not study.impression:
        collection.note("text is FINDINGS only")
    if "XXXX" in study.text:
        collection.note("text contains XXXX (de-identification)")

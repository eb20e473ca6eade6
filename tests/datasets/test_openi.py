import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from mcmfh_lightning.datasets.openi import parse_study, read_openi
from mcmfh_lightning.errors import DataError

LICENCE = "http://creativecommons.org/licenses/by-nc-nd/4.0/"


def report(
    number: object,
    *images: str,
    findings: str = "The heart is normal.",
    impression: str = "No\n   acute  disease.",
    major: tuple[str, ...] = ("normal",),
    automatic: tuple[str, ...] = (),
    licence: str = LICENCE,
    title: str = "A collection",
    head: str = "",
) -> bytes:
    """One XML in upstream's structure."""
    mesh = "".join(f"<major>{x}</major>" for x in major) + "".join(f"<automatic>{x}</automatic>" for x in automatic)
    pictures = "".join(f'<parentImage id="{x}"><figureId>F1</figureId></parentImage>' for x in images)
    return f"""<?xml version="1.0" encoding="utf-8"?>{head}
<eCitation><meta type="rr"/><uId id="CXR{number}"/><licenseType>open-access</licenseType>
<licenseURL>{licence}</licenseURL><ccLicense>byncnd</ccLicense><articleDate>2013-08-01</articleDate>
<title>{title}</title><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="INDICATION">Cough</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText><AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation><MeSH>{mesh}</MeSH>{pictures}</eCitation>""".encode()


def write_archive(path: Path, reports: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in reports.items():
            member = tarfile.TarInfo(f"ecgen-radiology/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def images(tmp_path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("CXR1_1_IM-0001-3001.jpg", "CXR2_IM-0002-1001.png", "CXR2_IM-0002-2001.png", "unused.png"):
        Image.new("L", (4, 4)).save(folder / name)
    return folder


def test_a_report_is_read_in_full():
    study = parse_study(
        report(
            12,
            "CXR12_IM-0001-1001",
            "CXR12_IM-0001-2001",
            major=("Pleural Effusion/left/small", "Pleural Effusion/right", "Subcutaneous  Emphysema/neck"),
            automatic=("effusion", "pleural effusion"),
        )
    )
    assert study.number == 12
    assert study.text == "The heart is normal. No acute disease."
    assert study.labels("mesh_major") == ("Pleural Effusion", "Subcutaneous Emphysema")
    assert study.labels("mesh_automatic") == ("effusion", "pleural effusion")
    assert study.images == ("CXR12_IM-0001-1001", "CXR12_IM-0001-2001")
    assert study.licence == "CC BY-NC-ND 4.0"
    assert study.source == "A collection"


def test_no_indexing_is_not_a_label():
    assert parse_study(report(1, major=("No Indexing",))).labels("mesh_major") == ()


def test_normal_counts_under_either_scheme():
    study = parse_study(report(1, major=("normal",)))
    assert study.labels("mesh_major") == study.labels("mesh_automatic") == ("normal",)


@pytest.mark.parametrize(
    ("findings", "impression", "text"),
    [("", "Only this.", "Only this."), ("Only this.", " ", "Only this."), ("", "", "")],
)
def test_a_missing_section_leaves_the_other(findings, impression, text):
    assert parse_study(report(1, findings=findings, impression=impression)).text == text


@pytest.mark.parametrize(
    ("url", "licence"),
    [
        (LICENCE, "CC BY-NC-ND 4.0"),
        ("https://creativecommons.org/licenses/by/3.0/us", "CC BY 3.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("https://example.org/terms", "https://example.org/terms"),
        ("", "byncnd"),
    ],
)
def test_the_licence_is_what_the_report_says(url, licence):
    assert parse_study(report(1, licence=url)).licence == licence


def test_the_true_collection_is_named_and_others_are_not():
    assert "Open-i" in parse_study(report(1, title="Indiana University Chest X-ray Collection")).source
    assert "Open-i" not in parse_study(report(1, title="Something drawn")).source


LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]>"
EXTERNAL = "<!DOCTYPE x [<!ENTITY b SYSTEM 'file:///etc/hostname'>]>"


@pytest.mark.parametrize("head", [LAUGHS, EXTERNAL])
def test_entities_are_refused(head):
    with pytest.raises(ValueError, match="not plain XML"):
        parse_study(report(1, findings="&b;", head=head))


@pytest.mark.parametrize("xml", [b"", b"<eCitation>", b"<eCitation/>", report("x")])
def test_what_is_not_a_report_is_refused(xml):
    with pytest.raises(ValueError, match=r"not plain XML|no <uId"):
        parse_study(xml)


def test_everything_named_is_a_pair_or_accounted_for(tmp_path, images):
    archive = write_archive(
        tmp_path / "reports.tgz",
        {
            "1.xml": report(1, "CXR1_1_IM-0001-3001", major=("No Indexing",)),
            "2.xml": report(2, "CXR2_IM-0002-1001", "gone", findings="A XXXX.", impression="", major=("Nodule/lung",)),
            "3.xml": report(3),
            "4.xml": report(4, "CXR2_IM-0002-2001", findings="", impression=""),
            "5.xml": report(5, "CXR2_IM-0002-1001"),
            "6.xml": b"<eCitation>",
            "readme.txt": b"not a report",
        },
    )
    collection, _ = read_openi(archive, images, "mesh_major")
    first, second = collection.candidates
    assert (first.id, first.group, first.labels) == ("CXR1_1_IM-0001-3001", 1, ())
    assert [first.group_name, second.group_name] == ["CXR1", "CXR2"]
    assert (second.id, second.group, second.labels) == ("CXR2_IM-0002-1001", 2, ("Nodule",))
    assert second.image == images / "CXR2_IM-0002-1001.png"
    assert first.date is None  # every report carries the day of publication; it is not the day of the examination
    assert collection.skipped == {
        "missing image file": ["gone"],
        "report without an image": ["CXR3"],
        "report without FINDINGS and IMPRESSION": ["CXR2_IM-0002-2001"],
        "image id named twice": ["CXR2_IM-0002-1001"],
        "unreadable report": ["6.xml"],
    }
    assert collection.read["reports read"] == 6
    assert collection.read["images named by reports"] == 4
    assert collection.read["image files no report names"] == 1
    assert collection.read["pairs found"] == 2
    assert collection.kept == {
        "without a label: No Indexing": 1,
        "text is FINDINGS only": 1,
        "text contains XXXX (de-identification)": 1,
    }


@pytest.mark.parametrize(
    ("image_id", "name"),
    [
        ("CXR12_IM-0120-1001", "12_IM-0120-1001.dcm.png"),
        ("CXR12_IM-0120-1001", "CXR12_IM-0120-1001.dcm.jpg"),
        ("CXR12_IM-0120-1001-0001", "cxr12_im-0120-1001-0001.PNG"),
        ("CXR1_1_IM-0001-3001", "1_IM-0001-3001.dcm.png"),
    ],
)
def test_image_files_as_other_copies_name_them(tmp_path, images, image_id, name):
    Image.new("L", (4, 4)).save(tmp_path / "new.png")
    (images / "CXR1_1_IM-0001-3001.jpg").unlink()
    (tmp_path / "new.png").rename(images / name)
    archive = write_archive(tmp_path / "r.tgz", {"1.xml": report(12, image_id)})
    collection, _ = read_openi(archive, images, "mesh_major")
    assert [(c.id, c.image.name) for c in collection.candidates] == [(image_id, name)]
    assert collection.kept == {"image file named as another copy of the collection has it": 1}
    assert collection.read["image files no report names"] == 3


@pytest.mark.parametrize("name", ["1_IM-0120-1001.dcm.png", "12_IM-0120-1002.png", "12-IM-0120-1001.png"])
def test_image_files_of_no_report_are_refused_with_one_name_of_each(tmp_path, images, name):
    for path in images.iterdir():
        path.unlink()
    archive = write_archive(tmp_path / "r.tgz", {"1.xml": report(12, "CXR12_IM-0120-1001")})
    with pytest.raises(
        DataError, match=r"they name CXR12_IM-0120-1001 .*, and no \.png, \.jpg or \.jpeg: pass the folder"
    ):
        read_openi(archive, images, "mesh_major")
    Image.new("L", (4, 4)).save(images / name)
    with pytest.raises(DataError, match=f"they name CXR12_IM-0120-1001 .*, one file there is {name}: pass the folder"):
        read_openi(archive, images, "mesh_major")


def test_two_files_that_may_be_one_image_are_refused(tmp_path, images):
    for name in ("12_IM-0120-1001.png", "12_IM-0120-1001.dcm.png"):
        Image.new("L", (4, 4)).save(images / name)
    archive = write_archive(tmp_path / "r.tgz", {"1.xml": report(12, "CXR12_IM-0120-1001")})
    with pytest.raises(DataError, match=r"both 12_IM.* and 12_IM.* may be CXR12_IM-0120-1001; keep one file per image"):
        read_openi(archive, images, "mesh_major")
    Image.new("L", (4, 4)).save(images / "CXR12_IM-0120-1001.png")
    assert read_openi(archive, images, "mesh_major")[0].candidates[0].image.name == "CXR12_IM-0120-1001.png"


def test_a_folder_of_reports_is_the_same_as_the_archive(tmp_path, images):
    reports = {f"{n}.xml": report(n, f"CXR{n}_IM-0002-1001") for n in (2, 10)}
    archive = write_archive(tmp_path / "reports.tgz", reports)
    folder = tmp_path / "unpacked" / "ecgen-radiology"
    folder.mkdir(parents=True)
    for name, content in reports.items():
        (folder / name).write_bytes(content)
    packed, unpacked = (read_openi(path, images, "mesh_major") for path in (archive, folder.parent))
    assert packed == unpacked
    (folder / "10.xml").write_bytes(report(10, "CXR10_IM-0002-1001", impression="Changed."))
    assert read_openi(folder.parent, images, "mesh_major")[1] != packed[1]


def test_a_damaged_archive_is_named(tmp_path, images):
    archive = write_archive(tmp_path / "reports.tgz", {f"{n}.xml": report(n, "a" * n) for n in range(200)})
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"reports\.tgz: damaged archive"):
        read_openi(archive, images, "mesh_major")


def test_a_flipped_bit_is_found_by_the_checksum_of_gzip(tmp_path, images):
    archive = write_archive(tmp_path / "reports.tgz", {"2.xml": report(2, "CXR2_IM-0002-1001")})
    plain = gzip.decompress(archive.read_bytes())
    stored = bytearray(gzip.compress(plain, compresslevel=0))
    position = stored.index(b"heart is normal")
    stored[position] ^= 1
    archive.write_bytes(stored)
    with pytest.raises(DataError, match="damaged archive"):
        read_openi(archive, images, "mesh_major")


def test_links_in_an_archive_are_not_followed(tmp_path, images):
    secret = tmp_path / "secret.xml"
    secret.write_bytes(report(2, "CXR2_IM-0002-1001"))
    archive = tmp_path / "reports.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            member = tarfile.TarInfo(f"{kind!r}.xml")
            member.type, member.linkname = kind, str(secret)
            tar.addfile(member)
    with pytest.raises(DataError, match=r"holds no \.xml"):
        read_openi(archive, images, "mesh_major")


def test_missing_paths_are_named(tmp_path, images):
    with pytest.raises(DataError, match="nowhere: no such archive"):
        read_openi(tmp_path / "nowhere", images, "mesh_major")
    with pytest.raises(DataError, match="nowhere: no such folder"):
        read_openi(write_archive(tmp_path / "r.tgz", {"1.xml": report(1)}), tmp_path / "nowhere", "mesh_major")


def test_the_real_collection_has_the_known_traits(shared_data):
    """Numbers established without this parser; they include upstream's 44 images that are not at hand."""
    openi = shared_data / "openi"
    collection, _ = read_openi(openi / "NLMCXR_reports.tgz", openi / "images", "mesh_major")
    assert collection.read == {
        "reports read": 3955,
        "reports without FINDINGS and IMPRESSION": 28,
        "images named by reports": 7470,
        "image files": 7426,
        "image files no report names": 0,
        "pairs found": 7426,
        "studies whose text another study has too": 914,
    }
    assert {reason: len(items) for reason, items in collection.skipped.items()} == {
        "missing image file": 44,
        "report without an image": 104,
    }
    assert collection.kept["without a label: No Indexing"] == 172
    assert collection.kept["text contains XXXX (de-identification)"] / 7426 == pytest.approx(0.46, abs=0.005)
    assert {c.licence for c in collection.candidates} == {"CC BY-NC-ND 4.0"}
    assert collection.candidates[0].id == "CXR1_1_IM-0001-3001"

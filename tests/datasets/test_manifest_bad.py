"""``mcmfh-data manifest``: what is said of a table that is wrong, and what becomes of its other rows."""

import csv
import hashlib
import json
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow.parquet import write_table

from mcmfh_lightning.cli.data import manifest
from mcmfh_lightning.datasets.table.options import ManifestOptions
from mcmfh_lightning.datasets.table.rows import SplitBy
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import DatasetInfo

from ..images.dicom_files import write_dicom
from .manifests import GOOD, WRITERS, make_images, pairs, run, write_csv

HEADER = "id,image,text,labels,group,date,split\n"
FINE = "ok,a.png,Fine.,x,1,,train\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Images that are fine, and some that are not."""
    root = tmp_path_factory.mktemp("files")
    make_images(root)
    images = root / "images"
    Image.new("L", (4, 4)).save(root / "elsewhere.png")
    (images / "out.png").symlink_to("../elsewhere.png")
    (images / "circle.png").symlink_to("circle.png")
    (images / "cut.png").write_bytes((images / "a.png").read_bytes()[:100])
    (images / "notes.txt").write_text("no image")
    write_dicom(images / "frames.dcm", np.zeros((8, 8), np.uint8), NumberOfFrames=2)
    return root


@pytest.fixture
def folder(files, tmp_path) -> Path:
    return shutil.copytree(files, tmp_path, symlinks=True, dirs_exist_ok=True)


@dataclass
class Bad:
    """A manifest and the error that it gives.

    Attributes:
        content: The file; bytes where it is not UTF-8.
        words: What the error says behind the name of the file; ``...`` stands for anything.
        option: One or more options of the command.
        ending: Of the file's name.
        split_by: What splits are made of.
    """

    content: str | bytes
    words: str
    option: str = "--seed=0"
    ending: str = "csv"
    split_by: SplitBy | None = None


def last(row: str, words: str) -> Bad:
    """A row behind one that is fine."""
    return Bad(HEADER + FINE + row + "\n", words)


def dated(date: str) -> Bad:
    """A row whose date cannot be read, where the split is by date."""
    return Bad(
        f"{HEADER}ok,a.png,Fine.,x,1,2011-11-22,\nn,a.png,t,x,2,{date},\n",
        f", row 3, column 'date': impossible date ('{date}'); write days as...name their --date-format",
        split_by="date",
    )


def json_last(words: str, row: str | None = None, **values: object) -> Bad:
    """The same in JSON lines; values replace some of an object that is fine."""
    fine = {"id": "ok", "image": "a.png", "text": "t", "labels": ["x"], "group": 1}
    bad = json.dumps({**fine, "id": "n", **values}) if row is None else row
    return Bad(f"{json.dumps(fine)}\n{bad}\n", words, ending="jsonl")


HASH_OF_P17 = int.from_bytes(hashlib.sha256(b"P-17").digest()[:8], "big", signed=True)

WHOLE = {
    "empty": Bad("", ": empty file; its first row names the columns"),
    "no rows": Bad(HEADER, ": no row; write one for each"),
    "ending": Bad(HEADER, ": manifests end in .csv, .tsv, .jsonl or .parquet; save it as one", ending="txt"),
    "no header": Bad(FINE, ", row 1: no column 'id' (has 'ok', 'a.png',...); add it, or name another by --id-"),
    "no labels": Bad("id,image,group\nn,a.png,1\n", ", row 1: no column 'labels' (has 'id', 'image', 'group'); add it"),
    "no group": Bad("id,image,labels\nn,a.png,x\n", ", row 1: no column 'group'... pass --group-column id"),
    "no modality": Bad(
        "id,labels,group\nn,x,1\n",
        ", row 1: no column 'image' and none 'text'...; add it, or name another by --image-column",
    ),
    "no dates": Bad("id,text,labels,group\nn,t,x,1\n", ", row 1: no column 'date'...; add it", "--split-by=date"),
    "no splits": Bad("id,text,labels,group\nn,t,x,1\n", ", row 1: no column 'split'...; add it", "--split-by=given"),
    "wrong option": Bad(
        HEADER + FINE, ", row 1: no column 'Text'...; did you mean 'text'? correct --text-column", "--text-column=Text"
    ),
    "look-alike": Bad(
        "id,image,labels,group,Splits\nn,a.png,x,1,train\n",
        ", row 1: column 'Splits' looks like 'split'; rename it, or pass --split-column Splits, or --no-column split",
    ),
    "twice a column": Bad(
        "id,image,labels,group,image\nn,a.png,x,1,a.png\n", ", row 1: column 'image' occurs twice; rename or remove one"
    ),
    "semicolons": Bad(
        "id;image;text;labels;group\nn;a.png;t;x;1\n",
        ", row 1: one single column...pass what separates columns: --delimiter ';'",
    ),
    "cp1252": Bad(
        HEADER.encode() + FINE.encode() + "n,,Größe,x,1,,train\n".encode("cp1252"),
        f", row 3: byte {len(HEADER + FINE) + 5} is not utf-8...; save it as UTF-8 or pass its --encoding (cp1252",
    ),
    "utf-16": Bad((HEADER + FINE).encode("utf-16"), ", row 1: byte 0 is not utf-8...--encoding (...utf-16"),
    "utf-16 without a mark": Bad(
        (HEADER + FINE).encode("utf-16-le"), ", row 1: NUL bytes in the header; if it is UTF-16 pass --encoding utf-16"
    ),
    "another file as utf-16": Bad(
        (HEADER + FINE).encode().ljust(100),
        ": not utf-16, for so read it has no rows and columns; correct --encoding (utf-8, or cp1252",
        "--encoding=utf-16",
    ),
    "header in a wrong encoding": Bad(
        HEADER.replace("labels", "Ödem").encode("cp1252"),
        ", row 1: no column 'labels' (has 'id', 'image', 'text', 'Φdem'...; if these are not its names, correct "
        "--encoding cp1253); add it",
        "--encoding=cp1253",
    ),
    "normal label in a wrong encoding": Bad(
        (HEADER + FINE.replace(",x,", ",unauffällig,")).encode("cp1252"),
        ": no row has the label 'unauffällig' in 'labels', there is 'unauffδllig'; if its letters are wrong, correct "
        "--encoding cp1253, else --normal-label",
        "--encoding=cp1253 --normal-label=unauffällig",
    ),
    "normal label, misspelled": Bad(
        HEADER + FINE.replace(",x,", ",unauffällig,"),
        ": no row has the label 'unaufällig' in 'labels', there is 'unauffällig'; correct --normal-label",
        "--normal-label=unaufällig",
    ),
    "unknown encoding": Bad(
        HEADER + FINE,
        ": no text encoding is called 'uft-8'; did you mean 'utf-8' or 'utf-8-sig'? correct --encoding",
        "--encoding=uft-8",
    ),
    "encoding that reads nothing": Bad(
        HEADER + FINE, ": no text encoding is called 'undefined'; correct --encoding", "--encoding=undefined"
    ),
    "open quote": last('n,a.png,"never closed,x,1,,train', ", row 3: unexpected end of data; close each quote"),
    "stray quote": last('n,a.png,"a" b,x,1,,train', ", row 3: ...expected after...; close each quote"),
    "no JSON at all": Bad("id\n1\n", ", row 1: not JSON...; write one JSON object a line", ending="jsonl"),
    "labels are numbers": Bad(
        "id,text,labels,group\na,t,,1\nb,t,1,2\n",
        ", column 'labels': numbers, or yes and no,...('1' in row 3); if 1, 0 and -1 say...pass --label-columns",
    ),
    "labels are yes and no": Bad(
        "id,text,labels,group\na,t,yes,1\nb,t,No,2\n", ", column 'labels': numbers, or yes and no,...('yes' in row 2)"
    ),
    "no label at all": Bad(
        "id,text,labels,group\na,t,,1\nb,t,[],2\n",
        ": no row has a label in 'labels'; fill it in, read others by --labels-column or --label-columns...--no-labels",
    ),
    "no such normal label": Bad(
        HEADER + FINE, ": no row has the label 'fine' in 'labels'; correct --normal-label", "--normal-label=fine"
    ),
    "another case of the normal label": Bad(
        HEADER + FINE,
        ": no row has the label 'X' in 'labels', there is 'x'; correct --normal-label",
        "--normal-label=X",
    ),
    "no such column of labels": Bad(
        HEADER + FINE, ", row 1: no column 'Edema' (has...); correct --label-columns", "--label-columns=Edema"
    ),
    "no Parquet": Bad(b"PAR1 not at all", ": cannot be read as Parquet (...); write it again", ending="parquet"),
}

ROWS = {
    "too few fields": last("n,a.png,t", ", row 3: more or fewer fields than the header (3, not 7); quote fields"),
    "too many fields": last("n,a.png,one, two,x,1,,train", ", row 3: more or fewer fields...(8, not 7); quote fields"),
    "behind an empty line": last("\nn,a.png", ", row 4: more or fewer fields"),
    "behind line breaks": Bad(
        HEADER + 'ok,a.png,"one\ntwo\nthree",x,1,,train\nn,a.png\n', ", row 3: more or fewer fields...; quote"
    ),
    "NUL": last("n,a.png,t\0t,x,1,,train", ", row 3: NUL byte; remove it"),
    "NUL in JSON": json_last(", row 2, column 'text': NUL byte; remove it", text="t\0"),
    "no id": last(" ,a.png,t,x,1,,train", ", row 3, column 'id': no id; give each row an id"),
    "long id": last(
        f"{'n' * 201},a.png,t,x,1,,train", ", row 3, column 'id': id too long (201 characters);... shorten it"
    ),
    "unprintable id": last(
        "n\x07,a.png,t,x,1,,train", ", row 3, column 'id': unprintable id ('n\\x07'); remove control characters"
    ),
    "same id": last(
        "ok,b.jpg,t,x,1,,train", ", row 3: duplicate id ('ok' is in row 2); give each row an id of its own"
    ),
    "nothing": last("n,, ,x,1,,train", ", row 3: neither image nor text; fill in one of them"),
    "missing image": last(
        "n,z.png,t,x,1,,train", ", row 3, column 'image': missing image file ('z.png');...correct it, or leave it empty"
    ),
    "long name": last(
        f"n,{'z' * 300},t,x,1,,train", ", row 3, column 'image': missing image file...; paths are relative to --images"
    ),
    "a folder": last("n,sub,t,x,1,,train", ", row 3, column 'image': image is not a file ('sub'); name a file"),
    "dots": last("n,../m.csv,t,x,1,,train", ", row 3, column 'image': image outside --images ('../m.csv'); copy it"),
    "absolute": last("n,/etc/passwd,t,x,1,,train", ", row 3, column 'image': image outside --images (...); copy it"),
    "link out": last("n,out.png,t,x,1,,train", ", row 3, column 'image': image outside --images ('out.png'); copy it"),
    "circle of links": last("n,circle.png,t,x,1,,train", ", row 3, column 'image': missing image file ('circle.png');"),
    "truncated image": last(
        "n,cut.png,t,x,1,,train", ", row 3, column 'image': undecodable image (cut.png:...); copy it again"
    ),
    "not an image": last(
        "n,notes.txt,t,x,1,,train",
        ", row 3, column 'image': neither JPEG nor PNG nor DICOM (notes.txt); convert it to JPEG",
    ),
    "several frames": last(
        "n,frames.dcm,t,x,1,,train",
        ", row 3, column 'image': DICOM image of several frames (frames.dcm); export the frame",
    ),
    "long text": last(
        f"n,a.png,{'t' * 100_001},x,1,,train",
        ", row 3, column 'text': text too long (100,001 characters);... shorten it",
    ),
    "half a character": json_last(
        ", row 2, column 'text': half of a surrogate pair (...); write valid Unicode", text="\ud800"
    ),
    "text is a list": json_last(
        ", row 2, column 'text': value of the wrong type (list ['t']); write a string", text=["t"]
    ),
    "text is a number": json_last(
        ", row 2, column 'text': value of the wrong type (float 1.5); write a string", text=1.5
    ),
    "id is true": json_last(", row 2, column 'id': value of the wrong type (bool True); write a string", id=True),
    "labels are a number": json_last(
        ', row 2, column \'labels\': labels are not a list of strings (3); write ["a", "b"]', labels=3
    ),
    "labels are numbers": json_last(
        ', row 2, column \'labels\': labels are not a list of strings ([3]); write ["a", "b"]', labels=[3]
    ),
    "unprintable label": json_last(", row 2, column 'labels': unusable label (...);... correct it", labels=["a\nb"]),
    "not JSON": json_last(", row 2: not JSON (Expecting...); write one JSON object a line", '{"id": "n",'),
    "a list": json_last(', row 2: not a JSON object (a list); write {"id":', "[1, 2]"),
    "a key twice": json_last(", row 2: not JSON (a key occurs twice); write one", '{"id": "n", "id": "m"}'),
    "bottomless JSON": json_last(", row 2: not JSON (...); write one JSON object a line", "[" * 100_000),
    "empty group": last("n,a.png,t,x,,,train", ", row 3, column 'group': no group; fill in the study or patient"),
    "group collision": Bad(
        f"{HEADER}ok,a.png,Fine.,x,P-17,,train\nn,a.png,t,x,{HASH_OF_P17},,train\n",
        ", row 3, column 'group': group number is taken by another group (...); number the groups yourself",
    ),
    "group in two splits": last(
        "n,b.jpg,t,x,1,,test",
        ", row 3: group in two splits ('1' is in test, and in train by row 2); put all rows of a group into one split",
    ),
    "empty split": last(
        "n,a.png,t,x,1,,", ", row 3, column 'split': no split; write train, val or test, or pass --split"
    ),
    "unknown split": last(
        "n,a.png,t,x,1,,dev",
        ", row 3, column 'split': unknown split ('dev'); write train, val or test, or map...--split-names dev=val",
    ),
    "no such day": dated("2011-02-30"),
    "American day": dated("11/22/2011"),
    "short day": dated("2011-1-12"),
    "printed list cut off": last(
        "n,a.png,t,\"['x', 'y\",1,,train",
        ", row 3, column 'labels': labels look like a list that cannot be read (...); write",
    ),
    "printed list of half its commas": last(
        "n,a.png,t,\"['x' 'y', 'z']\",1,,train", ", row 3, column 'labels': labels look like a list that cannot be read"
    ),
    "printed list of numbers": last(
        'n,a.png,t,"[3, 4]",1,,train',
        ", row 3, column 'labels': labels look like a list that cannot be read ('[3, 4]')",
    ),
    "missing group in words": last("n,a.png,t,x,NaN,,train", ", row 3, column 'group': no group; fill in the study"),
    "missing id in words": last("NULL,a.png,t,x,1,,train", ", row 3, column 'id': no id; give each row an id"),
    "missing image and text in words": last("n,nan,<NA>,x,1,,train", ", row 3: neither image nor text; fill in one"),
    "group of another case": Bad(
        HEADER + "ok,a.png,Fine.,x,P1,,train\nn,b.jpg,t,x,p1,,test\n",
        ", row 3: group spelled in two ways, which may cut a patient ('p1' here, 'P1' in row 2); spell it alike",
    ),
    "group with a point": Bad(
        HEADER + "ok,a.png,Fine.,x,12,,\nn,b.jpg,t,x,12.0,,\n",
        ", row 3: group spelled in two ways...('12.0' here, '12' in row 2); spell it alike",
        split_by="group",
    ),
    "backslashes": last(
        "n,sub\\z.png,t,x,1,,train",
        ", row 3, column 'image': missing image file (...with / in place of the backslashes 'sub/z.png' is missing...",
    ),
    "backslashes that leave": last(
        "n,..\\m.csv,t,x,1,,train", ", row 3, column 'image': image outside --images (...); copy"
    ),
    "backslashes of a server": last(
        "n,\\\\server\\films\\a.png,t,x,1,,train",
        ", row 3, column 'image': image outside --images ('\\\\\\\\server...; copy it",
    ),
    "group rounded": last(
        "n,a.png,t,x,1.23E+15,,train",
        ", row 3, column 'group': group rounded by a spreadsheet ('1.23E+15'); export the",
    ),
    "another case": last(
        "n,SUB/C.png,t,x,1,,train",
        ", row 3, column 'image': missing image file ('SUB/C.png'; there is 'sub/c.png'); paths",
    ),
    "undated": Bad(
        f"{HEADER}ok,a.png,t,x,1,20111122,\nn,a.png,t,x,2,,\n",
        ", row 3: no date; --split-by date needs a date in at least one row of each group",
        split_by="date",
    ),
}


def write(folder: Path, bad: Bad) -> Path:
    path = folder / f"m.{bad.ending}"
    path.write_bytes(bad.content if isinstance(bad.content, bytes) else bad.content.encode())
    return path


def assert_said(bad: Bad, path: Path, error: str) -> None:
    pattern = ".*".join(map(re.escape, f"{path}{bad.words}".split("...")))
    assert re.search(pattern, error.strip().splitlines()[-1]), error


def convert(folder: Path, path: Path, *, split_by: SplitBy | None = None, out: str = "out", skip: bool = False) -> None:
    """What the command does once its command line is read."""
    options = ManifestOptions(split_by=split_by)
    manifest(manifest=path, images=folder / "images", out=folder / out, options=options, skip_bad_rows=skip)


@pytest.mark.parametrize("bad", WHOLE.values(), ids=WHOLE.keys())
def test_a_manifest_that_cannot_be_read_as_a_whole_is_always_refused(folder, capsys, bad):
    path = write(folder, bad)
    assert run(folder, path, *bad.option.split(), "--skip-bad-rows") == 2
    error = capsys.readouterr().err
    assert_said(bad, path, error)
    assert "Traceback" not in error
    assert not (folder / "out").exists()


@pytest.mark.parametrize("bad", ROWS.values(), ids=ROWS.keys())
def test_a_bad_row_is_refused_and_other_rows_are_converted_when_asked_for(folder, bad):
    path = write(folder, bad)
    with pytest.raises(DataError) as refused:
        convert(folder, path, split_by=bad.split_by)
    assert_said(bad, path, str(refused.value))
    assert not (folder / "out").exists()
    convert(folder, path, split_by=bad.split_by, skip=True)
    assert set(pairs(folder / "out")) == {"ok"}
    row, reason = re.match(r", row (\d+)(?:, column '\w+')?: ([^(;]*[^ (;])", bad.words).groups()
    with (folder / "out" / "skipped.csv").open(newline="") as file:
        (skipped,) = csv.DictReader(file)
    assert re.fullmatch(rf"row {row}(: (n|ok|n\\x07))?", skipped["item"])
    assert skipped["reason"].startswith(reason.removesuffix("..."))
    assert DatasetInfo.load(folder / "out").skipped == {skipped["reason"]: 1}


def test_parquet_of_wrong_types(folder, capsys):
    table = pa.table({"id": [1.5, 2.5], "text": [b"bytes", b"more"], "labels": [["x"], ["x"]], "group": [1, 2]})
    write_table(table, folder / "m.parquet")
    assert run(folder, folder / "m.parquet") == 2
    error = capsys.readouterr().err
    assert "m.parquet, row 1, column 'id': value of the wrong type (float 1.5); write a string" in error
    assert "    row 2, column 'text': bytes b'more'\n" in error


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_damaged_manifests_give_no_other_error(folder, ending):
    path = folder / f"m.{ending}"
    good = WRITERS[ending](path, [dict(row, date="2011-11-22") for row in GOOD]).read_bytes()
    rng = np.random.default_rng(0)
    inserts = [b'"', b",", b"\n", b"\0", b"{", b"\xff", b"../"]
    for number in range(20):
        damaged = bytearray(good)
        for at in rng.integers(len(good), size=rng.integers(1, 5)):
            damaged[at : at + rng.integers(2)] = inserts[rng.integers(len(inserts))]
        path.write_bytes(damaged)
        with suppress(DataError):  # any other error comes through
            convert(folder, path, out=f"out{number}")


def test_an_id_that_a_bad_row_has_is_taken(folder):
    """Which of the two is meant is not ours to guess."""
    rows = [GOOD[0], {**GOOD[1], "image": "z.png"}, {**GOOD[2], "id": "two"}]
    assert run(folder, write_csv(folder / "m.csv", rows), "--skip-bad-rows") == 0
    assert set(pairs(folder / "out")) == {"one"}
    assert DatasetInfo.load(folder / "out").skipped == {"missing image file": 1, "duplicate id": 1}


@pytest.mark.parametrize("switch", [["--skip-bad-rows"], ["--skip_bad_rows=true"], ["--skip-bad-rows", "true"]])
def test_the_switch_needs_no_value_and_takes_one(folder, switch):
    rows = [GOOD[0], {**GOOD[1], "image": "z.png"}]
    path = write_csv(folder / "m.csv", rows)
    assert run(folder, path, *switch, "--min-label-count=1") == 0
    assert run(folder, path, "--skip-bad-rows", "false", out="none") == 2
    assert set(pairs(folder / "out")) == {"one"}


def test_missing_paths_are_named(folder, capsys):
    assert run(folder, folder / "nowhere.csv") == 2
    assert "nowhere.csv: cannot be read (No such file or directory); correct --manifest" in capsys.readouterr().err
    path = write_csv(folder / "m.csv", GOOD)
    (folder / "images").rename(folder / "pictures")
    assert run(folder, path) == 2
    assert "images: no such folder of images; correct --images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--date-format", "%d/%m"], "--date-format '%d/%m' has no year; add %Y"),
        (["--date-format", "%d.%q.%Y"], "--date-format '%d.%q.%Y' is not a form of dates"),
        (["--split-names", "dev:val"], "--split-names 'dev:val': write NAME=train, NAME=val or NAME=test"),
        (["--split-names", "dev=dev"], "--split-names 'dev=dev': write NAME=train, NAME=val or NAME=test"),
        (["--split-names=dev=val", "--split-names=dev=test"], "--split-names gives 'dev' two splits, val and test"),
        (["--split-names", "dev=val", "--split-by=group"], "--split-names is about the splits of the manifest"),
        (["--split-names", "dev=val", "--split-column=fold"], "no column 'fold'"),
        (["--date-format", "%d.%m.%Y"], "row 1: --date-format needs a column 'date' (has 'id', 'image'"),
        (["--uncertain-is-present"], "--uncertain-is-present is about columns of one finding each"),
        (["--no-labels", "--normal-label", "x"], "--no-labels reads no labels; leave out the options"),
        (["--labels-column=text", "--label-columns", "x"], "--labels-column and --label-columns: pass one of them"),
        (["--labels-column="], "--labels-column is empty; name a column, or pass --no-labels"),
        (["--normal-label", "--seed=1"], "--normal-label needs a value"),
        (["--label-separator="], "--label-separator is empty"),
        (["--resplit=80/10/10", "--split-by=given"], "drop one of them"),
        (["--resplit=80/10"], "'80/10' does not divide into train, val and test"),
    ],
)
def test_options_that_contradict_each_other(folder, capsys, options, words):
    rows = [{**row, "split": "train"} for row in GOOD]
    assert run(folder, write_csv(folder / "m.csv", rows), *options) == 2
    assert words in capsys.readouterr().err


def test_names_of_splits_without_a_column_of_splits(folder, capsys):
    """Drawn splits in place of those that were meant would be wrong in silence."""
    assert run(folder, write_csv(folder / "m.csv", GOOD), "--split-names", "dev=val") == 2
    assert "row 1: --split-names needs a column 'split' (has 'id', 'image'" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_parquet_without_pyarrow_names_the_extra(folder, capsys, monkeypatch):
    write_table(pa.table({"id": ["n"]}), folder / "m.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run(folder, folder / "m.parquet") == 2
    assert "m.parquet: Parquet needs pyarrow: pip install 'mcmfh-lightning[parquet]'" in capsys.readouterr().err


def test_dicom_without_pydicom_names_the_extra(folder, capsys, monkeypatch):
    path = write_csv(folder / "m.csv", [*GOOD, {**GOOD[0], "id": "n", "image": "frames.dcm"}])
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert run(folder, path) == 2
    error = capsys.readouterr().err
    assert (
        "row 5, column 'image': DICOM image without pydicom (frames.dcm); pip install 'mcmfh-lightning[dicom]'" in error
    )

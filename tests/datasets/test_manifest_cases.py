"""Tables of other people: what came out wrong in silence, and its variants."""

import os
import re
import unicodedata
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.datasets.table.references import Groups, group_key
from mcmfh_lightning.datasets.table.values import BadValueError, is_missing, read_string
from mcmfh_lightning.shards import DatasetInfo, PairShardReader

from .manifests import make_images, pairs, run, write_csv, write_jsonl, write_parquet

HEADER = "id,image,text,labels,group,date,split\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    make_images(tmp_path)
    return tmp_path


def convert(folder: Path, content: str, *options: str) -> DatasetInfo:
    """The account of a table that is converted."""
    (folder / "m.csv").write_text(content)
    assert run(folder, folder / "m.csv", *options) == 0
    return DatasetInfo.load(folder / "out")


def kept(info: DatasetInfo) -> dict[str, int]:
    return info.settings["summary"]["kept"]


# --- the shared cases -----------------------------------------------------------------------------------------------


def shared_case(repository: Path, name: str) -> Path:
    folder = repository.parent / "shared" / "cases" / name
    if not folder.is_dir():
        pytest.skip(f"../shared/cases/{name} is not next to this checkout")
    return folder


EFFUSION = {"1": ("Cardiomegaly", "Effusion"), "2": ("Effusion",)}
NORMALS = tuple(f"--normal-label={name}" for name in ("normal", "Normal", "NORMAL", "No Finding"))
CASES = [
    ("csv_list_repr", (), EFFUSION | {"3": ()}, {"labels read from a printed list": 2}, ""),
    ("csv_json_list_in_csv", (), EFFUSION, {"labels read from a printed list": 2}, ""),
    ("csv_onehot_columns", (), None, {}, "for one column for each finding pass --label-columns"),
    ("csv_onehot_columns", ("--labels-column=Effusion",), None, {}, "'Effusion': numbers...pass --label-columns"),
    (
        "csv_onehot_columns",
        ("--label-columns=Cardiomegaly", "--label-columns=Effusion", "--label-columns=No Finding"),
        {"1": ("Cardiomegaly",), "2": ("Effusion",)},
        {},
        "",
    ),
    ("csv_nan_strings", (), None, {}, "2 of 3 rows are bad...row 2, column 'group': no group"),
    ("csv_nan_strings", ("--skip-bad-rows",), {"3": ("normal",)}, {}, "no group: fill in...row 3, column 'group'"),
    (
        "csv_Normal_case",
        (),
        {
            "1": ("Normal",),
            "2": ("No Finding",),
            "3": ("Effusion", "normal"),
            "4": ("NORMAL",),
            "5": ("Effusion", "effusion"),
        },
        {
            "a label that may be another name of the normal label": 3,
            "the normal label together with another label": 1,
            "a label that another label equals up to case, blanks, - and _": 4,
        },
        "(on 2), 'effusion' (on 1) differ...--normal-label NORMAL --normal-label 'No Finding' --normal...row 4",
    ),
    (
        "csv_Normal_case",
        NORMALS,
        {
            "1": ("normal",),
            "2": ("normal",),
            "3": ("Effusion", "normal"),
            "4": ("normal",),
            "5": ("Effusion", "effusion"),
        },
        {
            "another name of the normal label read as 'normal'": 3,
            "the normal label together with another label": 1,
            "a label that another label equals up to case, blanks, - and _": 2,
        },
        "",
    ),
    ("csv_excel_blank_rows", (), {"1": ("a",), "2": ("b",)}, {}, ""),
    (
        "csv_backslash",
        (),
        None,
        {},
        "row 2, column 'image': missing image file...in place of the backslashes 'sub/f0.png'",
    ),
    (
        "csv_backslash",
        ("--skip-bad-rows",),
        {"2": ("b",)},
        {"a path with backslashes, read with / in their place": 1},
        "",
    ),
    (
        "csv_all_labels_empty",
        (),
        None,
        {},
        "no row has a label in 'labels'...pass --no-labels to train with --model.superv",
    ),
    ("csv_all_labels_empty", ("--no-labels",), {"1": (), "2": ()}, {}, "columns that are not read: labels"),
]


@pytest.mark.parametrize(("name", "options", "labels", "counted", "words"), CASES)
def test_a_case_has_its_outcome(repository, tmp_path, capsys, name, options, labels, counted, words):
    case = shared_case(repository, name)
    (tmp_path / "images").symlink_to(case / "films")
    code = run(tmp_path, case / "pairs.csv", *options)
    screen = capsys.readouterr()
    assert re.search(".*".join(map(re.escape, words.split("..."))), screen.err.replace("\n", " ")), screen.err
    if labels is None:
        assert code == 2
        assert not (tmp_path / "out").exists()
        return
    assert code == 0
    assert {name: pair.labels for name, pair in pairs(tmp_path / "out").items()} == labels
    info = DatasetInfo.load(tmp_path / "out")
    assert kept(info).items() >= counted.items()
    assert info.normal_label == ("normal" if any("normal" in found for found in labels.values()) else None)
    assert info.settings["summary"]["read"].get("blank rows", 0) == (2 if name == "csv_excel_blank_rows" else 0)


def test_the_other_copy_of_open_i(repository, tmp_path, capsys):
    case = shared_case(repository, "openi_other_names")
    paths = ["openi", "--reports", str(case / "reports.tgz"), "--out", str(tmp_path / "out"), "--min-label-count=1"]
    command([*paths, "--images", str(case / "images")])
    films = sorted((case / "images").iterdir())
    found = pairs(tmp_path / "out")
    assert {f"CXR{film.name.removesuffix('.dcm.png')}": film.read_bytes() for film in films} == {
        name: pair.image for name, pair in found.items()
    }
    assert kept(DatasetInfo.load(tmp_path / "out"))["image file named as another copy of the collection has it"] == 5
    capsys.readouterr()
    make_images(tmp_path)
    with pytest.raises(SystemExit):
        command([*paths, "--images", str(tmp_path / "images")])
    assert re.search(r"they name CXR1_IM-[\d-]+ .*, one file there is a\.png", capsys.readouterr().err)


# --- missing values, blank rows -------------------------------------------------------------------------------------

MISSING = ("nan", "NaN", "None", "NULL", "NA", "N/A", "<NA>", "NaT", "#N/A", " null ", "n/a")


def test_words_for_missing_values_are_read_as_missing_in_every_column(folder):
    rows = [
        {
            "id": "whole",
            "image": "a.png",
            "text": "Fine.",
            "labels": "x",
            "group": "1",
            "date": "2011",
            "split": "train",
        },
        *(
            {
                "id": f"n{i}",
                "image": w,
                "text": "t",
                "labels": w,
                "group": "1",
                "date": w,
                "source": w,
                "split": "train",
            }
            for i, w in enumerate(MISSING)
        ),
        {"id": "film", "image": "a.png", "text": "nan", "labels": "x;nan", "group": "1", "split": "train"},
    ]
    assert run(folder, write_csv(folder / "m.csv", rows), "--source", "here") == 0
    found = pairs(folder / "out")
    for i in range(len(MISSING)):
        pair = found[f"n{i}"]
        assert (pair.image, pair.labels, pair.date, pair.source) == (None, (), None, "here")
    assert (found["film"].text, found["film"].labels) == (None, ("x",))
    info = DatasetInfo.load(folder / "out")
    assert info.label_vocabulary == ("x",)
    counts = dict.fromkeys(("image", "date", "source"), len(MISSING)) | {"text": 1}
    assert {f"a word for a missing value in {name!r}": count for name, count in counts.items()}.items() <= kept(
        info
    ).items()
    assert kept(info)["a word for a missing value among the labels"] == len(MISSING) + 1


@pytest.mark.parametrize("word", [*MISSING, "", "unknown", "Anonymous", "?", "-", "."])
def test_a_missing_group_is_never_a_group(folder, capsys, word):
    (folder / "m.csv").write_text(f"{HEADER}a,a.png,t,x,{word},,train\nb,b.jpg,t,x,{word},,test\n")
    assert run(folder, folder / "m.csv") == 2
    assert "2 of 2 rows are bad" in capsys.readouterr().err


def test_missing_numbers_of_parquet_and_json_are_missing(folder):
    nan = float("nan")
    rows = [
        {"id": "a", "text": "t", "edema": 1.0, "mass": nan, "group": "1", "date": 2011.0, "note": nan},
        {"id": "b", "text": "t", "edema": nan, "mass": 0.0, "group": "2", "date": nan, "note": nan},
    ]
    for path in (write_parquet(folder / "m.parquet", rows), write_jsonl(folder / "m.jsonl", rows)):
        out = path.suffix[1:]
        assert run(folder, path, "--label-columns=edema", "--label-columns=mass", out=out) == 0
        found = pairs(folder / out)
        assert [found[name].labels for name in "ab"] == [("edema",), ()]
        assert [found[name].date for name in "ab"] == ["2011-01-01", None]


def test_blank_rows_are_passed_over_and_counted(folder):
    fine = {"id": "a", "image": "a.png", "text": "t", "labels": "x", "group": "1"}
    lines = ",,,,\nid,image,text,labels,group\n,,,,\na,a.png,t,x,1\n , ,,,\nnan,nan,NaN,,\n,,\n"
    blank = dict.fromkeys(fine)
    for ending, path in {
        "csv": folder / "m.csv",
        "jsonl": write_jsonl(folder / "m.jsonl", [fine, {}, blank, {"id": "", "text": " "}]),
        "parquet": write_parquet(folder / "m.parquet", [fine, blank, blank, blank]),
    }.items():
        if ending == "csv":
            path.write_text(lines)
        assert run(folder, path, out=ending) == 0
        read = DatasetInfo.load(folder / ending).settings["summary"]["read"]
        assert read == {"rows read": 1, "rows that can be used": 1, "blank rows": 5 if ending == "csv" else 3}


def test_a_row_that_says_something_in_any_column_is_not_blank(folder, capsys):
    (folder / "m.csv").write_text("id,image,text,labels,group,remark\na,a.png,t,x,1,\n,,,,,total: 1\n")
    assert run(folder, folder / "m.csv") == 2
    assert "row 3, column 'id': no id" in capsys.readouterr().err


# --- paths ----------------------------------------------------------------------------------------------------------


def test_paths_of_windows_and_macos(folder):
    images = folder / "images"
    composed, decomposed = (unicodedata.normalize(form, "Fälle/Bild ü.PNG") for form in ("NFC", "NFD"))
    assert composed != decomposed
    (images / Path(decomposed).parent).mkdir()
    Image.new("L", (8, 8), 7).save(images / decomposed)
    rows = [
        {"id": name, "image": path, "text": "t", "labels": "x", "group": "1"}
        for name, path in {
            "windows": "sub\\c.png",
            "dot": ".\\sub\\c.png",
            "both": composed.replace("/", "\\"),
            "macos": composed,
            "ending": composed.replace("PNG", "png"),
            "plain": "a.png",
        }.items()
    ]
    assert run(folder, write_csv(folder / "m.csv", rows)) == 0
    found = pairs(folder / "out")
    for name in ("windows", "dot"):
        assert found[name].image == (images / "sub" / "c.png").read_bytes()
    for name in ("both", "macos", "ending"):
        assert found[name].image == (images / decomposed).read_bytes()
    assert kept(DatasetInfo.load(folder / "out")) == {
        "a path with backslashes, read with / in their place": 2,
        "an image file found under another spelling (form of Unicode, case of the ending)": 3,
    }


def test_a_name_with_a_backslash_is_taken_as_it_is_first(folder):
    os.link(folder / "images" / "a.png", folder / "images" / "sub\\c.png")
    info = convert(folder, f"{HEADER}a,sub\\c.png,t,x,1,,train\n")
    assert pairs(folder / "out")["a"].image == (folder / "images" / "a.png").read_bytes()
    assert kept(info) == {}


def test_a_name_that_two_files_may_mean_is_missing(folder, capsys):
    for name in ("d.PNG", "d.Png"):
        Image.new("L", (8, 8)).save(folder / "images" / name, format="PNG")
    (folder / "m.csv").write_text(f"{HEADER}a,d.png,t,x,1,,train\n")
    assert run(folder, folder / "m.csv") == 2
    assert "missing image file ('d.png')" in capsys.readouterr().err


def test_another_spelling_never_leads_out_of_the_folder(folder, capsys):
    Image.new("L", (8, 8)).save(folder / "secret.png")
    (folder / "images" / "link.PNG").symlink_to(folder / "secret.png")
    (folder / "m.csv").write_text(f"{HEADER}a,link.png,t,x,1,,train\n")
    assert run(folder, folder / "m.csv") == 2
    assert "missing image file ('link.png')" in capsys.readouterr().err


# --- groups, separators ---------------------------------------------------------------------------------------------


def rows_of(*groups: tuple[str, str]) -> str:
    return HEADER + "".join(f"n{i},,t,x;y,{group},,{split}\n" for i, (group, split) in enumerate(groups))


@pytest.mark.parametrize(
    ("one", "other"),
    [("P1", "p1"), ("12", "12.0"), ("P 1", "P1"), ("P-1", "P01"), ("M\u00fcller", "Mu\u0308ller")],
)
def test_one_patient_in_two_spellings(folder, capsys, one, other):
    (folder / "m.csv").write_text(rows_of((one, "train"), ("Q", "val"), (other, "test")))
    for options in ((), ("--split-by=group",)):
        assert run(folder, folder / "m.csv", *options) == 2
        assert f"group spelled in two ways, which may cut a patient ({other!r} here, {one!r} in row 2)" in (
            capsys.readouterr().err
        )
    info = convert(folder, rows_of((one, "train"), ("Q", "val"), (other, "train")))
    assert kept(info)["a group that another group equals up to case, punctuation, leading zeros or .0"] == 1
    assert f"1 row spells its group almost as an earlier row does, the first: {other!r} in row 4" in (
        capsys.readouterr().err
    )


def test_spellings_of_a_group():
    alike = [
        ("7", "007"),
        ("-3", "-3.00"),
        ("ß", "SS"),
        ("P1", " p 1 "),
        (7, "7.0"),
        ("P1", "P-1"),
        ("P-1", "P\u20131"),
    ]
    alike += [("P01", "P1"), ("P1.0", "P1"), ("'7", "7"), ('"7"', "7"), ("+7", "7"), ("-0", "0"), ("1,234", "1234")]
    alike += [("12", "12,0"), ("7.", "7"), ("\uff17", "7"), ("2011/01", "2011-1"), ("1,234.0", "1234")]
    for one, other in alike:
        assert group_key(one) == group_key(other), (one, other)
    different = [
        "7",
        "-7",
        "7.5",
        "70",
        "75",
        "P7",
        "P70",
        "1e3",
        "1000",
        "1-2",
        "12",
        "A1-1",
        "A-11",
        "P0",
        "P",
        "1.20",
    ]
    different += ["1.2.0", "1.2.3.0", "1.2.3", "1.2.30", "12,34", "a7", "7a"]
    assert len({group_key(name) for name in different}) == len(different)


UNKNOWN = """#REF! #VALUE! #NAME? #DIV/0! #NUM! #¡REF! #WERT! #NV Err:502 [NULL] (none) (blank) n.a nan.0 nil pd.NA
np.nan NA_character_ NaN(ind) '' [] {} _ # -- nan_nan None_None P-nan Anonymized de-identified <unknown>
unknown_patient"""
NAMES = "NA12 NA-12 Nana Nano nanny1 unknown-17 Anon3 Nancy C(6) #7 1.2.276.0 Ann N P Noel Case1 A_ study-NA1 0 Knownes"


def test_words_for_an_unknown_group_and_names_that_only_look_like_them():
    def known(word: str) -> bool:
        try:
            Groups().read(word)
        except BadValueError:
            return False
        return not is_missing(word)

    unknown = [
        *UNKNOWN.split(),
        '""',
        "not applicable",
        "Unknown patient",
        "not available",
        "(not known)",
        "[no id] NULL",
        "[object Object]",
    ]
    assert [word for word in unknown if known(word)] == []
    assert [word for word in NAMES.split() if not known(word)] == []


@pytest.mark.parametrize("value", [2.0, Decimal("2.00"), 2])
def test_a_whole_number_is_an_integer_however_a_program_keeps_it(value):
    assert read_string(value) == "2"


@pytest.mark.parametrize("value", [2.5, Decimal("2.5"), 2.0**60, float("inf"), Decimal("NaN"), True])
def test_other_numbers_are_not_names(value):
    with pytest.raises(BadValueError):
        read_string(value)


def test_groups_that_are_different_and_ids_as_groups_are_left_alone(folder):
    info = convert(folder, rows_of(("P1", "train"), ("P10", "val"), ("1", "test"), ("10", "val"), ("1.5", "test")))
    assert kept(info).keys() == {"text without an image"}
    (folder / "ids.csv").write_text("id,text,labels\naB,t,x\nAb,t,x\n")
    assert run(folder, folder / "ids.csv", "--group-column=id", out="ids") == 0


@pytest.mark.parametrize(
    ("cells", "reported"),
    [(("a;b", "a|b"), "1 cell of labels holds '|'"), (("a;b", "c"), None), (("a,b", "c,d"), "2 cells")],
)
def test_mixed_separators_are_reported_and_counted(folder, capsys, cells, reported):
    lines = "".join(f'n{i},,t,"{cell}",{i},,train\n' for i, cell in enumerate(cells))
    info = convert(folder, HEADER + lines)
    noted = [trait for trait in kept(info) if trait.startswith("labels that hold")]
    assert len(noted) == (reported is not None)
    assert (reported or "not the separator") in capsys.readouterr().err or reported is None


def test_numbers_in_place_of_labels_are_refused_however_they_are_separated(folder, capsys):
    (folder / "m.csv").write_text(HEADER + "a,,t,1;0;0,1,,train\nb,,t,0;1;0,2,,test\n")
    assert run(folder, folder / "m.csv") == 2
    assert "numbers, or yes and no, in place of labels ('1;0;0' in row 2)" in capsys.readouterr().err


def test_one_picture_of_two_groups_is_reported(folder, capsys):
    rows = "a,a.png,t,x,1,,train\nb,a.png,t,x,2,,train\n"
    info = convert(folder, HEADER + rows)
    assert kept(info)["an image file that another group shows too"] == 1
    assert (
        "1 row shows an image file that a row of another group shows too, such as 'a.png' in row 3 and in row 2;"
        in (capsys.readouterr().err)
    )
    (folder / "m.csv").write_text(HEADER + rows + "c,a.png,t,x,3,,test\n")
    assert run(folder, folder / "m.csv", out="leak") == 0
    assert (
        "such as 'a.png' in row 4 and in row 2, in the splits test and train; in two splits" in capsys.readouterr().err
    )
    alone = HEADER + "a,a.png,t,x,1,,train\nb,a.png,t,x,1,,train\n"
    (folder / "m.csv").write_text(alone)
    assert run(folder, folder / "m.csv", out="one") == 0
    assert "image file" not in capsys.readouterr().err


# --- columns of labels, normal label --------------------------------------------------------------------------------

CHEXPERT = """id,text,No Finding,Edema,"Effusion, left",group
a,t,1.0,,0.0,1
b,t,,-1.0,1.0,2
c,t,,1,-1,3
d,t,,,,4
"""


@pytest.mark.parametrize("uncertain", [False, True])
def test_one_column_for_each_finding(folder, uncertain):
    options = [
        "--label-columns=No Finding",
        "--label-columns=Edema",
        "--label-columns=Effusion, left",
        "--normal-label=No Finding",
    ]
    info = convert(folder, CHEXPERT, *options, *(["--uncertain-is-present"] if uncertain else []))
    found = {name: set(pair.labels) for name, pair in pairs(folder / "out").items()}
    unsure = {"b": {"Edema"}, "c": {"Effusion, left"}} if uncertain else {"b": set(), "c": set()}
    assert found == {
        "a": {"No Finding"},
        "b": {"Effusion, left"} | unsure["b"],
        "c": {"Edema"} | unsure["c"],
        "d": set(),
    }
    assert info.normal_label == "No Finding"
    assert kept(info)[f"an uncertain finding (-1) read as {'present' if uncertain else 'absent'}"] == 2


def test_words_in_two_columns_are_reported_but_not_states(folder, capsys):
    table = "id,text,Edema,Mass,group\na,t,{},false,1\nb,t,false,{},2\n"
    convert(folder, table.format("true", "true"), "--label-columns=Edema", "--label-columns=Mass")
    assert "stands in the columns" not in capsys.readouterr().err
    (folder / "m.csv").write_text(table.replace("false", "").format("mild", "mild"))
    assert run(folder, folder / "m.csv", "--label-columns=Edema", "--label-columns=Mass", out="words") == 0
    assert "'mild' stands in the columns 'Edema' and 'Mass' and is one label" in capsys.readouterr().err


def test_a_value_that_is_not_one_of_the_states_is_a_bad_row(folder, capsys):
    (folder / "m.csv").write_text(CHEXPERT.replace("-1.0", "u"))
    options = ["--label-columns=No Finding", "--label-columns=Edema", "--label-columns=Effusion, left"]
    assert run(folder, folder / "m.csv", *options) == 2
    assert "row 3, column 'Edema': neither 1, 0 nor -1 ('u'); write 1 for present" in capsys.readouterr().err
    assert run(folder, folder / "m.csv", *options, "--skip-bad-rows") == 0
    assert set(pairs(folder / "out")) == {"a", "c", "d"}


def test_a_named_normal_label_that_is_too_rare_is_not_lost(folder, capsys):
    (folder / "m.csv").write_text(CHEXPERT)
    options = [
        "--label-columns=No Finding",
        "--label-columns=Edema",
        "--label-columns=Effusion, left",
        "--uncertain-is-present",
        "--min-label-count=2",
    ]
    assert run(folder, folder / "m.csv", *options, "--normal-label", "No Finding") == 2
    assert "the normal label 'No Finding' is on fewer than 2 items" in capsys.readouterr().err
    assert run(folder, folder / "m.csv", *options) == 0


# --- dates, splits --------------------------------------------------------------------------------------------------


def test_a_date_that_cannot_be_read_costs_the_date_and_not_the_row(folder, capsys):
    dates = ["01/22/2020", "2020-01-23", "01/30/2020", "", "2019"]
    info = convert(folder, HEADER + "".join(f"n{i},,t,x,{i},{day},train\n" for i, day in enumerate(dates)))
    assert [pairs(folder / "out")[f"n{i}"].date for i in range(5)] == [None, "2020-01-23", None, None, "2019-01-01"]
    assert (
        kept(info).items()
        >= {
            "a date that cannot be read, left out": 2,
            "a date that is a year or a month alone, stored as its first day": 1,
        }.items()
    )
    assert (
        "2 dates cannot be read and are left out, the first is '01/22/2020' in row 2; what reads all of them is "
        "--date-format '%m/%d/%Y'"
    ) in capsys.readouterr().err


def test_a_date_of_another_type_is_reported_too(folder, capsys):
    rows = [{"id": "a", "text": "t", "labels": ["x"], "group": "1", "date": 2011.5}]
    assert run(folder, write_jsonl(folder / "m.jsonl", rows)) == 0
    assert "1 date cannot be read and is left out, the first is '2011.5' in row 1" in capsys.readouterr().err


def test_years_split_by_date(folder):
    rows = "".join(f"n{i},,t,x,{i},{1990 + i},\n" for i in range(20))
    convert(folder, HEADER + rows, "--split-by=date", "--resplit=80/10/10")
    readers = {split: PairShardReader(folder / "out", split) for split in ("train", "val", "test")}
    days = {split: [reader[i].date for i in range(len(reader))] for split, reader in readers.items()}
    assert [len(found) for found in days.values()] == [16, 2, 2]
    assert max(days["train"]) < min(days["val"]) <= max(days["val"]) < min(days["test"])


def test_names_of_splits_are_mapped_by_an_option_only(folder, capsys):
    names = ["Train", "dev", "validation", "val", "test", "a=b"]
    (folder / "m.csv").write_text(HEADER + "".join(f"n{i},,t,x,{i},,{name}\n" for i, name in enumerate(names)))
    assert run(folder, folder / "m.csv") == 2
    assert "row 2, column 'split': unknown split ('Train'; did you mean 'train'?); write train, val or test" in (
        capsys.readouterr().err
    )
    info = convert(
        folder,
        (folder / "m.csv").read_text(),
        *(f"--split-names={names}" for names in ("Train=train", "dev=val", "validation=val", "a=b=test")),
    )
    assert {split: entry.pairs for split, entry in info.splits.items()} == {"train": 1, "val": 3, "test": 2}
    assert {trait: n for trait, n in kept(info).items() if trait.startswith("split")} == {
        "split 'Train' read as 'train'": 1,
        "split 'a=b' read as 'test'": 1,
        "split 'dev' read as 'val'": 1,
        "split 'validation' read as 'val'": 1,
    }


def test_a_split_may_be_called_like_a_missing_value_and_a_name_of_no_row_is_reported(folder, capsys):
    options = ("--split-names=NA=test", "--split-names=dve=val")
    info = convert(folder, HEADER + "a,,t,x,1,,train\nb,,t,x,2,,NA\n", *options)
    assert {split: entry.pairs for split, entry in info.splits.items()}["test"] == 1
    assert kept(info)["split 'NA' read as 'test'"] == 1
    error = capsys.readouterr().err
    assert "no row has the split 'dve', which --split-names names" in error
    assert "'NA', which" not in error


def test_a_line_for_excel_and_a_column_without_a_name(folder, capsys):
    convert(folder, "sep=,\nid,text,labels,group,\na,t,x,1,note\n")
    assert "columns that are not read: one without a name\n" in capsys.readouterr().err


def test_a_normal_label_that_is_dropped(folder, capsys):
    (folder / "drop.txt").write_text("x\n")
    (folder / "m.csv").write_text(HEADER + "a,,t,x;y,1,,train\n")
    assert run(folder, folder / "m.csv", "--normal-label=x", "--drop-labels", str(folder / "drop.txt")) == 2
    assert "the normal label 'x' is one of --drop-labels; take it out of that file" in capsys.readouterr().err

"""``mcmfh init`` on tables of other people that say enough: what it proposes converts them rightly."""

import json
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from mcmfh_lightning.cli.data import main as data
from mcmfh_lightning.datasets.table.guess.columns import Column
from mcmfh_lightning.shards import DatasetInfo, PairShardReader

from .tables import BASE, PLAIN, Item, asks, choose, converted, init, make_films, proposed, run, texts, without


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with six films."""
    make_films(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_export_of_a_german_spreadsheet(folder, capsys):
    """Semicolons, cp1252, German names and dates, labels with |."""
    rows = [
        ("Bild-ID", "Datei", "Befund", "Diagnosen", "Patient", "Datum"),
        ("B1", "0.png", "Herzgröße normal, kein Erguß.", "normal", "P1", "22.11.2011"),
        ("B2", "1.png", "Großes Herz; beidseits Ergüsse.", "Kardiomegalie|Erguß", "P1", "23.11.2011"),
        ("B3", "2.png", "Kleiner Erguß rechts basal.", "Erguß", "P2", "01.12.2011"),
        ("B4", "3.png", "Keine Änderung zum Vorbild.", "Kardiomegalie", "P3", ""),
    ]
    assert init(texts(rows, "cp1252", ";")) == 0
    shown = capsys.readouterr().out
    assert "is that right?" in shown
    assert "Herzgröße" in shown
    assert proposed()["delimiter"] == ";"
    assert proposed()["date-format"] == ["%d.%m.%Y"]
    assert converted() == {
        "B1": Item(True, "Herzgröße normal, kein Erguß.", ("normal",), "P1", "2011-11-22"),
        "B2": Item(True, "Großes Herz; beidseits Ergüsse.", ("Erguß", "Kardiomegalie"), "P1", "2011-11-23"),
        "B3": Item(True, "Kleiner Erguß rechts basal.", ("Erguß",), "P2", "2011-12-01"),
        "B4": Item(True, "Keine Änderung zum Vorbild.", ("Kardiomegalie",), "P3"),
    }


def test_words_of_a_german_hospital(folder, capsys):
    """An id that its name ends with, the usual word for normal, and a second column of the same labels."""
    rows = [
        ("Aufnahmenummer", "Bilddatei", "Befundtext", "Diagnose", "Nebenbefunde", "Patient"),
        ("A1", "0.png", "Das Herz ist nicht vergrößert.", "unauffällig", "", "P1"),
        ("A2", "1.png", "Großes Herz, beidseits Ergüsse.", "Kardiomegalie", "Erguß", "P1"),
        ("A3", "2.png", "Kleiner Erguß rechts basal.", "Erguß", "", "P2"),
        ("A4", "3.png", "Erguß links, das Herz ist groß.", "Erguß", "Kardiomegalie", "P3"),
    ]
    assert init(texts(rows, "utf-8", ";")) == 0
    assert proposed()["id-column"] == "Aufnahmenummer"
    assert proposed()["normal-label"] == ["unauffällig"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "no label is known to say that nothing was found" not in shown
    assert "'Nebenbefunde' has labels of 'Diagnose' and is not read" in shown
    assert 'replace labels-column by label-columns = ["Diagnose", "Nebenbefunde"]' in shown


def test_an_unknown_word_for_normal_is_asked_for(folder, capsys):
    rows = [
        ("id", "image", "text", "labels", "patient"),
        ("1", "0.png", "Srdce je velmi velké.", "kardiomegalie", "P1"),
        ("2", "1.png", "Plíce jsou bez nálezu.", "nic", "P2"),
        ("3", "2.png", "Srdce je malé a zdravé.", "nic", "P3"),
    ]
    assert init(texts(rows)) == 0
    assert "no label is known to say that nothing was found" in " ".join(capsys.readouterr().out.split())
    assert "normal-label" not in proposed()


def test_unicode_text_of_excel(folder, capsys):
    """UTF-16 with tabs, and other names of the splits."""
    rows = [
        ("id", "image", "text", "labels", "patient_id", "set"),
        ("1", "0.png", "Heart size is normal.", "No Finding", "7", "Training"),
        ("2", "1.png", "A large effusion is seen.", "Effusion", "7", "Training"),
        ("3", "2.png", "Lungs are clear today.", "Normal", "8", "dev"),
        ("4", "3.png", "An effusion on the left.", "Effusion", "9", "tst"),
    ]
    assert init(texts(rows, "utf-16", "\t")) == 0
    assert proposed()["split-names"] == ["Training=train", "dev=val", "tst=test"]
    first = str(proposed()["normal-label"][0])
    assert converted() == {
        "1": Item(True, "Heart size is normal.", (first,), "7", None, "train"),
        "2": Item(True, "A large effusion is seen.", ("Effusion",), "7", None, "train"),
        "3": Item(True, "Lungs are clear today.", (first,), "8", None, "val"),
        "4": Item(True, "An effusion on the left.", ("Effusion",), "9", None, "test"),
    }


def test_columns_of_findings_with_texts(folder, capsys):
    """1, 0, -1 and nothing; an empty column is a finding too, sex and age are none."""
    rows = [
        ("ImageID", "Path", "Sex", "Age", "No Finding", "Cardiomegaly", "Edema", "Fracture", "Report", "SubjectID"),
        ("a", "0.png", "0", "61", "1.0", "", "", "", "The heart is not enlarged.", "10"),
        ("b", "1.png", "1", "62", "", "1.0", "-1.0", "", "The heart is enlarged now.", "10"),
        ("c", "2.png", "1", "63", "", "0.0", "1.0", "", "Edema in both lungs.", "11"),
    ]
    assert init(texts(rows)) == 0
    assert proposed()["label-columns"] == ["No Finding", "Cardiomegaly", "Edema", "Fracture"]
    assert "1 uncertain finding (-1)" in capsys.readouterr().out
    assert converted() == {
        "a": Item(True, "The heart is not enlarged.", ("No Finding",), "10"),
        "b": Item(True, "The heart is enlarged now.", ("Cardiomegaly",), "10"),
        "c": Item(True, "Edema in both lungs.", ("Edema",), "11"),
    }


def test_json_lines_with_lists_and_paths_above_the_folder(folder, capsys):
    rows = [
        {"uid": 1, "img": "films/0.png", "caption": "A film of the chest.", "tags": ["a", "b"], "subject": "s1"},
        {"uid": 2, "img": "films/1.png", "caption": None, "tags": [], "subject": "s1"},
        {"uid": 3, "img": None, "caption": "A report without a film.", "tags": ["b"], "subject": "s2"},
    ]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert init("pairs.jsonl") == 0
    assert proposed()["images"] == "."
    assert "2 rows with an image or a text, not both" in capsys.readouterr().out
    assert converted() == {
        "1": Item(True, "A film of the chest.", ("a", "b"), "s1"),
        "2": Item(True, None, (), "s1"),
        "3": Item(False, "A report without a film.", ("b",), "s2"),
    }


def test_parquet_with_dates_and_a_patient_above_studies(folder):
    """Studies are within patients: the patient is the group."""
    table = {
        "StudyInstanceUID": ["1.2.1", "1.2.2", "1.2.3"],
        "filename": ["0.png", "1.png", "2.png"],
        "report": ["The lungs are clear.", "The heart is large.", "No change since then."],
        "labels": [["normal"], ["Cardiomegaly"], ["normal"]],
        "StudyDate": [date(2011, 11, 22), date(2012, 1, 2), None],
        "PatientID": [17, 17, 18],
    }
    write_table(pa.table(table), "pairs.parquet")
    assert init("pairs.parquet") == 0
    assert proposed()["group-column"] == "PatientID"
    assert converted() == {
        "1.2.1": Item(True, "The lungs are clear.", ("normal",), "17", "2011-11-22"),
        "1.2.2": Item(True, "The heart is large.", ("Cardiomegaly",), "17", "2012-01-02"),
        "1.2.3": Item(True, "No change since then.", ("normal",), "18"),
    }


def test_american_dates_and_commas_between_labels(folder):
    rows = [
        ("image_id", "file", "impression", "findings", "patient", "exam_date"),
        ("x1", "0.png", "There is edema, and a mass.", "Edema, Mass", "p1", "11/22/2011"),
        ("x2", "1.png", "There is edema again.", "Edema", "p1", "02/03/2011"),
        ("x3", "2.png", "A mass and a nodule.", "Mass, Nodule", "p2", "12/30/2011"),
    ]
    assert init(texts(rows)) == 0
    assert converted() == {
        "x1": Item(True, "There is edema, and a mass.", ("Edema", "Mass"), "p1", "2011-11-22"),
        "x2": Item(True, "There is edema again.", ("Edema",), "p1", "2011-02-03"),
        "x3": Item(True, "A mass and a nodule.", ("Mass", "Nodule"), "p2", "2011-12-30"),
    }


def test_several_columns_of_words(folder, capsys):
    """A word of two columns is two labels, and normal is normal in its column."""
    rows = [
        ("sop_id", "path", "description", "Diagnosis", "Disease", "case"),
        ("x1", "0.png", "A picture of the chest.", "Normal", "Lung", "c1"),
        ("x2", "1.png", "A picture of the brain.", "Mass;Lung", "Lung", "c1"),
        ("x3", "2.png", "A picture of the knee.", "Mass", "Knee", "c2"),
        ("x4", "3.png", "Another picture of it.", "Mass", "Knee", "c3"),
    ]
    assert init(texts(rows)) == 0
    assert "keeps studies together, not patients" in " ".join(capsys.readouterr().out.split())
    assert proposed()["normal-label"] == ["Diagnosis: Normal"]
    assert converted() == {
        "x1": Item(True, "A picture of the chest.", ("Diagnosis: Normal", "Disease: Lung"), "c1"),
        "x2": Item(True, "A picture of the brain.", ("Diagnosis: Lung", "Diagnosis: Mass", "Disease: Lung"), "c1"),
        "x3": Item(True, "A picture of the knee.", ("Diagnosis: Mass", "Disease: Knee"), "c2"),
        "x4": Item(True, "Another picture of it.", ("Diagnosis: Mass", "Disease: Knee"), "c3"),
    }


def test_data_of_persons_are_not_read(folder, capsys):
    rows = [
        ("Accession Number", "PatientName", "DOB", "PatientID", "image", "text", "labels"),
        ("A1", "Doe^Jane", "1970-01-01", "17", "0.png", "The lungs are clear.", "['normal']"),
        ("A2", "Roe^Jim", "1980-01-01", "18", "1.png", "A small effusion there.", "['Effusion', 'Edema']"),
    ]
    assert init(texts(rows)) == 0
    shown = capsys.readouterr().out
    assert "look like data of persons are not read: 'DOB', 'PatientName'" in shown
    assert "date-column" not in proposed()  # a day of birth says nothing of a film
    assert converted() == {
        "A1": Item(True, "The lungs are clear.", ("normal",), "17"),
        "A2": Item(True, "A small effusion there.", ("Edema", "Effusion"), "18"),
    }
    stored = b"".join(path.read_bytes() for path in Path("data/pairs").iterdir())
    assert b"Doe" not in stored
    assert b"1970" not in stored


def test_splits_and_images_are_found_by_their_values(folder, capsys):
    """Whatever the columns are called: a name is data of a person where it names one."""
    rows = [
        ("id", "Name", "text", "labels", "PatientID", "SetName", "GroupName", "Nachname", "Sex", "Age", "Patient Name"),
        ("1", "0.png", "The lungs are clear.", "normal", "p1", "Training", "A", "Doe", "F", "61", "Doe"),
        ("2", "1.png", "A small effusion there.", "Effusion", "p2", "Dev", "A", "Roe", "M", "62", "Roe"),
        ("3", "2.png", "The heart is large.", "Effusion", "p3", "Test", "B", "Poe", "F", "63", "Poe"),
    ]
    assert init(texts(rows)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "look like data of persons are not read: 'Age', 'Nachname', 'Patient Name', 'Sex'; remove" in shown
    assert proposed()["split-column"] == "SetName"
    assert proposed()["split-by"] == "given"
    assert proposed()["split-names"] == ["Training=train", "Dev=val", "Test=test"]
    assert proposed()["image-column"] == "Name"
    assert {name: item.split for name, item in converted().items()} == {"1": "train", "2": "val", "3": "test"}


@pytest.mark.parametrize(
    ("name", "personal"),
    [
        *((name, False) for name in ("SetName", "FileName", "Group_Name", "Study Name", "MODALITY NAME", "image_age")),
        *((name, True) for name in ("Name", "PatientName", "patientname", "Name of Patient", "Nachname", "last_name")),
        *(
            (name, True)
            for name in ("Referring Physician's Name", "name1", "Nombre", "PatientSex", "Patient age at study")
        ),
    ],
)
def test_whose_name_it_is(name, personal):
    assert Column(name, ["a", "b"]).is_of_persons == personal


@pytest.mark.parametrize(
    ("language", "reports"),
    [
        ("German", ("Das Herz ist groß, kein Erguß.", "Keine Infiltrate, kein Pneumothorax.", "Erguß links basal.")),
        ("Spanish", ("Sin derrame pleural.", "La silueta cardíaca es normal.", "Derrame en el lado derecho.")),
        ("French", ("Pas d'épanchement pleural.", "Le cœur est de taille normale.", "Opacité dans le lobe droit.")),
    ],
)
def test_texts_of_another_language_are_said(folder, capsys, language, reports):
    """The encoders read English; the search that is proposed has a word of the table."""
    rows = [[*row[:2], text, *row[3:5]] for row, text in zip(BASE[1:], reports, strict=True)]
    assert init(texts([BASE[0][:5], *rows])) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"texts look {language}, and the text encoders that come with this package read English" in shown
    assert "--model.encoder FILE" in shown
    assert shown.endswith("search --text Cardiomegaly")


def test_texts_of_another_script_are_said(folder, capsys):
    rows = [[*row[:2], "Сердце не увеличено, лёгкие чистые.", *row[3:5]] for row in BASE[1:]]
    rows[0][2] += " Выпота нет."
    rows[1][2] += " Слева."
    assert init(texts([BASE[0][:5], *rows])) == 0
    assert "texts are in another script than that of English" in " ".join(capsys.readouterr().out.split())


def test_english_is_not_remarked(folder, capsys):
    rows = [
        [*row[:2], text, *row[3:5]]
        for row, text in zip(
            BASE[1:],
            ("No acute disease.", "Status post Port-a-Cath en bloc.", "Lungs clear, heart large."),
            strict=True,
        )
    ]
    assert init(texts([BASE[0][:5], *rows])) == 0
    shown = capsys.readouterr().out
    assert "look " not in shown
    assert "an encoder reads" not in shown


def test_a_search_is_proposed_for_a_word_where_there_is_no_label(folder, capsys):
    assert init(texts([[*row[:3], row[4]] for row in BASE])) == 0
    assert " ".join(capsys.readouterr().out.split()).endswith(("--text effusion", "--text lungs"))


def test_long_reports_are_said(folder, capsys):
    """Of texts that are cut, the conclusion is lost."""
    long = [[*row[:2], f"{'The patient came to us for this and that. ' * 40}{row[2]}", *row[3:5]] for row in BASE[1:]]
    assert init(texts([BASE[0][:5], *long])) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "3 of 3 texts of 'text' have more words than an encoder reads (256 tokens, about 140 words of Eng" in shown
    assert "impression or conclusion, or put that first" in shown


def test_what_is_odd_is_counted(folder, capsys):
    rows = [("id", "image", "text", "labels", "group")]
    rows += [(f"i{n}", f"{n % 6}.png", f"Report number {n} is here.", "Edema", f"g{n}") for n in range(40)]
    rows[3] = ("i1", "0.png", "A second row of that id.", "Edema", "g1")
    rows[5] = ("i4", "lost.png", "Its film was lost.", "Edema", "g4")
    rows[6] = ("i5", "", "", "Edema", "g5")
    rows[7] = ("i6", "0.png", "No group is known.", "Edema", "nan")
    assert init(texts(rows)) == 0
    shown = capsys.readouterr().out
    for part in (
        "bad rows: 4 of 40",
        "1 image of the column 'image' not found, such as 'lost.png'",
        "1 id of the column 'id' on several rows: 'i1'",
        "1 row with neither image nor text",
        "1 row without 'group'",
        "'labels' says 'Edema' alone: all rows are relevant to each other",
    ):
        assert part in " ".join(shown.split()), part
    assert all(len(line) <= 100 for line in shown.splitlines())
    assert run(data, "manifest") == 2  # it is the user who drops rows
    assert run(data, "manifest", "--skip-bad-rows") == 0
    assert sum(split.pairs for split in DatasetInfo.load(Path("data/pairs")).splits.values()) == 36


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1,0.png,Text of it.,a,p1\n2,1.png,Text of it.,a,p1\n", "row 1: '0.png' looks like a value"),
        (b"", "empty file"),
        (b"id,image,text,labels,group\n", "no row"),
        (b'id,image\n1,"0.png\n', "close each quote"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(folder, capsys, content, message):
    Path("pairs.csv").write_bytes(content)
    assert init("pairs.csv") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("mcmfh: error: ")
    assert error.count("\n") == 1
    assert not Path("mcmfh.toml").exists()


def test_an_existing_file_is_kept(folder, capsys):
    Path("mcmfh.toml").write_text("# mine\n")
    assert init(texts(without(BASE, "date"))) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("mcmfh.toml").read_text() == "# mine\n"
    assert init("pairs.csv", "films", "--force") == 0
    assert converted() == PLAIN


def test_every_command_has_its_table(folder):
    assert init(texts(without(BASE, "date")), "films", "--encoder", "biomedclip") == 0
    content = tomllib.loads(Path("mcmfh.toml").read_text())
    assert content["mcmfh"]["predict"]["config"] == "experiments/encode_biomedclip.yaml"
    assert content["mcmfh-archive"]["build"]["encoder"] == "model/encoder_biomedclip.yaml"
    assert content["mcmfh"]["fit"]["run-dir"] == content["mcmfh"]["test"]["run-dir"] == "runs/pairs"


# --- the shared cases ------------------------------------------------------------------------------------------------

NORMAL = "normal"
SHARED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "csv_Normal_case": {
        "1": (NORMAL,),
        "2": (NORMAL,),
        "3": ("Effusion", NORMAL),
        "4": (NORMAL,),
        "5": ("Effusion", "effusion"),
    },
    "csv_backslash": {"2": ("b",)},
    "csv_excel_blank_rows": {"1": ("a",), "2": ("b",)},
    "csv_json_list_in_csv": {"1": ("Cardiomegaly", "Effusion"), "2": ("Effusion",)},
    "csv_list_repr": {"1": ("Cardiomegaly", "Effusion"), "2": ("Effusion",), "3": ()},
    "csv_nan_strings": {"3": ("normal",)},
    "csv_nothing_shared": {str(number): (f"L{number}",) for number in range(24)},
    "csv_onehot_columns": {"1": ("Cardiomegaly",), "2": ("Effusion",)},
}


@pytest.mark.parametrize("name", SHARED)
def test_shared_tables_are_converted_as_their_author_means(repository, tmp_path, monkeypatch, capsys, name):
    place = repository.parent / "shared" / "cases" / name
    if not place.is_dir():
        pytest.skip(f"../shared/cases/{name} is not next to this checkout")
    monkeypatch.chdir(tmp_path)
    assert init(str(place / "pairs.csv"), str(place / "films")) == 0
    assert run(data, "manifest", "--skip-bad-rows") == 0
    reader = [PairShardReader(Path("data/pairs"), split) for split in DatasetInfo.load(Path("data/pairs")).splits]
    found = {shard[i].id: shard[i].labels for shard in reader for i in range(len(shard))}
    assert {key: found[key] for key in SHARED[name] if key in found} == SHARED[name]


def test_a_shared_table_without_labels_is_asked(repository, tmp_path, monkeypatch, capsys):
    place = repository.parent / "shared" / "cases" / "csv_all_labels_empty"
    if not place.is_dir():
        pytest.skip("../shared/cases/csv_all_labels_empty is not next to this checkout")
    monkeypatch.chdir(tmp_path)
    assert init(str(place / "pairs.csv"), str(place / "films")) == 0
    asks(capsys, "no-labels")
    choose("no-labels = true")
    assert run(data, "manifest") == 0

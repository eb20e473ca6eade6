"""``mcmfh init`` on tables that do not say enough: it asks, and nothing is converted until that is decided."""

from pathlib import Path

import pytest

from mcmfh_lightning.cli.data import main as data
from mcmfh_lightning.shards import DatasetInfo

from .tables import BASE, FILMS, PLAIN, asks, choose, converted, init, make_films, proposed, run, texts, without


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with six films."""
    make_films(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("form", "days"), [("%d/%m/%Y", ("02-01", "04-03", "06-05")), ("%m/%d/%Y", ("01-02", "03-04", "05-06"))]
)
def test_day_or_month_first_is_asked(folder, capsys, form, days):
    assert init(texts(BASE)) == 0
    assert "is the day or the month first?" in " ".join(capsys.readouterr().out.split())
    assert "date-format" not in proposed()
    asks(capsys, "date-format")
    choose(f'date-format = ["{form}"]')
    assert converted() == {
        name: item._replace(date=f"2011-{day}") for (name, item), day in zip(PLAIN.items(), days, strict=True)
    }


def test_dates_of_two_orders_are_asked(folder, capsys):
    rows = [*without(BASE, "date")]
    rows = [[*row, day] for row, day in zip(rows, ("date", "02/13/2011", "13/02/2011", "01/02/2011"), strict=True)]
    assert init(texts(rows)) == 0
    assert "of two orders" in " ".join(capsys.readouterr().out.split())
    asks(capsys, "date-format")
    choose('date-format = ["%d/%m/%Y"]')
    assert {name: item.date for name, item in converted().items()} == {"1": None, "2": "2011-02-13", "3": "2011-02-01"}


def test_a_group_is_never_guessed(folder, capsys):
    """Without a column of patients the user says which one it is, or that each row is of another patient."""
    rows = [
        [*row, hospital]
        for row, hospital in zip(without(BASE, "group", "date"), ("site", "h1", "h1", "h2"), strict=True)
    ]
    assert init(texts(rows)) == 0
    assert "which rows are of one patient?" in capsys.readouterr().out
    asks(capsys, "group-column")
    choose('group-column = "id"')
    assert converted() == {name: item._replace(group=name) for name, item in PLAIN.items()}


def test_a_study_is_not_taken_where_another_column_keeps_patients_together(folder, capsys):
    """Also where that column looks like data of persons: its numbers keep patients in one split."""
    header, *rows = without(BASE, "group", "date")
    rows = [[f"{copy}{row[0]}", *row[1:], f"s{copy}", f"m{copy // 2}"] for copy in range(12) for row in rows[:2]]
    for name in ("mrn", "zz"):
        assert init(texts([[*header, "study_id", name], *rows]), "films", "--force") == 0
        said = " ".join(capsys.readouterr().out.split())
        if name == "mrn":
            assert proposed()["group-column"] == "mrn"
            assert "values of 'mrn' are kept, and shown by searches" in said
            assert "not read: 'mrn'" not in said
        else:
            assert "which column says so?" in said
            assert "group-column" not in proposed()


@pytest.mark.parametrize(
    ("study", "odd"),
    [
        (lambda n: f"s{n // 2}", False),
        (lambda n: "" if n == 5 else f"s{n // 2}", False),  # a row without a group says nothing
        (lambda n: f"s{n // 3}", True),
        (lambda n: f"s{n % 4 // 2}", True),  # the numbers begin again with each patient
    ],
)
@pytest.mark.parametrize("patient", ["patient_id", "MRN"])
def test_a_column_group_that_divides_patients_is_asked(folder, capsys, patient, study, odd):
    """Also where some of its groups are of two patients."""
    rows = [
        [f"i{n}", FILMS[n % 6], f"Report {n} is here.", "Effusion", study(n), f"p{n // 4}", 40 + n] for n in range(24)
    ]
    table = [["id", "image", "text", "labels", "group", patient, "patient_age"], *rows]
    assert init(texts(table)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"6 of 6 values of {patient!r} have several 'group', which may come into two splits" in said
    assert (f"on rows of several {patient!r}, such as 's" in said) is odd
    assert "data of persons are not read: 'patient_age';" in said  # and the number of the patient is not among them
    asks(capsys, "group-column")
    choose(f'group-column = "{patient}"')
    assert {item.group for item in converted().values()} == {f"p{n}" for n in range(6)}


def test_the_age_of_patients_does_not_group_them(folder, capsys):
    rows = [[*row, "60"] for row in without(BASE, "date")]
    rows[0][-1] = "Patient Age"
    assert init(texts(rows)) == 0
    assert proposed()["group-column"] == "group"
    rows = [[*row[:4], *row[5:]] for row in rows]
    assert init(texts(rows), "films", "--force") == 0
    assert "which rows are of one patient?" in capsys.readouterr().out


def test_labels_are_not_offered_as_groups(folder, capsys):
    header, *rows = without(BASE, "group", "date")
    rows = [[f"{copy}{row[0]}", *row[1:], f"h{copy % 4}"] for copy in range(6) for row in rows]
    assert init(texts([[*header, "ward"], *rows])) == 0
    assert 'group-column = "labels"' not in Path("mcmfh.toml").read_text()
    assert 'group-column = "ward"' in Path("mcmfh.toml").read_text()


def test_one_group_for_all_rows_is_asked(folder, capsys):
    rows = [[*row, group] for row, group in zip(without(BASE, "group", "date"), ("group", "A", "A", "A"), strict=True)]
    assert init(texts(rows)) == 0
    asks(capsys, "group-column")


def test_an_option_of_the_command_line_is_a_choice(folder, capsys):
    assert init(texts(without(BASE, "group", "date"))) == 0
    asks(capsys, "group-column")
    assert run(data, "manifest", "--group-column", "id") == 0


def test_given_splits_that_cut_a_patient_are_asked(folder, capsys):
    rows = [[*row, split] for row, split in zip(without(BASE, "date"), ("split", "train", "test", "val"), strict=True)]
    assert init(texts(rows)) == 0
    assert "'p1'. That is a leak" in " ".join(capsys.readouterr().out.split())
    asks(capsys, "split-by")
    choose('split-by = "group"')
    assert converted() == PLAIN


def test_two_texts_are_asked(folder, capsys):
    rows = [
        [*row, f"Impression of row {row[0]} here." if row[0] != "id" else "impression"] for row in without(BASE, "date")
    ]
    rows[0][2] = "findings"
    assert init(texts(rows)) == 0
    asks(capsys, "text-column")
    choose('text-column = "impression"')
    assert {item.text for item in converted().values()} == {f"Impression of row {name} here." for name in "123"}


def test_numbers_are_no_labels(folder, capsys):
    rows = [[*row, label] for row, label in zip(without(BASE, "labels", "date"), ("label", "0", "3", "2"), strict=True)]
    assert init(texts(rows)) == 0
    assert "'label' holds numbers" in capsys.readouterr().out
    asks(capsys, "no-labels")
    choose("no-labels = true")
    assert converted() == {name: item._replace(labels=()) for name, item in PLAIN.items()}


def test_validation_or_test_is_asked(folder, capsys):
    rows = [
        [*row, split] for row, split in zip(without(BASE, "date"), ("split", "train", "train", "eval"), strict=True)
    ]
    assert init(texts(rows)) == 0
    asks(capsys, "split-names")
    choose('split-names = ["eval=test"]')
    assert run(data, "manifest") == 0
    assert DatasetInfo.load(Path("data/pairs")).splits["test"].pairs == 1


def test_images_that_are_not_there_are_asked(folder, capsys):
    rows = [
        [row[0], f"{row[1].removesuffix('.png')}" if row[0] != "id" else "image", *row[2:]]
        for row in without(BASE, "date")
    ]
    assert init(texts(rows)) == 0
    assert "'image' names images without the ending; add '.png' to each" in " ".join(capsys.readouterr().out.split())
    asks(capsys, "image-column")


TWO = [
    ("id", "image", "text", "Primary", "Secondary", "patient"),
    ("1", "0.png", "The lungs are clear.", "No Finding", "", "p1"),
    ("2", "1.png", "The heart is large.", "Edema", "Effusion", "p1"),
    ("3", "2.png", "A small effusion there.", "Effusion", "Edema", "p2"),
    ("4", "3.png", "A small effusion again.", "Effusion", "", "p3"),
    ("5", "4.png", "The heart is large too.", "Edema", "Effusion", "p4"),
    ("6", "5.png", "There is no change.", "No Finding", "", "p5"),
]


def test_two_columns_of_label_words_can_both_be_read(folder, capsys):
    """First of the answers, with the word for normal; of one column alone, the labels of the other would be lost."""
    assert init(texts(TWO)) == 0
    assert capsys.readouterr().out.rstrip().endswith("--text Effusion")
    lines = Path("mcmfh.toml").read_text().splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("# CHOOSE: which columns hold the labels?"))
    answers = [line for line in lines[first + 1 :] if " = " in line]
    assert answers[0].startswith(
        '# label-columns = ["Primary", "Secondary"]  # reads all of them; with one alone, labels'
    )
    assert answers[1].startswith('# labels-column = "Primary"')
    asks(capsys, "label-columns")
    choose('normal-label = ["No Finding"]')
    asks(capsys, "label-columns")  # that word alone decides nothing
    choose('label-columns = ["Primary", "Secondary"]')
    assert {name: item.labels for name, item in converted().items()} == {
        "1": ("No Finding",),
        "2": ("Edema", "Effusion"),
        "3": ("Edema", "Effusion"),
        "4": ("Effusion",),
        "5": ("Edema", "Effusion"),
        "6": ("No Finding",),
    }


def test_lists_in_two_columns_come_with_their_separator(folder):
    rows = [[*row[:3], f"{row[3]}|a{row[0]}", row[4] and f"{row[4]}|Edema", row[5]] for row in TWO[1:]]
    assert init(texts([TWO[0], *rows])) == 0
    choose('label-columns = ["Primary", "Secondary"]')
    choose('label-separator = "|"')
    choose('normal-label = ["No Finding"]')
    assert converted()["2"].labels == ("Edema", "Effusion", "a2")


def test_two_columns_that_are_called_like_labels_and_hold_the_same_are_joined(folder):
    assert init(texts([("id", "image", "text", "Diagnosis 1", "Diagnosis 2", "patient"), *TWO[1:]])) == 0
    assert "prefix-labels" not in proposed()
    assert {name: item.labels for name, item in converted().items()}["2"] == ("Edema", "Effusion")


def test_a_question_mark_ends_a_question(folder):
    """What follows it is a sentence, and any other sentence ends with a full stop."""
    rows = [[row[0], row[2], *row[5:], "x" if row[0] != "id" else "y"] for row in BASE]
    assert init(texts(rows)) == 0
    text = " ".join(Path("mcmfh.toml").read_text().replace("\n#", " ").split())
    assert "in two splits raise every number of a test. Remove the # before" in text
    assert "CHOOSE: no column names image files that are there. Remove the #" in text
    assert "is the day or the month first? Remove the #" in text

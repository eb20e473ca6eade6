"""Labels of a manifest: printed lists, columns of findings, names of the normal label."""

import json
from decimal import Decimal

import numpy as np
import pytest

from mcmfh_lightning.datasets.table.label_hints import (
    LIKE_NORMAL,
    NORMAL_WITH_OTHERS,
    SPELLED_ALIKE,
    STATE,
    few_words,
    label_traits,
    shared_words,
)
from mcmfh_lightning.datasets.table.labels import LabelRules, is_numeric, read_printed_list, says_whether
from mcmfh_lightning.datasets.table.values import BadValueError

WORDS = ("effusion", "Kerley's lines", 'so-called "mass"', "a, b", "x:y", "größer", "nodule (2 cm)", "back\\slash", " ")


def read(cell: object, **rules: object) -> tuple[tuple[str, ...], list[str]]:
    """Labels of a cell and what was noted."""
    noted: list[str] = []
    return LabelRules(**rules).read({"labels": cell}, noted.append), noted


def test_lists_as_python_json_and_numpy_print_them_come_back():
    rng = np.random.default_rng(0)
    for _ in range(200):
        names = [WORDS[i] for i in rng.integers(len(WORDS), size=rng.integers(1, 6))]
        with np.printoptions(linewidth=40):  # NumPy breaks lines
            printed = [
                repr(names),
                json.dumps(names),
                json.dumps(names, ensure_ascii=False),
                str(np.array(names, object)),
            ]
        printed += [repr(tuple(names)), f" [{', '.join(map(repr, names))}, ] "]
        for text in printed:
            assert read_printed_list(text.strip()) == names, text
            labels, noted = read(text)
            assert labels == tuple(sorted({name.strip() for name in names} - {""}))
            assert noted[0] == "labels read from a printed list"
            assert len(noted) == 1


@pytest.mark.parametrize(
    "cell",
    [
        "[]",
        "[ ]",
        "()",
        "{}",
        "set()",
        "['']",
        "[nan]",
        "[None]",
        "[null]",
        "nan",
        None,
        " ;",
        "character(0)",
        "list()",
    ],
)
def test_lists_without_a_label(cell):
    assert read(cell)[0] == ()


@pytest.mark.parametrize(
    "cell",
    [
        "a; ['b']",
        "['a' 'b', 'c']",
        "['a''b']",
        "['a', 'b'",
        "'a', 'b']",
        "[a, b]",
        "[1, 2]",
        "['a' ...]",
        "[['a']]",
        '{"a": 1}',
        "[",
        "['a'] ['b']",
        "array(['a'], dtype=object)",
        "[np.str_('a')]",
        "['a', __import__('os')]",
        "[f'a']",
        "['\\d']",
        'c("edema", "mass")',
        '{edema,"pleural effusion"}',
        "{edema}",
        "Index(['edema', 'mass'], dtype='object')",
        "pd.Series(['edema'])",
        "list(['edema'])",
        "dict_keys(['mass'])",
        "b'edema'",
        "edema, ['mass']",
        "edema;{mass, nodule}",
        ["['x', 'y']"],
        ["edema", "{x,y}"],
        "'a' and 'b'",
    ],
)
def test_what_looks_like_a_list_and_cannot_be_read_is_bad(cell):
    with pytest.raises(BadValueError) as error:
        read(cell)
    assert error.value.reason == "labels look like a list that cannot be read"
    assert error.value.column == "labels"


@pytest.mark.parametrize(
    "cell",
    [
        "Effusion [left]",
        "(left) effusion",
        "mass {2}",
        "set(up)",
        "it's",
        "C(6)",
        "T1(a)N0",
        "'60s implant",
        'nodule ("coin" lesion)',
        'so-called "mass"',
        "w/o contrast",
        "5' 6\"",
    ],
)
def test_words_with_brackets_are_labels(cell):
    assert read(cell) == ((cell,), [])


@pytest.mark.parametrize("cell", ["'edema', 'mass'", '"edema";"mass"', "'edema';'mass'"])
def test_labels_in_quotes_are_read_without_them(cell):
    assert read(cell) == (("edema", "mass"), ["labels read from a printed list"])
    assert read("'edema'")[0] == ("edema",)


def test_a_word_for_a_missing_value_is_a_label_only_as_the_named_normal_label():
    assert read("None;effusion") == (("effusion",), ["a word for a missing value among the labels"])
    assert read("None;effusion", normal=("None",)) == (("None", "effusion"), [])


def test_names_of_the_normal_label_become_the_first():
    normal = ("No Finding", "normal")
    assert read("normal;edema", normal=normal) == (
        ("No Finding", "edema"),
        ["another name of the normal label read as 'No Finding'"],
    )
    assert read("No Finding", normal=normal) == (("No Finding",), [])
    assert read("NORMAL", normal=normal) == (("NORMAL",), [])


@pytest.mark.parametrize(
    ("cell", "plain", "uncertain"),
    [
        *[(cell, True, True) for cell in (1, 1.0, True, "1", "1.0", " 1 ", "true", "True", "TRUE")],
        *[
            (cell, False, False)
            for cell in (0, 0.0, False, "0", "0.0", "false", None, "", " ", "nan", float("nan"), "<NA>")
        ],
        *[(cell, False, True) for cell in (-1, -1.0, "-1", "-1.0")],
    ],
)
def test_what_a_column_of_a_finding_says(cell, plain, uncertain):
    for counts, present in ((False, plain), (True, uncertain)):
        labels, noted = read(cell, findings=frozenset({"labels"}), uncertain=counts)
        assert labels == (("labels",) if present else ())
        unsure = f"an uncertain finding (-1) read as {'present' if counts else 'absent'}"
        assert noted == ([unsure] if plain != uncertain else [])


@pytest.mark.parametrize("cell", [2, 0.5, "2", "x", "yes", "u", [1], "1;0"])
def test_other_values_in_a_column_of_a_finding_are_bad(cell):
    with pytest.raises(BadValueError) as error:
        read(cell, findings=frozenset({"labels"}))
    assert error.value.reason == "neither 1, 0 nor -1"


def test_labels_of_several_columns_are_joined():
    rules = LabelRules(findings=frozenset({"Edema", "No Finding"}), normal=("No Finding",))
    cells = {"Edema": "1.0", "No Finding": "", "where": "left lung; upper", "more": "['mass', 'Edema']"}
    assert rules.read(cells, lambda note: None) == ("Edema", "left lung", "mass", "upper")
    with pytest.raises(BadValueError) as error:
        rules.read({"Edema": "1", "where": 3}, lambda note: None)
    assert (error.value.reason, error.value.column) == ("labels are not a list of strings", "where")
    with pytest.raises(BadValueError) as error:
        rules.read({"where": "a\x07"}, lambda note: None)
    assert (error.value.reason, error.value.column) == ("unusable label", "where")


@pytest.mark.parametrize(
    ("cells", "whether", "numeric"),
    [
        (["1", "0", "", None, "-1.0"], True, True),
        (["1", "0", "x"], True, False),  # a mistake in one row
        ([True, False, None], True, False),
        (["yes", "No", "n"], True, False),
        (["3", "7", "1"], False, True),  # classes by number
        (["427.31", 486], False, True),
        (["1", "2", "4a"], False, False),
        (["normal", "edema"], False, False),
        ([["1"], ["0", "1"]], False, True),
        (["1;0;0", "0;1;0"], False, True),  # multi-hot, in one cell
        (["1 0 0", "[0, 1, 0]", "0|0|1", "0/1/0", "['0', '1']"], False, True),
        (["1,0", "0,0"], True, True),
        (["100%", "0%"], False, True),
        ([Decimal(1), Decimal("0.0")], True, True),
        (["T1 N0", "T2 N1"], False, False),
        (["class 3;class 7", "3"], False, False),
        (["", None, "nan"], True, False),
    ],
)
def test_columns_of_findings_and_of_numbers_are_distinguished_from_columns_of_words(cells, whether, numeric):
    assert says_whether(cells, one_of_several=False) is whether
    assert says_whether(cells, one_of_several=True) is whether
    assert is_numeric(cells) is numeric


@pytest.mark.parametrize(
    "cells",
    [
        ["x", "", "x"],
        ["positive", "negative"],
        ["+", "-"],
        ["present", "u", "Absent"],
        ["Present", "Not present", "not mentioned"],
        ["ja", "nein", "Nein"],
    ],
)
def test_marks_are_states_in_one_of_several_columns_and_may_be_labels_in_a_single_one(cells):
    assert says_whether(cells, one_of_several=True)
    assert not says_whether(cells, one_of_several=False)


def test_a_word_in_two_columns_is_reported():
    columns = {"Edema": ["mild", "", "nan"], "Mass": ["severe", "mild", "nan"], "Site": ["1", None, ["mild"]]}
    assert shared_words(columns).startswith("'mild' stands in the columns 'Edema' and 'Mass' and is one label")
    assert shared_words({"Edema": ["1", "nan"], "Mass": ["1", "nan"], "Site": ["left"]}) is None


@pytest.mark.parametrize(
    ("separator", "cell", "other"),
    [
        (";", "a;b", None),
        (";", "a|b", "|"),
        (";", "a|b;c", "|"),
        (";", "a,b", ","),
        (";", "effusion, left;mass", None),
        (";", "['a', 'b']", None),
        (";", ["x|y"], "|"),
        (";", ["x;y"], ";"),
        (";", '["edema;mass"]', ";"),
        (";", ["effusion, left"], None),
        (", ", "a, b,c", ","),
        (", ", "a, b", None),
        (";", "a\uff1bb", "\uff1b"),
        (";", "a / b", " / "),
        (";", "w/o contrast", None),
        (";", None, None),
    ],
)
def test_cells_with_another_separator_are_noted(separator, cell, other):
    assert LabelRules(separator).other_separator(cell) == other
    noted = read(cell, separator=separator)[1]
    assert [note for note in noted if "may separate" in note] == (
        [] if other is None else [f"labels that hold {other!r}, which may separate them"]
    )


def test_a_column_of_two_or_three_words_is_reported():
    columns = {"Edema": ["vorhanden", "fehlt", "fehlt", "vorhanden", ""], "Mass": ["a", "b", "c", "d"]}
    assert few_words(columns).startswith("the column 'Edema' holds 'fehlt' (on 2), 'vorhanden' (on 2) and nothing else")
    assert few_words({"Mass": ["a", "b", "c", "d"], "Site": ["left", "right"]}) is None


def test_zeros_and_ones_among_labels_are_reported():
    traits, hints = label_traits({1: ("0", "edema"), 2: ("mass", "427.31"), 3: ("T1", "486")}, "normal")
    assert traits == {1: [STATE]}
    assert hints[0].startswith("labels '0' (on 1) say that something is there, and not what; write")


def test_labels_that_may_mean_the_same_are_reported():
    labels = {
        2: ("normal",),
        3: ("No Finding",),
        4: ("Normal", "edema"),
        5: ("Edema", "normal"),
        6: ("Pleural_Effusion",),
        7: ("pleural effusion", "abnormal"),
        8: ("mass",),
    }
    traits, hints = label_traits(labels, "normal")
    assert traits == {
        2: [SPELLED_ALIKE],
        3: [LIKE_NORMAL],
        4: [SPELLED_ALIKE, LIKE_NORMAL],
        5: [SPELLED_ALIKE, NORMAL_WITH_OTHERS],
        6: [SPELLED_ALIKE],
        7: [SPELLED_ALIKE],
    }
    assert hints[0].startswith("labels 'Edema' (on 1), 'edema' (on 1) differ by case, blanks")
    assert hints[1].startswith("labels 'Pleural_Effusion' (on 1), 'pleural effusion' (on 1) differ")
    assert hints[2].endswith("If they do, pass --normal-label normal --normal-label 'No Finding' --normal-label Normal")
    assert "1 row has the normal label 'normal' together with another, the first is row 5" in hints[3]
    assert len(hints) == 4
    assert label_traits({1: ("normal",), 2: ("mass", "edema")}, "normal") == ({}, [])


@pytest.mark.parametrize(
    "label",
    [
        *("Normal", "NORMAL ", "no_findings", "No acute findings", "unremarkable"),
        *("Unauffällig", "unauffälliger Befund", "o.B.", "ohne pathologischen Befund", "Normalbefund", "kein Befund"),
        *("sin hallazgos", "Sin alteraciones significativas"),
    ],
)
def test_names_close_to_the_normal_label(label):
    assert LIKE_NORMAL in label_traits({1: (label,)}, "normal")[0][1]


@pytest.mark.parametrize(
    "label", ["abnormal", "Abnormality", "nodule", "No Indexing", "formal", "auffällig", "Befund", "ob", "obb"]
)
def test_names_that_only_look_close_to_it(label):
    assert label_traits({1: (label,)}, "normal") == ({}, [])

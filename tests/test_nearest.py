"""Names that a misspelled one may stand for."""

import pytest

from mcmfh_lightning.nearest import MOST_NAMES, did_you_mean, nearest

LABELS = (
    "Cardiomegaly",
    "Catheters, Indwelling",
    "location: Brain and Neuro",
    "location: Brain, Face and Neck",
    "location: Chest",
    "Pleural Effusion",
    "Pneumothorax",
    "normal",
)


@pytest.mark.parametrize(
    ("wrong", "best"),
    [
        ("brain", "location: Brain and Neuro"),
        ("Brain neuro", "location: Brain and Neuro"),
        ("brian", "location: Brain and Neuro"),
        ("neck", "location: Brain, Face and Neck"),
        ("cardiomegalie", "Cardiomegaly"),
        ("CARDIOMEGALY", "Cardiomegaly"),
        ("effusion", "Pleural Effusion"),
        ("effusion, pleural", "Pleural Effusion"),
        ("indwelling catheter", "Catheters, Indwelling"),
        ("pneumo", "Pneumothorax"),
        ("pneumo thorax", "Pneumothorax"),
        ("Normal.", "normal"),
    ],
)
def test_a_name_is_found_by_its_parts_and_by_its_letters(wrong: str, best: str) -> None:
    assert nearest(wrong, LABELS)[0] == best


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("max_epoch", ["trainer.max_epochs"]),
        ("--run_dirs", ["run-dir"]),
        ("experiments/mcfmh.yaml", ["experiments/mcmfh.yaml"]),
        ("mcmfh", ["experiments/mcmfh.yaml"]),
        ("experiments/xyz.yaml", []),
        ("data.rot", ["data.root"]),
    ],
)
def test_options_and_files_are_compared_without_what_all_of_them_share(wrong: str, expected: list[str]) -> None:
    known = ["trainer.max_epochs", "trainer.min_steps", "run-dir", "data.root", "experiments/mcmfh.yaml"]
    assert nearest(wrong, [*known, "experiments/ddbh.yaml"]) == expected


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [("trainer.max_ep", "trainer.max_epochs"), ("split_bi", "--split-by"), ("--data.ro", "data.root")],
)
def test_a_beginning_and_one_wrong_letter_are_found(wrong: str, expected: str) -> None:
    assert nearest(wrong, ["trainer.max_epochs", "--split-by", "data.root", "trainer.devices"])[0] == expected


@pytest.mark.parametrize("wrong", ["", "   ", "?!", "fracture", "x", "\ud800", "e" * 500])
def test_a_name_like_no_other_finds_none(wrong: str) -> None:
    assert nearest(wrong, [*LABELS, "", "?"]) == []
    assert did_you_mean(wrong, LABELS) == ""


def test_all_names_of_a_part_are_found_and_no_more_than_five() -> None:
    assert set(nearest("brain", LABELS)) == {label for label in LABELS if "Brain" in label}
    assert len(nearest("lung", [f"lung {number}" for number in range(20)])) == MOST_NAMES
    assert nearest("lung", []) == []


def test_names_are_asked_for_in_one_line() -> None:
    assert did_you_mean("brain", LABELS) == (
        "; did you mean 'location: Brain and Neuro' or 'location: Brain, Face and Neck'?"
    )


def test_only_the_beginning_of_a_long_name_is_read() -> None:
    known = [f"label {number} of chapter {number % 97} with words" for number in range(200)]
    assert nearest("label 7 " * 8 + "chapter " * 5_000, known) == nearest("label 7 " * 8, known)

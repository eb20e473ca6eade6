"""Columns of a table as a guess sees them, and the options that guesses propose for it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, NamedTuple

from mcmfh_lightning.datasets.table.labels import is_numeric, read_state
from mcmfh_lightning.datasets.table.values import is_missing
from mcmfh_lightning.shards.info import Split
from mcmfh_lightning.tables import counted


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Words:
    """Words that names of columns are made of, and names of splits."""

    IMAGE = _words("image images img picture film file filename path jpg png dicom dcm bild imagen")
    ID = _words("id ids uid key identifier accession number no nr nummer index número numero código codigo clave")
    ID_ENDS = ("nummer", "kennung")
    """Ends of German words for an id, as in ``Aufnahmenummer``."""
    TEXT = _words(
        "text texts report reports caption captions description descriptions impression findings finding narrative "
        "note notes conclusion summary comment bericht befund informe texte"
    )
    LABEL = _words(
        "label labels tag tags class classes diagnosis diagnoses disease diseases finding findings category categories "
        "pathology pathologies condition conditions mesh concepts cuis diagnose diagnosen diagnosis diagnostico"
    )
    KIND = _words("modality plane location region body bodypart part organ anatomy projection topic")
    """What a picture shows and how it was made: labels next to findings, if its owner wants them."""

    NOT_A_FINDING = _words(
        "age sex gender male female view count number index fold score year frontal ap pa width height has is"
    )
    DATE = _words("date dates datum fecha day acquired acquisition")
    BIRTH = _words("birth dob born")
    PATIENT = _words("patient patients subject subjects person participant mrn paciente patienten patientid pid")
    STUDY = _words("group study case exam examination article pmcid visit encounter series")
    NAME = _words("name names nombre nom")
    NAMED_PERSON = _words(
        "patient patients subject person first last middle full family given maiden birth doctor dr physician "
        "radiologist reader reporter author operator technician user mother father paciente"
    )
    """Whose name it is: the name of anything else, such as a file or a set, is not data of a person."""
    PERSON = NAME | _words(
        "surname firstname lastname fullname forename patientname birth birthday birthdate birthplace dob ssn mrn "
        "address street phone telephone email zip postcode insurance nhs geburtsdatum vorname nachname patientenname "
        "sex gender age ages race ethnicity geschlecht alter sexo edad sexe"
    )
    NOT_A_PERSON = _words("file image img picture dataset study series finding label column class hospital")
    SPLIT = _words("split splits set subset partition fold phase dataset")

    SPLIT_NAMES: ClassVar[Mapping[str, Split]] = {
        **dict.fromkeys(("train", "training", "trn", "tr", "learn"), "train"),
        **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "development", "tune", "tuning"), "val"),
        **dict.fromkeys(("test", "testing", "tst", "holdout", "hold-out"), "test"),
    }
    UNCLEAR_SPLITS = _words("eval evaluate evaluation")
    """Names of a split that may be the validation or the test."""


_JOINT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
_FEW = 50
"""Most different values of a column of categories in a large table."""


def words_of(name: str) -> tuple[str, ...]:
    """Split the name of a column into words.

    >>> words_of("StudyInstanceUID"), words_of("Finding Labels"), words_of("patient_id")
    (('study', 'instance', 'uid'), ('finding', 'labels'), ('patient', 'id'))
    """
    return tuple(re.findall(r"[^\W\d_]+", _JOINT.sub(" ", name).casefold()))


@dataclass(frozen=True)
class Column:
    """Column of a table.

    Attributes:
        name: Its name.
        cells: The value of each row.
    """

    name: str
    cells: Sequence[object]

    @cached_property
    def words(self) -> frozenset[str]:
        """Words of the name, with and without breaks at capital letters: ``MeSH`` is one word."""
        return frozenset((*words_of(self.name), *words_of(self.name.casefold())))

    @cached_property
    def present(self) -> list[object]:
        """Values that say something."""
        return [cell for cell in self.cells if not is_missing(cell)]

    @cached_property
    def counts(self) -> Counter[str]:
        """Count how often each value occurs, as a string."""
        return Counter(str(cell).strip() for cell in self.present)

    @property
    def names_splits(self) -> bool:
        """Say whether it holds names of splits alone."""
        known = Words.SPLIT_NAMES.keys() | Words.UNCLEAR_SPLITS
        return bool(self.counts) and all(value.casefold() in known for value in self.counts)

    @property
    def names_images(self) -> bool:
        """Say whether it holds names of image files alone."""
        return bool(self.counts) and all(value.lower().endswith(IMAGE_ENDINGS) for value in self.counts)

    @property
    def is_of_persons(self) -> bool:
        """Say whether its name says that it holds data of persons."""
        words = frozenset(words_of(self.name))
        whose = {word for word in words - Words.NAME if len(word) > 2 or word in Words.NAMED_PERSON}
        if words & Words.NAME and (not whose or whose & Words.NAMED_PERSON):
            return True
        # "File address" is not about a person, "PatientAgeAtStudy" is.
        return bool(self.words & (Words.PERSON - Words.NAME)) and not (
            self.words & Words.NOT_A_PERSON and not words & Words.PATIENT
        )

    @property
    def missing(self) -> int:
        """Number of rows that say nothing."""
        return len(self.cells) - len(self.present)

    @cached_property
    def is_numeric(self) -> bool:
        """Say whether it holds numbers alone."""
        return is_numeric(self.counts)

    @cached_property
    def is_finding(self) -> bool:
        """Say whether it holds 1, 0, -1, true and false alone."""
        return bool(self.counts) and all(read_state(value) is not None for value in self.counts)

    @cached_property
    def words_a_cell(self) -> float:
        """Mean number of words of a value."""
        lengths = [len(cell.split()) if isinstance(cell, str) else 1 for cell in self.present]
        return sum(lengths) / len(lengths) if lengths else 0.0

    @cached_property
    def is_prose(self) -> bool:
        """Say whether it holds sentences: several words, and seldom the same twice."""
        strings = [cell for cell in self.present if isinstance(cell, str)]
        varied = len(self.counts) >= 0.2 * len(self.present)
        return len(strings) == len(self.present) > 0 and self.words_a_cell >= 3 and varied and not self.is_numeric

    @cached_property
    def is_categories(self) -> bool:
        """Say whether it holds a few short words again and again, or lists."""
        if any(isinstance(cell, list) for cell in self.present):
            return True
        if not self.present or self.is_numeric or self.is_finding or self.words_a_cell > 6:
            return False
        return len(self.counts) <= min(_FEW, max(2, len(self.present) // 2))

    def shows(self) -> str:
        """Describe the number of its values.

        >>> Column("group", ["a", "b", "a", ""]).shows()
        '2 values on 3 rows'
        """
        return f"{counted(len(self.counts), 'value')} on {counted(len(self.present), 'row')}"


Value = bool | int | str | list[str]
"""Value of an option: a switch, a number, a text, or the texts of an option that is repeated."""

_ORDER = (
    "images encoding delimiter id-column image-column text-column labels-column label-columns prefix-labels "
    "label-separator normal-label group-column date-column date-format no-column split-column split-by split-names "
    "source-column licence-column"
)


class Answer(NamedTuple):
    """One way to decide: an option with its value, and what that means."""

    option: str
    value: Value
    meaning: str


@dataclass(frozen=True)
class Choice:
    """Something that the table does not say, and its owner knows.

    Attributes:
        question: What has to be decided, and why it cannot be guessed.
        answers: The options that would decide it.
        options: Names of all options that decide it, with or without a proposed answer.
        also: Options that an answer may need, and that do not decide it.
    """

    question: str
    answers: tuple[Answer, ...]
    options: tuple[str, ...]
    also: tuple[Answer, ...] = ()


@dataclass
class Proposal:
    """Options of ``mcmfh-data manifest`` for a table.

    Attributes:
        options: Value of each option, without the hyphens in front.
        reasons: Why, in a few words, by option.
        odd: What is odd about the table, and what to do about it.
        choices: What the owner of the table has to decide.
        unread: Columns that are not read.
        search: Words to search for: a frequent label, or a frequent word of the texts.
        rows: Number of rows.
        trainable: Number of rows with an image and a text.
    """

    options: dict[str, Value] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    search: str = ""
    rows: int = 0
    trainable: int = 0

    def take(self, option: str, value: Value, reason: str) -> None:
        """Propose an option."""
        self.options[option] = value
        self.reasons[option] = reason

    def ask(
        self, question: str, *answers: Answer, options: tuple[str, ...] = (), also: tuple[Answer, ...] = ()
    ) -> None:
        """Leave a decision to the owner of the table."""
        named = dict.fromkeys([*options, *(answer.option for answer in answers)])
        self.choices.append(Choice(question, answers, tuple(named), also))

    def sort(self) -> None:
        """Bring the options into the order of the documentation, whatever was found first."""
        self.options = {name: self.options[name] for name in sorted(self.options, key=_ORDER.split().index)}

    @property
    def used(self) -> set[str]:
        """Columns that the proposed options read."""
        names = {value for option, value in self.options.items() if option.endswith("-column")}
        several = self.options.get("label-columns", [])
        return {name for name in [*names, *(several if isinstance(several, list) else [])] if isinstance(name, str)}

"""Words that names of columns are made of, and names of splits."""

from collections.abc import Mapping

from mcmfh_lightning.shards.info import Split


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IMAGE = _words("image images img picture film file filename path jpg png dicom dcm bild imagen")
ID = _words("id ids uid key identifier accession number no nr nummer index número numero código codigo clave")
ID_ENDS = ("nummer", "kennung")
"""Ends of German words for an id, as in ``Aufnahmenummer``."""
TEXT = _words(
    "text texts report reports caption captions description descriptions impression findings finding narrative note "
    "notes conclusion summary comment bericht befund informe texte"
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
PERSON = _words(
    "name names surname firstname lastname forename birth birthday birthdate birthplace dob ssn mrn address street "
    "phone telephone email zip postcode insurance nhs geburtsdatum vorname nachname nombre nom"
)
NOT_A_PERSON = _words("file image img picture dataset study series finding label column class hospital")
SPLIT = _words("split splits set subset partition fold phase dataset")

SPLIT_NAMES: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training", "trn", "tr", "learn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "development", "tune", "tuning"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "hold-out"), "test"),
}
UNCLEAR_SPLITS = _words("eval evaluate evaluation")
"""Names of a split that may be the validation or the test."""

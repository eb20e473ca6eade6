"""How well the words of reports name their labels, with the rules of negation of the archive and without.

    python benchmarks/negation.py --pairs FOLDER [--split val] [--csv FILE]

A report names a label if it has one of the label's words, and affirms it if one of these is not negated. For each label
of `WORDS` that the collection has: among the reports that name it, or affirm it, the share that carry the label
(precision), and among those that carry it the share that name it, or affirm it (recall). Reports are counted once,
however many films they have. The rules were written by looking at training reports, so that only the validation split
is new to them; the test split cannot be asked for. Open-i's labels were given by people who read the reports. ROCO's
were looked up in its captions whatever these negate: there a label that is not affirmed says nothing of the rules.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from measurements import Row, markdown, options, report

from mcmfh_lightning.archive.words import index_text
from mcmfh_lightning.errors import DataError, one_line_errors
from mcmfh_lightning.shards import PairShardReader

# Words of labels, as regular expressions; first Open-i's headings, then concepts of ROCO.
WORDS = {
    "Airspace Disease": "air ?space disease",
    "Atherosclerosis": "atheroscleros[ie]s|atherosclerotic",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "consolidations?",
    "Emphysema": "emphysema|emphysematous",
    "Fractures, Bone": "fractures?",
    "Heart Failure": "heart failure",
    "Hernia, Hiatal": "hiat(?:al|us) hernias?",
    "Infiltrate": "infiltrates?",
    "Mass": "mass|masses",
    "Nodule": "nodules?",
    "Opacity": "opacity|opacities",
    "Pleural Effusion": "effusions?",
    "Pneumonia": "pneumonias?",
    "Pneumothorax": "pneumothorax|pneumothoraces",
    "Pulmonary Atelectasis": "atelectas[ie]s|atelectatic",
    "Pulmonary Congestion": "congestion",
    "Pulmonary Edema": "edema",
    "Scoliosis": "scoliosis",
    "C0006663": "calcifications?",
    "C0010709": "cysts?",
    "C0013604": "o?edema",
    "C0016658": "fractures?",
    "C0018944": "ha?ematomas?",
    "C0028778": "obstructions?",
    "C0221198": "lesions?",
}
SPLITS = ("train", "val")


def read_reports(folder: Path, split: str) -> dict[str, frozenset[str]]:
    """Read the labels of each report; those of all films that have it."""
    reports: dict[str, frozenset[str]] = {}
    reader = PairShardReader(folder, split)
    for number in range(len(reader)):
        pair = reader[number]
        if pair.text:
            reports[pair.text] = reports.get(pair.text, frozenset()) | set(pair.labels)
    return reports


def measure(reports: Mapping[str, frozenset[str]], words: Mapping[str, str]) -> Iterator[Row]:
    """Compare what reports name and affirm with the labels that they carry."""
    marked = {text: index_text(text) for text in reports}
    for label, pattern in words.items():
        carrying = {text for text, labels in reports.items() if label in labels}
        if not carrying:
            continue
        search = re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE).search
        named = {text for text in reports if search(text)}
        affirmed = {text for text in reports if search(marked[text])}
        yield {
            "label": label,
            "reports": len(reports),
            "carry": len(carrying),
            "named": len(named),
            "affirmed": len(affirmed),
            "named_right": len(named & carrying),
            "affirmed_right": len(affirmed & carrying),
        }


def table(rows: pd.DataFrame) -> str:
    """Render precision and recall, with a line for all labels together."""
    numbers = rows.drop(columns=["label", "reports"])
    lines = pd.concat([numbers, numbers.sum().to_frame().T])
    cells = pd.DataFrame({"label": [*rows["label"], "all"], "carry it": [*lines["carry"]]})
    for name in ("named", "affirmed"):
        right = lines[f"{name}_right"]
        cells[name] = [*lines[name]]
        cells[f"precision, {name}"] = [f"{share:.3f}" for share in right / lines[name].clip(lower=1)]
        cells[f"recall, {name}"] = [f"{share:.3f}" for share in right / lines["carry"]]
    return f"{rows['reports'].iloc[0]} reports\n\n{markdown(cells)}"


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; errors of the package end in one line and exit code 2."""
    parser = options(__doc__, "csv")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of pair shards")
    parser.add_argument("--split", choices=SPLITS, default="train", help="whose reports are read")
    with one_line_errors("negation.py"):
        given = parser.parse_args(args)
        reports = read_reports(given.pairs, given.split)
        if not reports:
            raise DataError(f"{given.pairs} has no reports in split {given.split}: name other pairs, or another split")
        report(given, measure(reports, WORDS), lambda rows: {f"{given.pairs}, {given.split}": table(rows)})


if __name__ == "__main__":
    main(sys.argv[1:])

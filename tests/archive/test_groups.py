"""Groups by their own names, from a table to search and deletion; archives of version 1, which have numbers alone."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.archive.filters import Filters
from mcmfh_lightning.archive.info import Location
from mcmfh_lightning.archive.schema import item_schema
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.verification import GROUPS, verify_archive
from mcmfh_lightning.cli.archive import Names, main
from mcmfh_lightning.cli.command_line import run_subcommand
from mcmfh_lightning.cli.data import main as data_command
from mcmfh_lightning.shards import DatasetInfo, FeatureShardWriter, PairShardReader, merge_feature_parts

NAMES = ("P-1009", "P-1010", "0012", "7", "O'Hara, Zoë")
"""Of a table of ten films, two a group."""


def hashed(name: str) -> str:
    return str(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True))


def write_features(folder: Path, first: int = 20, *, named: bool = True) -> Path:
    """From a table to features that the hasher of the earlier archive can use: films ``first`` and so on."""
    image_dim, text_dim = 4, 3
    images = folder / "images"
    images.mkdir(parents=True)
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "image", "text", "labels", "group", "split"])
        for number in range(10):
            name = f"film {first + number:02d}"
            Image.new("L", (8, 8), 20 * number).save(images / f"{name}.png")
            label, group = ("normal", "opacity", "effusion")[number % 3], NAMES[number // 2]
            table.writerow([name, f"{name}.png", f"Finding {number}.", label, group, "train"])
    paths = ["--manifest", str(folder / "table.csv"), "--images", str(images), "--out", str(folder / "pairs")]
    data_command(["manifest", *paths])
    pairs = PairShardReader(folder / "pairs", "train")
    writer = FeatureShardWriter(folder / "features", rank=0)
    embeddings = [np.random.default_rng(first).normal(size=(len(pairs), width)) for width in (image_dim, text_dim)]
    columns = (pairs.labels, pairs.groups, pairs.text_hashes, pairs.present, pairs.group_names if named else None)
    writer.write("train", pairs.ids, *embeddings, *columns)
    writer.close()
    info = DatasetInfo(
        format="mcmfh-features",
        name="table",
        source="tests",
        licence="CC0-1.0",
        settings={},
        label_vocabulary=pairs.info.label_vocabulary,
        normal_label="normal",
        splits={},
        encoder={"name": "planted"},
        image_dim=image_dim,
        text_dim=text_dim,
    )
    merge_feature_parts(folder / "features", info, 1, expected_ids={"train": pairs.ids})
    return folder


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    with pytest.raises(SystemExit) as exit_code:
        main([str(arg) for arg in args])
    assert exit_code.value.code == 2
    return capsys.readouterr().err


def found(capsys: pytest.CaptureFixture[str], archive: Path, item: str, *options: str) -> dict[str, str]:
    """The groups of what a search finds, by id, out of its JSON."""
    capsys.readouterr()
    main(["search", str(archive), "--id", item, "--k", "50", "--format", "json", *options])
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert all(isinstance(hit["item"]["group"], str) for hit in hits)
    return {hit["item"]["id"]: hit["item"]["group"] for hit in hits}


def films(numbers: range | list[int]) -> set[str]:
    return {f"film {number:02d}" for number in numbers}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_features(tmp_path_factory.mktemp("table") / "table")


def test_from_a_table_to_search_and_deletion(table, earlier_versions, tmp_path, capsys):
    archive = tmp_path / "archive"
    sources = ["--features", str(table / "features"), "--pairs", str(table / "pairs")]
    main(["build", str(archive), "--checkpoint", str(earlier_versions / "hasher.ckpt"), *sources])
    groups = {f"film {20 + number}": NAMES[number // 2] for number in range(10)}

    others = {item: group for item, group in groups.items() if group != "P-1009"}
    assert found(capsys, archive, "film 20") == others
    assert set(found(capsys, archive, "film 20", "--groups", "O'Hara, Zoë")) == films([28, 29])
    assert set(found(capsys, archive, "film 20", "--groups", "P-1010", "--groups", "0012")) == films([22, 23, 24, 25])
    assert set(found(capsys, archive, "film 20", "--without-groups", "7", "--without-groups", "P-1010")) == films(
        [24, 25, 28, 29]
    )
    assert set(found(capsys, archive, "film 20", "--groups", hashed("P-1010"))) == films([22, 23])
    for flag in ("--groups", "--without-groups"):
        said = refused(capsys, "search", archive, "--id", "film 20", flag, "P-1010", flag, "12")
        assert "the archive has no item of group '12': write the names of groups as the collection does" in said

    assert "no item of group 'P-1011'" in refused(capsys, "delete", archive, "--groups", "P-1009", "--groups", "P-1011")
    assert "no item of group '\\udcff'" in refused(capsys, "delete", archive, "--groups", "\udcff")
    main(["delete", str(archive), "--groups", "P-1009"])
    assert "2 items deleted; 8 items" in capsys.readouterr().out
    main(["delete", str(archive), "--ids", "film 22", "--groups", "7", "--groups", "0012"])
    assert "5 items deleted; 3 items" in capsys.readouterr().out
    assert set(found(capsys, archive, "film 23")) == films([28, 29])
    main(["verify", str(archive), "--features", str(table / "features")])


def test_pairs_name_the_groups_of_features_that_cannot(earlier_versions, tmp_path, capsys):
    table, archive = write_features(tmp_path / "table", named=False), tmp_path / "archive"
    sources = ["--features", str(table / "features"), "--pairs", str(table / "pairs")]
    main(["build", str(archive), "--checkpoint", str(earlier_versions / "hasher.ckpt"), *sources])
    assert set(found(capsys, archive, "film 20").values()) == set(NAMES[1:])


def test_features_of_other_groups_than_their_pairs_are_refused(table, earlier_versions, tmp_path, capsys):
    rows = (table / "table.csv").read_text(encoding="utf-8")
    (tmp_path / "table.csv").write_text(rows.replace("P-1009", "P-1008"), encoding="utf-8")
    other = tmp_path / "other"
    paths = ["--manifest", str(tmp_path / "table.csv"), "--images", str(table / "images"), "--out", str(other)]
    data_command(["manifest", *paths])
    sources = ["--features", table / "features", "--pairs", other]
    said = refused(capsys, "build", tmp_path / "a", "--checkpoint", earlier_versions / "hasher.ckpt", *sources)
    assert "is of group P-1008, its features are of P-1009: pass the pairs that were encoded" in said


def test_an_archive_of_version_1_is_searched_as_it_is(earlier_versions, capsys):
    archive = earlier_versions / "archive"
    files = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    groups = found(capsys, archive, "film 05")
    assert groups.keys() == films([*range(4), *range(6, 12)])  # its own group is 7
    assert (groups["film 00"], groups["film 10"]) == (hashed("P-1009"), "-3")
    for name in ("P-1009", hashed("P-1009")):
        assert set(found(capsys, archive, "film 05", "--groups", name)) == films([0, 1])
        assert set(found(capsys, archive, "film 05", "--without-groups", name)) == groups.keys() - films([0, 1])
    assert len(Archive.open(archive).search(id="film 05", filters=Filters(groups=(-3,))).hits) == 2
    main(["verify", str(archive)])
    main(["info", str(archive)])
    assert {path: path.read_bytes() for path in files} == files
    main(["delete", str(archive), "--groups", "P-1009", "--erase"])
    assert set(ItemTable.open(archive).select(["id"])["id"].to_pylist()) == films(range(2, 12))
    assert set(found(capsys, archive, "film 05")) == films([2, 3, *range(6, 12)])


def test_an_archive_of_version_1_is_added_to(table, earlier_versions, capsys):
    """What is added keeps its names; items of one patient are found and deleted together, whoever added them."""
    archive = earlier_versions / "archive"
    main(["add", str(archive), "--features", str(earlier_versions / "features")])
    assert "0 new items, 12 were there" in capsys.readouterr().out
    main(["add", str(archive), "--features", str(table / "features")])
    assert json.loads((archive / "archive.json").read_text())["format_version"] == 2
    main(["add", str(archive), "--features", str(earlier_versions / "features")])
    groups = found(capsys, archive, "film 10")
    assert len(groups) == 20
    assert (groups["film 20"], groups["film 24"], groups["film 00"]) == ("P-1009", "0012", hashed("P-1009"))
    assert set(found(capsys, archive, "film 10", "--groups", "P-1009")) == films([0, 1, 20, 21])
    assert set(found(capsys, archive, "film 00")) == groups.keys() - films([0, 1, 20, 21]) | films([10, 11])
    report = verify_archive(Location(archive), None)
    assert not report.failed
    assert report.result(GROUPS) == "warning"
    assert f"groups '{hashed('P-1009')}' and 'P-1009' have one number" in report.rows[GROUPS].examples[0]
    main(["delete", str(archive), "--groups", "P-1009", "--groups", "7"])
    left = set(ItemTable.open(archive).select(["id"])["id"].to_pylist())
    assert left == films([2, 3, *range(6, 12), *range(22, 26), 28, 29])


def test_deleting_names_what_may_be_of_the_same_group(table, earlier_versions, capsys):
    """A collection of CXR7 whose number is 7, with items of patient 7 that an earlier release added."""
    archive = earlier_versions / "archive"
    main(["add", str(archive), "--features", str(table / "features")])
    items = ItemTable.open(archive)
    rows = items.select(item_schema(8).names, where="id = 'film 26'").drop_columns(["_rowid"])
    place = rows.schema.get_field_index("group_name")
    items.add(rows.set_column(place, rows.schema.field(place), pa.array(["CXR7"])), replace=True)
    capsys.readouterr()
    main(["delete", str(archive), "--groups", "CXR7"])
    printed = capsys.readouterr().out
    assert printed.startswith("not deleted: items of group '7', which has the same number.")
    assert "1 item deleted; 21 items" in printed
    main(["upsert", str(archive), "--features", str(table / "features")])
    assert "1 item was deleted from this archive" in capsys.readouterr().out, "not those of group '7'"
    main(["delete", str(archive), "--groups", "7"])
    assert "3 items deleted; 18 items" in capsys.readouterr().out


def test_a_reader_of_version_1_learns_the_names_with_the_next_version(earlier_versions, table):
    archive = earlier_versions / "archive"
    reader, searched = ItemTable.open(archive), Archive.open(archive)
    main(["add", str(archive), "--features", str(table / "features")])
    assert len(reader.select(["group_name"])) == 12
    assert searched.refresh()
    reader = ItemTable.open(archive)
    names = {row["id"]: row["group_name"] for row in reader.select(["id", "group_name"]).to_pylist()}
    assert (names["film 20"], names["film 01"]) == ("P-1009", hashed("P-1009"))
    assert searched.item("film 20").group == "P-1009"


def test_upserting_names_the_groups_of_items_that_an_earlier_release_added(earlier_versions, tmp_path):
    archive = earlier_versions / "archive"
    opened_before = ItemTable.open(archive)
    features = write_features(tmp_path / "table", first=0) / "features"
    main(["upsert", str(archive), "--features", str(features)])
    rows = ItemTable.open(archive).select(item_schema(8).names).drop_columns(["_rowid"])
    groups = dict(zip(rows["id"].to_pylist(), rows["group_name"].to_pylist(), strict=True))
    assert groups == {f"film {n:02d}": NAMES[n // 2] if n < 10 else "-3" for n in range(12)}
    # Another process has brought the table up to date meanwhile.
    assert opened_before.add(rows, replace=True) == 0


def test_the_service_takes_and_gives_names(client, archive, rows):
    wanted = {row["id"] for row in rows if row["group"] in ("P-3", "P-4")}
    body = {"text": "effusion", "k": 50, "filters": {"groups": ["P-3", "P-4"]}}
    hits = client.post("/api/search", json=body).json()["hits"]
    assert {hit["item"]["id"] for hit in hits} == wanted
    assert {hit["item"]["group"] for hit in hits} == {"P-3", "P-4"}
    number = int(hashed("P-3"))
    body["filters"] = {"groups": [number, "P-4"], "without_groups": ["P-3"]}
    hits = client.post("/api/search", json=body).json()["hits"]
    assert {hit["item"]["group"] for hit in hits} == {"P-4"}
    assert client.get(f"/api/items/{hits[0]['item']['id']}").json()["group"] == "P-4"


@pytest.mark.parametrize(
    "name", ["P-1", "null", "~", "&a", "*a", "007", "-5", "O'Hara, Zoë", "[a", "[a, b]", "true", "none", "{}", ""]
)
@pytest.mark.parametrize("joined", [False, True])
def test_a_group_on_the_command_line_is_the_text_that_it_is(name, joined):
    seen: list[Names] = []

    def delete(archive: str, *, groups: Names = None, erase: bool = False) -> None:
        seen.append(groups)

    option = [f"--groups={name}", "--erase"] if joined else ["--groups", name]
    run_subcommand("program", {"delete": delete}, ["delete", "folder", *option])
    assert seen == [[name]]

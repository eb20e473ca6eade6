import shutil
import threading
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcmfh_lightning.archive.info import Location
from mcmfh_lightning.archive.schema import RELAXED, binary_column, code_array, item_schema, relaxed_array
from mcmfh_lightning.archive.store import ItemTable, quoted
from mcmfh_lightning.archive.store_errors import explained
from mcmfh_lightning.errors import DataError

from .items import NUM_BITS, items

IDS = [f"item-{number}" for number in range(10)]


def rows(table, columns=None):
    """All rows by id, as plain values."""
    found = table.select(columns or table.schema.names)
    return {row["id"]: {k: v for k, v in row.items() if k != "_rowid"} for row in found.to_pylist()}


def by_id(batch):
    return {row["id"]: row for row in batch.to_pylist()}


def test_what_is_added_comes_back_as_it_was(tmp_path):
    batch = items(IDS)
    table = ItemTable.create(tmp_path, NUM_BITS)
    assert table.add(batch) == 10
    again = ItemTable.open(tmp_path)
    assert len(again) == 10
    assert again.schema.equals(item_schema(NUM_BITS))
    assert rows(again) == by_id(batch)


def test_codes_and_relaxed_codes_of_rows(tmp_path):
    rng = np.random.default_rng(3)
    relaxed, codes = rng.uniform(-1, 1, (10, 21)).astype(np.float16), rng.integers(0, 256, (10, 3), dtype=np.uint8)
    there = np.array([True, False, True, True, False] * 2)
    batch = items(IDS, num_bits=21)
    batch = batch.set_column(
        batch.schema.get_field_index("image_relaxed"), "image_relaxed", binary_column(relaxed, there)
    )
    batch = batch.set_column(batch.schema.get_field_index("case_code"), "case_code", binary_column(codes))
    table = ItemTable.create(tmp_path, 21)
    table.add(batch.slice(0, 4))
    table.add(batch.slice(4))
    found = table.select(["id", "image_relaxed", "case_code"])
    order = [IDS.index(name) for name in found["id"].to_pylist()]
    assert np.array_equal(relaxed_array(found["image_relaxed"]), np.where(there[:, None], relaxed, 0)[order])
    assert np.array_equal(code_array(found["case_code"]), codes[order])
    assert np.array_equal(code_array(found["case_code"].slice(3, 5)), codes[order][3:8])


def test_adding_again_changes_nothing(tmp_path):
    table = ItemTable.create(tmp_path, NUM_BITS)
    table.add(items(IDS[:6]))
    assert table.add(items(IDS, seed=1)) == 4
    assert table.add(items(IDS, seed=2)) == 0
    found = rows(table)
    assert {name: found[name] for name in IDS[:6]} == by_id(items(IDS[:6]))
    assert {name: found[name] for name in IDS[6:]} == {name: by_id(items(IDS, seed=1))[name] for name in IDS[6:]}


def test_upsert_replaces(tmp_path):
    table = ItemTable.create(tmp_path, NUM_BITS)
    table.add(items(IDS[:6]))
    assert table.add(items(IDS[3:], seed=1), replace=True) == 4
    assert rows(table) == by_id(items(IDS[:6])) | by_id(items(IDS[3:], seed=1))


def test_delete_takes_away_what_is_named(tmp_path):
    table = ItemTable.create(tmp_path, NUM_BITS)
    table.add(items(IDS))
    assert table.delete(["item-3", "no such", "item-9"]) == 2
    assert table.delete([]) == 0
    assert rows(table).keys() == set(IDS) - {"item-3", "item-9"}
    assert table.add(items(IDS, seed=1)) == 2


def test_an_id_that_occurs_twice_in_a_batch_is_refused(tmp_path):
    table = ItemTable.create(tmp_path, NUM_BITS)
    with pytest.raises(DataError, match=r"item 'item-1' occurs twice"):
        table.add(items([*IDS, "item-1"]))
    assert len(table) == 0


def test_codes_of_another_width_are_refused(tmp_path):
    table = ItemTable.create(tmp_path, NUM_BITS)
    with pytest.raises(DataError, match="do not fit the archive's columns"):
        table.add(items(IDS, num_bits=64))
    with pytest.raises(DataError, match="missing or unknown: text"):
        table.add(items(IDS).drop_columns(["text"]))
    with pytest.raises(DataError, match="'licence' with null values"):
        table.add(items(IDS).set_column(13, "licence", pa.array([None] * 10, pa.string())))
    assert len(table) == 0


def test_a_table_is_made_once_and_opened_only_where_there_is_one(tmp_path):
    with pytest.raises(DataError, match="holds no archive: make one with"):
        ItemTable.open(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    ItemTable.create(tmp_path / "one", NUM_BITS)
    with pytest.raises(DataError, match="cannot create the table"):
        ItemTable.create(tmp_path / "one", 64)
    ItemTable.create(tmp_path / "one", NUM_BITS).add(items(IDS))
    with pytest.raises(DataError, match="has a table with items already: choose another folder"):
        ItemTable.create(tmp_path / "one", NUM_BITS)
    assert len(ItemTable.open(tmp_path / "one")) == 10


def test_a_reader_stays_at_its_version(tmp_path):
    writer = ItemTable.create(tmp_path, NUM_BITS)
    writer.add(items(IDS))
    reader = ItemTable.open(tmp_path)
    version, found = reader.version, reader.select(["id"])
    writer.delete(IDS[:5])
    writer.add(items([f"new-{number}" for number in range(200)]))
    writer.compact()
    assert reader.version == version < writer.version
    assert set(reader.select(["id"])["id"].to_pylist()) == set(IDS)
    assert reader.take(found["_rowid"].to_pylist(), ["id"])["id"].to_pylist() == found["id"].to_pylist()
    again = ItemTable.open(tmp_path)
    assert len(again) == len(writer) == 205
    assert again.version == writer.version


def test_rows_are_taken_in_the_order_asked_for(tmp_path):
    table = ItemTable.create(tmp_path, NUM_BITS)
    for start in range(0, 10, 3):
        table.add(items(IDS[start : start + 3], seed=start))
    found = table.select(["id"])
    numbers = dict(zip(found["id"].to_pylist(), found["_rowid"].to_pylist(), strict=True))
    order = ["item-7", "item-0", "item-7", "item-9", "item-2"]
    assert table.take([numbers[name] for name in order], ["id", "text"])["id"].to_pylist() == order
    assert table.take([], ["id"]).num_rows == 0
    with pytest.raises(DataError, match="open it again"):
        table.take([1 << 60], ["id"])


def test_conditions(tmp_path):
    table = ItemTable.create(tmp_path, NUM_BITS)
    table.add(items(IDS))
    label = "it's"
    found = table.select(["id"], where=f"array_has(labels, {quoted(label)}) AND date >= '2012-01-01'")
    expected = {name for name, row in by_id(items(IDS)).items() if label in row["labels"] and row["date"]}
    assert set(found["id"].to_pylist()) == expected
    assert expected == {"item-5"}
    with pytest.raises(DataError, match="cannot read the table"):
        table.select(["id"], where="no_such_column = 1")
    with pytest.raises(DataError, match="cannot read the table"):
        table.select(["no_such_column"])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(min_size=1, max_size=200).filter(str.isprintable), min_size=2, max_size=5, unique=True))
def test_any_id_can_be_deleted(tmp_path_factory, names):
    table = ItemTable.create(tmp_path_factory.mktemp("ids"), NUM_BITS)
    table.add(items(names))
    assert table.delete(names[:1]) == 1
    assert set(table.select(["id"])["id"].to_pylist()) == set(names[1:])


@pytest.mark.parametrize("kept", [0, 3])
def test_what_is_erased_is_nowhere_on_the_disk(tmp_path, kept):
    """Not in the record of the commit that deleted it either, if that is the last one."""
    names = [f"PATIENT-{number:03d}" for number in range(20)]
    table = ItemTable.create(tmp_path, NUM_BITS)
    table.add(items(names))
    table.delete(names[kept:])
    table.erase()
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert [name for name in names if name.encode() in content] == names[:kept]
    assert set(rows(table)) == set(names[:kept])


def test_two_versions_of_one_number_have_different_fingerprints(tmp_path):
    table = ItemTable.create(tmp_path / "one", NUM_BITS)
    table.add(items(IDS))
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    one, other = ItemTable.open(tmp_path / "one"), ItemTable.open(tmp_path / "other")
    assert one.fingerprint == other.fingerprint
    for copy in (one, other):
        copy.add(items(IDS), replace=True)
    assert one.version == other.version
    assert one.fingerprint != other.fingerprint


def test_compacting_keeps_all_items(tmp_path):
    table = ItemTable.create(tmp_path, NUM_BITS)
    names = [f"item-{number:03d}" for number in range(120)]
    for start in range(0, 120, 10):
        table.add(items(names[start : start + 10], seed=start))
    table.delete(names[5:20])
    before = rows(table)
    table.compact()
    assert rows(table) == before == rows(ItemTable.open(tmp_path))


class Unlocked(Location):
    """A local folder that is like an object store: its writers do not wait for each other."""

    has_lock = False
    writing = staticmethod(nullcontext)


def test_ids_are_unknown_only_as_long_as_nobody_else_writes(tmp_path):
    """What another process adds between two commits is left alone, and not there twice."""
    ItemTable.create(tmp_path, NUM_BITS).add(items(IDS[:2]))
    table, other = ItemTable.open(tmp_path), ItemTable.open(tmp_path)
    assert table.add(items(IDS[2:4], seed=1), unknown=True) == 2
    assert table.add(items(IDS[4:6], seed=1), unknown=True) == 2
    assert other.add(items(IDS[5:7], seed=2), unknown=True) == 1
    assert table.add(items(IDS[6:9], seed=3), unknown=True) == 2
    assert other.delete(IDS[:1]) == 1
    assert other.add(items(IDS[8:], seed=4), unknown=True) == 1
    assert table.add(items(IDS, seed=5), unknown=True) == 1
    found = rows(ItemTable.open(tmp_path))
    assert sorted(ItemTable.open(tmp_path).select(["id"])["id"].to_pylist()) == IDS, "each once"
    first = by_id(items(IDS[4:6], seed=1)) | by_id(items(IDS[6:9], seed=3)) | by_id(items(IDS[5:7], seed=2))
    assert found["item-5"] == by_id(items(IDS[4:6], seed=1))["item-5"] != first["item-5"]
    assert found["item-6"] == first["item-6"]
    assert found["item-8"] == first["item-8"]


def test_adding_takes_no_longer_in_a_larger_table(tmp_path):
    """Ids that are new are not compared with those of the table: its files of ids are not even read."""
    table = ItemTable.create(tmp_path, NUM_BITS)
    table.add(items(IDS))
    data = tmp_path / "items.lance" / "data"
    hidden = data.rename(tmp_path / "hidden")
    data.mkdir()
    assert table.add(items([f"new-{number}" for number in range(10)]), unknown=True) == 10
    with pytest.raises(DataError, match="cannot write the table"):
        table.add(items([f"newer-{number}" for number in range(10)]))
    for file in hidden.iterdir():
        file.rename(data / file.name)
    assert len(ItemTable.open(tmp_path).select(["id"])) == 20


@pytest.mark.parametrize("replace", [False, True])
def test_two_writers_at_once(tmp_path, replace):
    """The commits of LanceDB alone, as on an object store: without the lock of a local folder."""
    ItemTable.create(tmp_path, NUM_BITS)
    meet, failed = threading.Barrier(2), []

    def write(seed):
        table = ItemTable.open(tmp_path)
        table.location = Unlocked(tmp_path)
        try:
            for part in range(6):
                meet.wait()
                table.add(
                    items([f"{part}-{number}" for number in range(200)], seed=seed),
                    replace=replace,
                    unknown=not replace,
                )
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    found = ItemTable.open(tmp_path).select(["id"])["id"].to_pylist()
    assert len(found) == len(set(found)) == 1200


def test_mistakes_of_ours_are_not_explained_as_those_of_a_user(tmp_path):
    with pytest.raises(TypeError), explained(Location(tmp_path), "read"):
        len(None)
    with pytest.raises(DataError, match="cannot read the table"), explained(Location(tmp_path), "read"):
        pa.array([1, "a"])
    with pytest.raises(DataError, match="cannot read the table"), explained(Location(tmp_path), "read"):
        raise pa.ArrowTypeError("a column of another type")


def test_relaxed_codes_are_plain_bytes():
    assert all(item_schema(64).field(name).type == pa.binary(128) for name in RELAXED)

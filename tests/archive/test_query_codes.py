"""Searches whose code of the query depends on what is searched, against brute force over the hasher's own codes."""

import io
import json
import shutil
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mcmfh_lightning.archive import Archive, Filters, model
from mcmfh_lightning.archive.address_table import LONGEST
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.model import has_query_codes, load_archive_hasher
from mcmfh_lightning.archive.schema import QueryCode
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.archive.snapshot import Snapshot
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.hashers import MCMFH, TwoTower
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.items import item_codes
from mcmfh_lightning.searches import SEARCHES
from mcmfh_lightning.shards import PairShardReader, decode_image

from .collection import IMAGE_DIM, TEXT_DIM, write_checkpoint, write_features
from .made import Made
from .metric_rankings import compare_with_metric_code
from .phantom_archive import build_archive, towers, untrained_checkpoint
from .service import client_of

TEXT = "There is a small pleural effusion."
COUNT = 70


@pytest.fixture(scope="module", params=[MCMFH, TwoTower], ids=lambda method: method.__name__)
def place(
    request: pytest.FixtureRequest,
    phantom_pairs: Path,
    phantom_features: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An archive of drawn films by a 16-bit hasher with a head for each search, and drawn weights."""
    folder = tmp_path_factory.mktemp("queries")
    checkpoint = untrained_checkpoint(folder / "hasher.ckpt", phantom_pairs, method=request.param, query_heads=True)
    return build_archive(folder / "archive", phantom_pairs, checkpoint, features=phantom_features)


@pytest.fixture(scope="module")
def film(phantom_pairs: Path) -> Image.Image:
    return decode_image(next(pair.image for pair in PairShardReader(phantom_pairs, "test") if pair.image))


@pytest.fixture(scope="module")
def opened(place: Path) -> Archive:
    """It has loaded the towers once for all tests; its index is flat for one method, a table for the other."""
    return Archive.open(place, index="flat" if ArchiveInfo.load(place).hasher == "MCMFH" else "hash")


BruteForce = Callable[[str, dict[str, str], str], list[tuple[int, str]]]


@pytest.fixture(scope="module")
def brute_force(place: Path, film: Image.Image) -> BruteForce:
    """All items that have the code, by (distance, id): numpy over the hasher's codes, with no part of a search.

    Takes the modality of the query, the search of the items whose case is of an image alone, a text alone, or both,
    and the code that is searched.
    """
    info = ArchiveInfo.load(place)
    hasher = load_archive_hasher(Location(place), info)
    encoder = towers().eval()
    with torch.inference_mode():
        embeddings = {
            "text": encoder.encode_text(encoder.tokenize([TEXT])),
            "image": encoder.encode_image(encoder.preprocess(film)[None]),
        }
        bits = {
            name: (hasher.encode_query(name, embeddings[search.query].half().float())[0] >= 0).numpy()
            for name, search in SEARCHES.items()
        }
    codes = [f"{side}_code" for side in ("image", "text", "case")]
    rows = ItemTable.open(place).select(["id", "has_image", "has_text", *codes]).to_pylist()

    def rank(modality: str, heads: dict[str, str], against: str) -> list[tuple[int, str]]:
        assert {SEARCHES[name].query for name in heads.values()} == {modality}
        found = []
        for row in rows:
            if row[f"{against}_code"] is None:
                continue
            kind = "case" if row["has_image"] and row["has_text"] else "image" if row["has_image"] else "text"
            stored = np.unpackbits(np.frombuffer(row[f"{against}_code"], np.uint8)).astype(bool)
            found.append((int((bits[heads[kind]] != stored).sum()), row["id"]))
        return sorted(found)

    return rank


def searched(opened: Archive, **query: object) -> list[tuple[int, str]]:
    return [(hit.distance, hit.item.id) for hit in opened.search(k=100, rerank=0, **query).hits]


HEADS = {
    "i2t": dict.fromkeys(("image", "text", "case"), "i2t"),
    "t2i": dict.fromkeys(("image", "text", "case"), "t2i"),
    "i2i": dict.fromkeys(("image", "text", "case"), "i2i"),
    "t2t": dict.fromkeys(("image", "text", "case"), "t2t"),
    "i2case": {"image": "i2i", "text": "i2t", "case": "i2case"},
    "t2case": {"image": "t2i", "text": "t2t", "case": "t2case"},
}


def test_each_search_ranks_as_its_own_head_does(opened: Archive, film: Image.Image, brute_force: BruteForce) -> None:
    rankings = {}
    for search, (modality, against) in SEARCHES.items():
        query = {"text": TEXT, "match": "codes"} if modality == "text" else {"image": film}
        rankings[search] = searched(opened, against=against, **query)
        assert rankings[search] == brute_force(modality, HEADS[search], against), search
        if against == "case":  # of whole items alone, and of each other kind alone
            for has_image, has_text in ((True, True), (True, False), (False, True)):
                only = Filters(has_image=has_image, has_text=has_text)
                kept = {
                    item.id
                    for item in map(opened.item, (name for _, name in rankings[search]))
                    if (item.has_image, item.has_text) == (has_image, has_text)
                }
                expected = [one for one in rankings[search] if one[1] in kept]
                assert expected
                assert searched(opened, against=against, filters=only, **query) == expected
    assert {len(ranking) for ranking in rankings.values()} == {22, 24}  # two lack an image, two a text


def test_the_head_of_another_search_ranks_otherwise(brute_force: BruteForce) -> None:
    """Without this the test above would hold whatever head were used."""
    for modality, letter in (("image", "i"), ("text", "t")):
        heads = [HEADS[f"{letter}2{target}"] for target in ("i", "t", "case")]
        heads.append(dict.fromkeys(("image", "text", "case"), f"{letter}2case"))  # one head for all kinds of items
        for against in ("image", "text", "case"):
            rankings = [brute_force(modality, head, against) for head in heads]
            if against != "case":
                del rankings[3]  # which is that of the third
            assert all(one != other for one, other in permutations(rankings, 2))


@pytest.mark.parametrize("against", ["image", "text", "case"])
def test_an_item_searches_as_its_picture_and_its_text_do(opened: Archive, phantom_pairs: Path, against: str) -> None:
    pairs = [pair for split in ("train", "val", "test") for pair in PairShardReader(phantom_pairs, split)]
    kinds = [(pair.image is not None, pair.text is not None) for pair in pairs]
    places = [kinds.index((True, False)), kinds.index((False, True)), kinds.index((True, True)), len(pairs) - 1]
    for pair in (pairs[place] for place in places):
        without = Filters(without_groups=(pair.group_name,))
        queries = {"text": pair.text, "image": None if pair.image is None else decode_image(pair.image)}
        for modality, query in queries.items():
            if query is None:
                continue
            by_item = opened.search(id=pair.id, modality=modality, against=against, k=24)
            match = "codes" if modality == "text" else None
            by_query = opened.search(against=against, k=24, filters=without, match=match, **{modality: query})
            assert [(hit.item.id, hit.distance) for hit in by_item.hits] == [
                (hit.item.id, hit.distance) for hit in by_query.hits
            ]
            for ours, theirs in zip(by_item.hits, by_query.hits, strict=True):
                assert ours.similarity == pytest.approx(theirs.similarity, abs=2e-3)


def test_the_service_and_the_command_search_alike(
    place: Path, opened: Archive, film: Image.Image, capsys: pytest.CaptureFixture[str]
) -> None:
    client = client_of(create_app({"": ServedArchive(str(place))}))
    stream = io.BytesIO()
    film.save(stream, "PNG")
    for against in ("image", "text", "case"):
        options = {"against": against, "k": 100, "rerank": 0, "limit": 100}
        by_text = client.post("/api/search", json={"text": TEXT, **options})
        file = {"image": ("film.png", stream.getvalue())}
        by_film = client.post("/api/search/image", files=file, data={"options": json.dumps(options)})
        for answer, modality, query in ((by_text, "text", {"text": TEXT}), (by_film, "image", {"image": film})):
            content = answer.json()
            assert (content["query_modality"], content["against"]) == (modality, against)
            found = [(hit["distance"], hit["item"]["id"]) for hit in content["hits"]]
            assert found == searched(opened, against=against, **query)
    capsys.readouterr()
    flags = ["--against", "image", "--k", "100", "--rerank", "0", "--format", "json"]
    main(["search", str(place), "--text", TEXT, *flags])
    found = [(hit["distance"], hit["item"]["id"]) for hit in json.loads(capsys.readouterr().out)["hits"]]
    assert found == searched(opened, against="image", text=TEXT)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of ``features``, and of an ``archive`` of them, whose hasher has a head for each search."""
    folder = tmp_path_factory.mktemp("planted")
    features = write_features(folder / "features", range(COUNT))
    checkpoint = write_checkpoint(
        folder / "hasher.ckpt", num_bits=11, hasher=MCMFH(11, IMAGE_DIM, TEXT_DIM, d_model=16, query_heads=True)
    )
    main(["build", str(folder / "archive"), "--checkpoint", str(checkpoint), "--features", str(features)])
    return folder


@pytest.fixture
def planted(built: Path, tmp_path: Path) -> Path:
    """A test's own copy of that archive, next to its features."""
    (tmp_path / "features").symlink_to(built / "features")
    return shutil.copytree(built / "archive", tmp_path / "archive")


def test_items_as_queries_are_ranked_by_the_metric_code(planted: Path) -> None:
    assert compare_with_metric_code(Archive.open(planted), 2) > 2 * 3 * 3
    main(["verify", str(planted), "--features", str(planted.with_name("features"))])


def test_the_codes_of_items_would_be_other_queries(planted: Path) -> None:
    opened = Archive.open(planted)
    content = json.loads((planted / "archive.json").read_text())
    assert content["format_version"] == 3
    (planted / "archive.json").write_text(json.dumps(content | {"format_version": 2}))
    by_items = Archive.open(planted)
    for against in ("image", "text", "case"):
        query = {"id": "pair 001", "modality": "text", "against": against}
        assert searched(opened, **query) != searched(by_items, **query)


def test_codes_of_a_query_see_one_modality(planted: Path) -> None:
    hasher = load_archive_hasher(Location(planted), ArchiveInfo.load(planted))
    [batch] = Source(str(planted.with_name("features")), None, ("test",)).batches(np.arange(COUNT // 5), None, "cpu")
    whole = item_codes(hasher, batch)
    assert set(whole) == {"image", "text", "case", *SEARCHES}
    for modality, partner in permutations(("image", "text")):
        other = item_codes(hasher, batch | {partner: torch.randn_like(batch[partner])})
        for name, search in SEARCHES.items():
            same = torch.equal(other[name], whole[name])
            assert same == (search.query == modality), name


@pytest.mark.parametrize("keep", [True, False])
def test_relaxed_codes_rerank_each_kind_by_its_own(
    place: Path, opened: Archive, phantom_features: Path, tmp_path: Path, film: Image.Image, keep: bool
) -> None:
    folder = place
    if not keep:
        info = ArchiveInfo.load(place)
        assert info.keep_relaxed
        folder = tmp_path / "archive"
        pairs = ItemTable.open(place).select(["folder"])["folder"][0].as_py()
        without = ["--without-relaxed"]
        build_archive(folder, Path(pairs), place.with_name("hasher.ckpt"), *without, features=phantom_features)
        opened = Archive.open(folder)
    name = next(one for one in ItemTable.open(folder).select(["id", "has_image"]).to_pylist() if one["has_image"])["id"]
    cases = {"against": "case"}
    for query in ({"text": TEXT, "match": "codes"}, {"image": film, **cases}, {"id": name, **cases}):
        result = opened.search(k=24, **query)
        assert result.reranked == (len(result.hits) if keep else 0)
        if not keep:
            assert [(hit.distance, hit.item.id) for hit in result.hits] == searched(opened, **query)
    if keep:
        hasher, table = opened.load(), ItemTable.open(folder)
        codes = hasher.text(TEXT, "case")
        stored = {row["id"]: row for row in table.select(["id", "has_image", "has_text", "case_relaxed"]).to_pylist()}
        hits = opened.search(text=TEXT, match="codes", k=24).hits
        for hit in hits:
            row = stored[hit.item.id]
            kind = "case" if row["has_image"] and row["has_text"] else "image" if row["has_image"] else "text"
            ours, theirs = codes[kind].relaxed.astype(float), np.frombuffer(row["case_relaxed"], "<f2").astype(float)
            cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
            assert hit.similarity == pytest.approx(cosine)
        assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 99),
    count=st.integers(1, 60),
    num_bits=st.sampled_from((5, 16, 64)),
    index=st.sampled_from(("flat", "hash")),
    data=st.data(),
)
def test_three_codes_of_a_query_make_one_ranking(tmp_path_factory, seed, count, num_bits, index, data) -> None:
    """Whichever index: for so few items the table's own part is `test_search_ranking`'s."""
    made = Made(tmp_path_factory.mktemp("made") / "archive", seed, count, num_bits)
    index = index if num_bits <= LONGEST else "flat"
    snapshot = Snapshot(ItemTable.open(made.folder), ArchiveInfo.load(made.folder), index)
    order = sorted(range(count), key=lambda place: made.ids[place])  # rows of the archive are in the order of ids
    rng = np.random.default_rng(seed)
    drawn = {side: made.relaxed[side][rng.integers(0, count)] for side in ("image", "text", "case")}
    codes = {side: QueryCode(np.packbits(relaxed >= 0), relaxed) for side, relaxed in drawn.items()}
    some = sorted(data.draw(st.sets(st.integers(0, count - 1))))
    candidates = data.draw(st.sampled_from((None, np.array(some, np.int64))))
    expected = []
    for row in range(count) if candidates is None else some:
        has_image, has_text = (made.has[side][order[row]] for side in ("image", "text"))
        kind = "case" if has_image and has_text else "image" if has_image else "text"
        bits = np.unpackbits(codes[kind].packed ^ made.codes["case"][order[row]])
        expected.append((int(bits.sum()), row))
    expected.sort()
    depth, radius = data.draw(st.integers(1, count + 2)), data.draw(st.none() | st.integers(0, num_bits))
    near = snapshot.nearest(codes, "case", depth, radius, candidates)
    end = radius if radius is not None else max((distance for distance, _ in expected[:depth]), default=-1)
    shown = [one for one in expected if one[0] <= end]
    assert list(zip(near.distances.tolist(), near.rows.tolist(), strict=True)) == shown
    assert np.isnan(near.similarities).all()


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("text_query_codes", b"\xff\xe0" * 3, "codes are those that the hasher computes"),
        ("text_query_codes", b"\xff\xff" * 3, "codes have no bits beyond their length"),
        ("image_query_codes", None, "items have an image or a text, and a code of each"),
        ("image_query_relaxed", b"\xff\xff" * 33, "codes are the signs of what is kept of them"),
    ],
)
def test_verify_checks_the_codes_of_queries(planted: Path, capsys, column: str, value, check: str) -> None:
    table = ItemTable.open(planted)
    row = table.select(table.schema.names, where="id = 'pair 001'").drop_columns(["_rowid"])
    place = row.schema.get_field_index(column)
    changed = pa.array([value], row.schema.field(column).type)
    table.add(row.set_column(place, row.schema.field(column), changed), replace=True)
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(planted), "--features", str(planted.with_name("features"))])
    assert ended.value.code == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if "failed" in line]
    assert any(check in line for line in failed)


def test_an_archive_without_such_codes_is_written_as_before(tmp_path: Path) -> None:
    features = write_features(tmp_path / "features", range(20))
    checkpoint = write_checkpoint(
        tmp_path / "hasher.ckpt", hasher=MCMFH(16, IMAGE_DIM, TEXT_DIM, d_model=16, query_heads=False)
    )
    main(["build", str(tmp_path / "archive"), "--checkpoint", str(checkpoint), "--features", str(features)])
    assert json.loads((tmp_path / "archive" / "archive.json").read_text())["format_version"] == 2
    assert not [name for name in ItemTable.open(tmp_path / "archive").schema.names if "query" in name]
    assert compare_with_metric_code(Archive.open(tmp_path / "archive"), 2) > 2 * 3


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        (MCMFH, {"query_heads": True}, True),
        (MCMFH, {"query_heads": False}, False),
        (TwoTower, {"query_heads": True}, True),
        (TwoTower, {"query_heads": False}, False),
    ],
)
def test_the_architecture_says_whether_queries_have_codes_of_their_own(
    tmp_path: Path, method: type[Hasher], options: dict[str, bool], expected: bool
) -> None:
    """`build` makes the table by it, before anything is encoded."""
    features = write_features(tmp_path / "features", range(20))
    [batch] = Source(str(features), None, ("test",)).batches(np.arange(4), None, "cpu")
    hasher = method(8, IMAGE_DIM, TEXT_DIM, d_model=16, **options).eval()
    with torch.inference_mode():
        assert ("queries" in hasher.evaluate(batch)) is expected
    assert has_query_codes(hasher.architecture) is expected


def test_a_method_that_does_not_say_that_queries_have_codes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a search by text and one by an item with that text would find different items."""
    features = write_features(tmp_path / "features", range(20))
    checkpoint = write_checkpoint(
        tmp_path / "hasher.ckpt", hasher=TwoTower(16, IMAGE_DIM, TEXT_DIM, d_model=16, query_heads=True)
    )
    monkeypatch.setattr(model, "has_query_codes", lambda _: False)
    with pytest.raises(SystemExit):
        main(["build", str(tmp_path / "archive"), "--checkpoint", str(checkpoint), "--features", str(features)])
    assert "pass query_heads=True among the architecture of your method" in capsys.readouterr().err

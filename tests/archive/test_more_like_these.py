"""Several items as one query: their rankings are joined, and their groups are left out."""

import json
from fractions import Fraction

import pytest
from starlette.testclient import TestClient

from mcmfh_lightning.archive import Archive, Filters, Query
from mcmfh_lightning.archive.filters import QueryError, UnknownItemError
from mcmfh_lightning.archive.server.messages import MAX_ITEMS
from mcmfh_lightning.cli.archive import main as command

from .made import Made
from .service import ODD_ID, SECRET


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made") / "archive", seed=3, count=200, num_bits=16)


@pytest.fixture(scope="module")
def opened(made: Made) -> Archive:
    return Archive.open(made.folder)


def joined(opened: Archive, made: Made, chosen: tuple[str, ...], **options: object) -> dict[str, list[int | None]]:
    """Ranks of every item among those that each of the chosen finds alone, in the order of their reciprocal sum."""
    groups = tuple(f"P-{made.groups[made.ids.index(name)]}" for name in chosen)
    filters = Filters(without_groups=groups)
    ranks: dict[str, list[int | None]] = {}
    for number, name in enumerate(chosen):
        for hit in opened.search(id=name, against="case", filters=filters, **{"k": 1000, **options}).hits:
            ranks.setdefault(hit.item.id, [None] * len(chosen))[number] = hit.rank

    def score(name: str) -> Fraction:
        return sum((Fraction(1, 60 + rank) for rank in ranks[name] if rank is not None), Fraction())

    return {name: ranks[name] for name in sorted(ranks, key=lambda name: (-score(name), name))}


@pytest.mark.parametrize("options", [{}, {"rerank": 0}, {"radius": 4}, {"radius": 4, "rerank": 0}])
def test_the_rankings_of_the_items_are_joined(opened: Archive, made: Made, options: dict) -> None:
    chosen = tuple(made.ids[:3])
    expected = joined(opened, made, chosen, **options)
    found = opened.search(id=chosen, **{"k": 1000, **options})
    assert [hit.item.id for hit in found.hits] == list(expected)
    assert [[reason.rank for reason in hit.reasons] for hit in found.hits] == list(expected.values())
    left_out = {made.groups[made.ids.index(name)] for name in chosen}
    assert not left_out & {made.groups[made.ids.index(hit.item.id)] for hit in found.hits}
    short = opened.search(id=chosen, **{"k": 7, **options}, offset=2, limit=3)
    assert [hit.item.id for hit in short.hits] == list(expected)[2:5]


def test_a_hit_says_how_like_each_item_it_is(opened: Archive, made: Made) -> None:
    chosen = (made.ids[0], made.ids[4])
    found = opened.search(id=chosen, k=20)
    modalities = ["image" if made.has["image"][made.ids.index(name)] else "text" for name in chosen]
    for hit in found.hits:
        place = made.ids.index(hit.item.id)
        distances = [
            made.distances(made.ids.index(name), modality, "case")[place]
            for name, modality in zip(chosen, modalities, strict=True)
        ]
        assert [reason.item for reason in hit.reasons] == list(chosen)
        assert [reason.distance for reason in hit.reasons] == distances
        assert hit.distance == min(distances)
        assert f"likeness to {chosen[0]} (Hamming distance {distances[0]}, cosine" in hit.why
    assert found.query == ", ".join(chosen)
    assert (found.query_items, found.against, found.ties, found.equal) == (2, "case", 0, None)
    assert found.explained == ("Searched by 2 cases: each ranks the others, and the rankings are joined.",)


def test_one_of_several_is_one(opened: Archive, made: Made) -> None:
    one = opened.search(id=made.ids[0], k=9)
    for several in ((made.ids[0],), (made.ids[0], made.ids[0])):
        assert opened.search(id=several, k=9).hits == one.hits


def test_what_several_items_cannot_mean_is_refused(opened: Archive, made: Made) -> None:
    with pytest.raises(QueryError, match="names no item"):
        Query(id=())
    with pytest.raises(QueryError, match="pass against=case for several"):
        Query(id=("a", "b"), against="both")
    with pytest.raises(UnknownItemError, match="'nobody'"):
        opened.search(id=(made.ids[0], "nobody"))
    remaining = opened.remaining(Query(id=tuple(made.ids[:2])))
    left_out = {made.groups[0], made.groups[1]}
    assert remaining["id"] == sum(group not in left_out for group in made.groups)


def test_the_service_and_the_command_find_the_same(
    client: TestClient, archive: Archive, phantom_archive, rows: list[dict], capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [ODD_ID, rows[0]["id"], rows[5]["id"]]
    expected = [hit.item.id for hit in archive.search(id=tuple(chosen), k=12).hits]
    answer = client.post("/api/search", json={"id": chosen, "k": 12})
    assert [hit["item"]["id"] for hit in answer.json()["hits"]] == expected
    labels = {label for row in rows if row["id"] in chosen for label in row["labels"]}
    for hit in answer.json()["hits"]:
        assert set(hit["shared_labels"]) == labels & set(hit["item"]["labels"])
    command(["search", str(phantom_archive), *(f"--id={name}" for name in chosen), "--k", "12", "--format", "json"])
    assert [hit["item"]["id"] for hit in json.loads(capsys.readouterr().out)["hits"]] == expected


@pytest.mark.parametrize(
    "wrong", [{"id": []}, {"id": [SECRET]}, {"id": ["x"] * (MAX_ITEMS + 1)}, {"id": [3]}, {"id": [SECRET], "text": "x"}]
)
def test_the_service_repeats_nothing_of_what_it_refuses(client: TestClient, wrong: dict) -> None:
    answer = client.post("/api/search", json=wrong)
    assert answer.status_code in (404, 422)
    assert SECRET not in answer.text

"""A film that is in the archive is found first, whatever the codes of cases say; the rest is the ranking of cases."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.archive import Archive, Filters
from mcmfh_lightning.archive.finding import ALIKE
from mcmfh_lightning.archive.schema import code_array, relaxed_array
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.shards import PairShardReader, decode_image

from .made import Made


@pytest.fixture(scope="module")
def place(film_archives: Path) -> Path:
    return film_archives / "archive"


@pytest.fixture(scope="module")
def archive(place: Path) -> Archive:
    return Archive.open(place)


@pytest.fixture(scope="module")
def films(phantom_pairs: Path) -> dict[str, Image.Image]:
    splits = (PairShardReader(phantom_pairs, split) for split in ("train", "val", "test"))
    pairs = [reader[position] for reader in splits for position in range(len(reader))]
    return {pair.id: decode_image(pair.image) for pair in pairs if pair.image}


def ids(result):
    return [hit.item.id for hit in result.hits]


def test_every_film_finds_itself_first(archive, films):
    for name, film in films.items():
        found = archive.search(image=film)
        assert found.against == "both"
        assert found.hits[0].item.id == name
        assert found.hits[0].alike
        first = found.hits[0].reasons[0]
        assert (first.by, first.rank, first.distance) == ("picture", 1, 0)
        assert first.similarity == pytest.approx(1, abs=1e-5)
        assert found.equal >= 1
    some = dict(list(films.items())[:6])
    by_cases = [archive.search(image=film, against="case").hits[0].item.id for film in some.values()]
    assert by_cases != list(some), "else nothing was shown"


def test_a_nearly_equal_picture_comes_first_though_its_code_differs(tmp_path):
    """As of a compressed film, whose relaxed code moves a little: one bit that was near 0 turns."""
    made = Made(tmp_path / "made", seed=3, count=200, num_bits=16)
    one, other = np.flatnonzero(made.has["image"])[:2]
    made.groups[other] = made.groups[one] + 1
    made.relaxed["image"][one, 5] = 0.001
    made.relaxed["image"][other] = made.relaxed["image"][one]
    made.relaxed["image"][other, 5] = -0.001
    made.codes["image"] = np.packbits(made.relaxed["image"] >= 0, axis=1)
    ItemTable.open(made.folder).add(made._rows(keep_relaxed=True), replace=True)
    found = Archive.open(made.folder).search(id=made.ids[one], modality="image")
    assert found.hits[0].item.id == made.ids[other]
    assert found.hits[0].reasons[0].distance == 1
    assert found.hits[0].alike


def test_what_follows_is_the_ranking_of_cases(archive, films):
    for film in list(films.values())[:4]:
        found, cases = archive.search(image=film, k=24), archive.search(image=film, against="case", k=24)
        alike = [hit for hit in found.hits if hit.alike]
        assert found.near_equal == len(alike) >= 1
        assert found.hits[: len(alike)] == tuple(alike)
        similarities = [hit.reasons[0].similarity for hit in alike]
        assert similarities == sorted(similarities, reverse=True)
        names = set(ids(found)[: len(alike)])
        assert ids(found)[len(alike) :] == [name for name in ids(cases) if name not in names]
        ranks = {hit.item.id: hit.rank for hit in cases.hits}
        assert all(hit.reasons[-1].rank == ranks[hit.item.id] for hit in found.hits)
        distances = {hit.item.id: hit.distance for hit in cases.hits}
        assert all(hit.distance == distances[hit.item.id] for hit in found.hits)


def test_equal_and_near_equal_pictures_are_counted(archive, films):
    """Against numpy over the codes of images in the table."""
    rows = ItemTable.open(archive.location).select(["id", "has_image", "image_code", "image_relaxed"])
    rows = rows.filter(rows["has_image"])
    codes, relaxed = code_array(rows["image_code"]), relaxed_array(rows["image_relaxed"]).astype(float)
    names = rows["id"].to_pylist()
    for name in list(films)[:6]:
        own = names.index(name)
        cosines = relaxed @ relaxed[own] / np.linalg.norm(relaxed, axis=1) / np.linalg.norm(relaxed[own])
        flips = np.unpackbits(codes ^ codes[own], axis=1).sum(1)
        found = archive.search(image=films[name])
        assert found.equal == (flips == 0).sum()
        assert found.near_equal == ((cosines >= ALIKE) & (flips <= 2)).sum()
        by_id = archive.search(id=name)  # its own group is left out
        assert by_id.against == "both"
        assert by_id.near_equal <= found.near_equal - 1


def test_without_relaxed_codes_films_of_one_code_come_first(place, films):
    archive = Archive.open(place.with_name("without"))
    for name, film in list(films.items())[:4]:
        found = archive.search(image=film)
        assert name in ids(found)[: found.equal]
        assert found.near_equal == found.equal


def test_filters_hold_for_the_film_itself(archive, films):
    name, film = next(iter(films.items()))
    group = archive.item(name).group
    found = archive.search(image=film, filters=Filters(without_groups=(group,)))
    assert name not in ids(found)


def test_the_command_says_that_the_film_is_there(place, films, tmp_path, capsys):
    name, film = next(iter(films.items()))
    film.save(tmp_path / "film.png")
    main(["search", str(place), "--image", str(tmp_path / "film.png")])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"1. {name} 1. by picture, the same or nearly (Hamming distance 0, cosine 1.000)" in shown
    assert "the same as yours or nearly and come" in shown
    main(["search", str(place), "--image", str(tmp_path / "film.png"), "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert found["hits"][0]["alike"]
    assert found["near_equal"] >= 1
    main(["search", str(place), "--image", str(tmp_path / "film.png"), "--against", "case", "--format", "json"])
    assert json.loads(capsys.readouterr().out)["against"] == "case"

"""Several archives behind one service: each has its page and its answers, and they share token, bounds and numbers."""

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.messages import MAX_JSON_BYTES
from mcmfh_lightning.archive.server.names import named_places
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.errors import ConfigError

from .browser import NEEDED, Server, Watched
from .service import ODD_ID, TOKEN, client_of, png

RIGHT = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def places(phantom_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The archive of 24 items, and its copy without one of them."""
    copy = shutil.copytree(phantom_archive, tmp_path_factory.mktemp("copy") / "films")
    main(["delete", str(copy), "--ids", ODD_ID])
    return {"cases": str(phantom_archive), "films": str(copy)}


@pytest.fixture(scope="module")
def client(places: dict[str, str]) -> TestClient:
    return client_of(create_app({name: ServedArchive(place) for name, place in places.items()}))


def test_each_archive_has_its_answers(client: TestClient) -> None:
    query = {"text": "effusion", "k": 24, "match": "codes"}
    found = {name: client.post(f"/{name}/api/search", json=query).json() for name in ("cases", "films")}
    ids = {name: {hit["item"]["id"] for hit in result["hits"]} for name, result in found.items()}
    assert ids["cases"] - ids["films"] == {ODD_ID}
    assert client.get(f"/cases/api/items/{quote(ODD_ID)}").status_code == 200
    assert client.get(f"/films/api/items/{quote(ODD_ID)}").status_code == 404
    film = client.post("/films/api/search/image", files={"image": ("film.png", png(300, 300))})
    assert ODD_ID not in {hit["item"]["id"] for hit in film.json()["hits"]}


def test_there_is_a_page_for_each_and_one_that_leads_to_them(client: TestClient) -> None:
    first = client.get("/").text
    assert '<a href="cases/">cases</a>' in first
    assert '<a href="films/">films</a>' in first
    for name in ("cases", "films"):
        assert f"<title>Find similar cases in {name}</title>" in client.get(f"/{name}/").text
    assert client.get("/api/info").status_code == 404
    assert client.get("/other/").status_code == 404


def test_pages_may_be_reached_by_a_link_and_answers_may_not(client: TestClient) -> None:
    foreign = {"sec-fetch-site": "cross-site"}
    assert client.get("/", headers=foreign).status_code == client.get("/films/", headers=foreign).status_code == 200
    assert client.get("/films/api/info", headers=foreign).status_code == 403


def test_bodies_are_bounded_as_those_of_one_archive(client: TestClient) -> None:
    large = "x" * (MAX_JSON_BYTES + 1)
    assert client.post("/films/api/search", json={"text": large}).status_code == 413
    film = {"image": ("film.png", png(300, 300) + bytes(MAX_JSON_BYTES))}
    assert client.post("/films/api/search/image", files=film).status_code == 200


def test_one_token_opens_all(places: dict[str, str]) -> None:
    client = client_of(create_app({name: ServedArchive(place) for name, place in places.items()}, TOKEN))
    for name in places:
        assert client.get(f"/{name}/").status_code == 200
        assert client.get(f"/{name}/api/info").status_code == 401
        assert client.get(f"/{name}/api/info", headers=RIGHT).status_code == 200


def test_numbers_name_the_archive_and_health_is_that_of_all(
    client: TestClient, places: dict[str, str], tmp_path: Path
) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    numbers = client.get("/metrics").text
    assert 'mcmfh_archive_items{archive="cases"} 24.0' in numbers
    assert 'mcmfh_archive_items{archive="films"} 23.0' in numbers
    served = {"cases": ServedArchive(places["cases"]), "gone": ServedArchive(str(tmp_path / "gone"))}
    assert client_of(create_app(served)).get("/healthz").status_code == 503


@pytest.mark.parametrize(
    ("archives", "names"),
    [
        (["/data/openi", "/data/roco/"], ["openi", "roco"]),
        (["a=/data/archive", "s3://bucket/films/2019"], ["a", "2019"]),
        (["/data/a=b/films", "other"], ["films", "other"]),
    ],
)
def test_an_archive_is_called_as_its_folder_or_as_asked_for(archives: list[str], names: list[str]) -> None:
    assert list(named_places(archives)) == names


@pytest.mark.parametrize("archives", [["a/x", "b/x"], ["a", "b/api"], ["a", "b/Ärzte"], ["a", "metrics=b"]])
def test_names_that_are_taken_or_cannot_be_part_of_an_address_are_refused(archives: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"serve NAME=\S+ \.\.\."):
        named_places(archives)


class TestInABrowser:
    pytestmark = NEEDED

    def test_two_archives_are_searched_from_one_address(
        self, open_page: Callable[..., Watched], shown_archive: Path, places: dict[str, str], tmp_path: Path
    ) -> None:
        server = Server(shown_archive, tmp_path / "log", f"small={places['films']}")
        try:
            watched = open_page(server.url)
            page = watched.page
            page.get_by_role("link", name=shown_archive.name).click()
            page.wait_for_selector("#examples button")
            assert page.locator("#summary").inner_text().startswith("60 cases")
            assert watched.search("effusion")
            page.get_by_role("link", name="mcmfh archive").click()
            page.get_by_role("link", name="small").click()
            page.wait_for_selector("#examples button")
            assert page.locator("#summary").inner_text().startswith("23 cases")
            assert ODD_ID not in watched.search("effusion")
            assert watched.all_pictures_come() > 0
            watched.check()
        finally:
            assert server.stop() == 0

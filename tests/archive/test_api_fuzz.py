"""The HTTP service against its own description: whatever is sent, no 5xx, and every answer is as the schema says."""

import io
from datetime import date
from pathlib import Path

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.messages import UPLOADS
from mcmfh_lightning.archive.server.routes import ServedArchive

OPERATIONS = (
    ("GET", "/api/info"),
    ("GET", "/api/facets"),
    ("GET", "/api/items/{item_id}"),
    ("GET", "/api/pictures/{item_id}"),
    ("POST", "/api/preview"),
    ("POST", "/api/search"),
    ("POST", "/api/search/image"),
)
HERE = {"Host": "127.0.0.1"}
FEW = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,  # the same requests in every run
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


TOKEN = "correct-horse-battery-staple"


def described(app: FastAPI) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=HERE)


@pytest.fixture(scope="module")
def served(phantom_archive: Path) -> ServedArchive:
    served = ServedArchive(str(phantom_archive))
    # Not in another thread: two that parse Python at once break CPython 3.11 (gh-106905).
    served.warm()
    return served


@pytest.fixture(scope="module")
def schema(served: ServedArchive) -> schemathesis.BaseSchema:
    return described(create_app({"": served}))


def test_every_operation_is_fuzzed(schema: schemathesis.BaseSchema) -> None:
    found = [(found.ok().method.upper(), found.ok().path) for found in schema.get_all_operations()]
    assert sorted(found) == sorted(OPERATIONS)


SENT = [(*operation, GenerationMode.POSITIVE) for operation in OPERATIONS]
SENT += [(*operation, GenerationMode.NEGATIVE) for operation in OPERATIONS if operation[0] == "POST"]


@pytest.mark.parametrize(("method", "path", "mode"), SENT)
def test_the_description_holds_whatever_is_sent(
    schema: schemathesis.BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    # No schema can say which bytes are a picture, which labels occur and which date is the later one.
    excluded = [positive_data_acceptance] if method == "POST" else []
    if path in UPLOADS:  # fields of a form are all text, and an empty one is an absent one
        excluded.append(negative_data_rejection)

    @FEW
    @given(schema[path][method].as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=HERE, excluded_checks=excluded)

    check()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_description_holds_with_a_token(served: ServedArchive, method: str, path: str) -> None:
    """Schemathesis also asks again with no token and with a wrong one."""
    guarded = described(create_app({"": served}, TOKEN))

    @settings(FEW, max_examples=5)
    @given(guarded[path][method].as_strategy())
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(
            headers=HERE | {"Authorization": f"Bearer {TOKEN}"}, excluded_checks=[positive_data_acceptance]
        )

    check()


def options_of(archive: Archive) -> st.SearchStrategy[dict]:
    """What a search may ask for, with names that occur."""
    facets = archive.facets()
    some = {
        name: st.lists(st.sampled_from(list(values)), max_size=3)
        for name, values in (("labels", facets.labels), ("licences", facets.licences), ("splits", facets.splits))
    }
    days = st.dates(date(2011, 1, 1), date(2012, 12, 31)).map(str)
    filters = st.fixed_dictionaries({}, optional=some | {"since": days, "has_image": st.booleans() | st.none()})
    return st.fixed_dictionaries(
        {},
        optional={
            "k": st.integers(1, 1000),
            "radius": st.integers(0, 20),
            "against": st.sampled_from(["image", "text", "case"]),
            "rerank": st.integers(0, 2000),
            "offset": st.integers(0, 40),
            "limit": st.integers(1, 100),
            "format": st.sampled_from(["json", "csv", "html"]),
            "filters": filters,
        },
    )


def test_searches_with_names_that_occur_are_answered(schema: schemathesis.BaseSchema, served: ServedArchive) -> None:
    archive = served.current()
    ids = [hit.item.id for hit in archive.search(text="x", radius=16).hits]
    queries = st.fixed_dictionaries({"id": st.sampled_from(ids)}) | st.fixed_dictionaries(
        {
            "text": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80).map(
                "x".__add__
            )
        }
    )

    @FEW
    @given(queries, options_of(archive))
    def check(query: dict, options: dict) -> None:
        case = schema["/api/search"]["POST"].Case(body=query | options, media_type="application/json")
        answer = case.call_and_validate(headers=HERE, excluded_checks=[positive_data_acceptance])
        assert answer.status_code == 200
        kind = {"csv": "text/csv", "html": "text/html"}.get(options.get("format", ""), "application/json")
        assert answer.headers["content-type"][0].startswith(kind)
        if kind != "application/json":
            return
        hits = answer.json()["hits"]
        assert len(hits) <= options.get("limit", 20)
        assert [hit["rank"] for hit in hits] == [options.get("offset", 0) + place + 1 for place in range(len(hits))]

    check()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_damaged_pictures_are_read_or_refused(schema: schemathesis.BaseSchema, kind: str) -> None:
    stream = io.BytesIO()
    Image.effect_noise((40, 30), 60).save(stream, kind)
    whole = stream.getvalue()

    @FEW
    @given(st.integers(0, len(whole)), st.binary(max_size=8), st.booleans())
    def check(place: int, damage: bytes, cut: bool) -> None:
        film = whole[:place] + damage + (b"" if cut else whole[place + len(damage) :])
        case = schema["/api/search/image"]["POST"].Case(body={"image": film}, media_type="multipart/form-data")
        answer = case.call_and_validate(headers=HERE, excluded_checks=[positive_data_acceptance])
        assert answer.status_code in (200, 413, 415, 422)

    check()

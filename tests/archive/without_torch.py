"""Searches and questions to the service, in a process without torch: ``without_torch.py ARCHIVE MODEL EXPECTED ...``.

``EXPECTED`` is a JSON file of queries, each with the ids and distances that the same search finds with torch. Run by
`test_exported`, where importing torch fails, and by `test_serve_environment`, where it is not installed.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

HEAVY = ("torch", "lightning", "pytorch_lightning", "torchvision", "open_clip", "timm", "transformers", "torchmetrics")


def search_in_python(place: str, model: str, queries: list[dict]) -> None:
    from mcmfh_lightning.archive import Archive

    archive = Archive.open(place, model=model)
    for query in queries:
        given = {key: Path(value) if key == "image" else value for key, value in query["search"].items()}
        result = archive.search(**given)
        assert [[hit.item.id, hit.distance] for hit in result.hits] == query["hits"], query["search"]
        if "text" in given and given.get("match") != "words":
            assert [result.query_tokens, result.query_tokens_read] == query["tokens"]
    print(len(queries), "searches in Python")


def search_on_the_command_line(place: str, model: str, queries: list[dict]) -> None:
    from mcmfh_lightning.cli.archive import main

    search = queries[0]["search"]
    main(["search", place, "--model", model, "--format", "json", *(f"--{key}={search[key]}" for key in search)])


def ask(url: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
    request = urllib.request.Request(url, body, {} if body is None else {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def ask_the_service(place: str, model: str, queries: list[dict]) -> None:
    from mcmfh_lightning.archive.server.app import create_app, listen, run
    from mcmfh_lightning.archive.server.routes import ServedArchive

    with listen("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = create_app({"": ServedArchive(place, model=Path(model))})
        Thread(target=run, args=(app, listener), daemon=True).start()
        until = time.monotonic() + 60
        while True:
            try:
                ask(f"{url}/healthz")
                break
            except urllib.error.HTTPError:
                assert time.monotonic() < until, "not healthy within a minute"
                time.sleep(0.1)
        for query in queries:
            search = dict(query["search"])
            picture = search.pop("image", None)
            if picture is None:
                answer = json.loads(ask(f"{url}/api/search", json.dumps(search).encode()))
            else:
                parts = [
                    b'--limit\r\nContent-Disposition: form-data; name="options"\r\n\r\n' + json.dumps(search).encode()
                ]
                head = b'--limit\r\nContent-Disposition: form-data; name="image"; filename="film"\r\n\r\n'
                parts += [head + Path(picture).read_bytes(), b"--limit--\r\n"]
                kind = "multipart/form-data; boundary=limit"
                answer = json.loads(ask(f"{url}/api/search/image", b"\r\n".join(parts), kind))
            assert [[hit["item"]["id"], hit["distance"]] for hit in answer["hits"]] == query["hits"], query["search"]
        assert json.loads(ask(f"{url}/api/facets"))["labels"]
        assert b"mcmfh" in ask(f"{url}/metrics")
        assert b"Research use, not diagnosis" in ask(f"{url}/")
    print(len(queries), "searches by the service")


if __name__ == "__main__":
    assert not any(find_spec(name) for name in HEAVY)
    for at in range(1, len(sys.argv), 3):
        place, model, expected = sys.argv[at : at + 3]
        queries = json.loads(Path(expected).read_text())
        search_in_python(place, model, queries)
        search_on_the_command_line(place, model, queries)
        ask_the_service(place, model, queries)

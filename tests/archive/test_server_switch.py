"""The service follows a link without a request that fails."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from mcmfh_lightning.archive.server import routes as routes_module
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.archive.switching import switch_archive

from .phantom_archive import build_archive, untrained_checkpoint
from .service import client_of


@pytest.fixture(scope="module")
def other(phantom_pairs: Path, phantom_features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the same films with codes of 32 bits."""
    folder = tmp_path_factory.mktemp("wide")
    checkpoint = untrained_checkpoint(folder / "hasher.ckpt", phantom_pairs, num_bits=32)
    return build_archive(folder / "archive", phantom_pairs, checkpoint, features=phantom_features)


def test_no_request_fails_while_the_link_is_switched(phantom_archive, other, tmp_path, monkeypatch):
    monkeypatch.setattr(routes_module, "LOOK_AGAIN_SECONDS", 0.05)
    link = tmp_path / "live"
    switch_archive(str(link), str(phantom_archive), encoder=False)
    served = ServedArchive(str(link))
    with client_of(create_app({"": served})) as client:
        assert client.post("/api/search", json={"text": "effusion"}).status_code == 200
        ended, answers = threading.Event(), []

        def ask():
            while not ended.is_set():
                found = client.post("/api/search", json={"text": "effusion"})
                answers.append((found.status_code, found.json().get("num_bits")))

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for one in asking:
            one.start()
        for archive, bits in ((other, 32), (phantom_archive, 16)):
            switch_archive(str(link), str(archive), encoder=False)
            until = time.monotonic() + 60
            while answers[-1:] == [] or answers[-1][1] != bits:
                assert time.monotonic() < until
                time.sleep(0.05)
        ended.set()
        for one in asking:
            one.join()
    assert {status for status, _ in answers} == {200}


def test_an_archive_that_cannot_be_loaded_is_not_followed(phantom_archive, other, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(routes_module, "LOOK_AGAIN_SECONDS", 0.0)
    damaged = shutil.copytree(other, tmp_path / "damaged")
    (damaged / "hasher.ckpt").write_bytes(b"")
    link = tmp_path / "live"
    switch_archive(str(link), str(phantom_archive), encoder=False)
    with client_of(create_app({"": ServedArchive(str(link))})) as client:
        assert client.post("/api/search", json={"text": "effusion"}).json()["num_bits"] == 16
        switch_archive(str(link), str(damaged), encoder=False)
        assert client.post("/api/search", json={"text": "effusion"}).json()["num_bits"] == 16
        assert client.post("/api/search", json={"text": "effusion"}).json()["num_bits"] == 16
        assert caplog.text.count("the archive before is served") == 1  # it is not loaded again for each request
        switch_archive(str(link), str(other), encoder=False)
        assert client.post("/api/search", json={"text": "effusion"}).json()["num_bits"] == 32

"""What goes into an archive: refusals name folders without passwords."""

import functools
import http.server
import json
import threading

import pytest

from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.errors import DataError

from .collection import write_features, write_pairs


@pytest.fixture
def address(tmp_path):
    """Features of other pairs than those next to them, on a loopback server that is asked with a password."""
    write_pairs(tmp_path / "pairs", range(10))
    write_features(tmp_path / "features", range(10))
    described = tmp_path / "features" / "dataset.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"settings": {"pairs_sha256": "of others"}}))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://me:secret@127.0.0.1:{server.server_port}"
        server.shutdown()


def test_features_of_other_pairs_are_refused_without_the_password(address, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"was not made of .*pass the pairs that were encoded") as caught:
        Source(f"{address}/features", f"{address}/pairs")
    assert "secret" not in str(caught.value)
